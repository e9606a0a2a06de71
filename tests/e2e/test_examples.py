"""Every folder of examples/ runs as described, on the demo provider."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.compat.litellm.config.parse import read
from tests.e2e.test_up import UpProcess, running_up

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "DEEPSEEK_API_KEY")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples") / "data"


@pytest.fixture(scope="module")
def gateway(data_dir: Path) -> Iterator[UpProcess]:
    with running_up(data_dir) as running:
        yield running
        assert running.end() == 0


def run(gateway: UpProcess, *command: str, **more: str) -> str:
    """Run the command and return its output; asserts that it succeeds."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(ROOT),
        "DRAGOMAN_BASE_URL": gateway.base,
        "DRAGOMAN_API_KEY": str(gateway.key),
        "DRAGOMAN_COMMAND": f"{sys.executable} {ROOT / 'manage.py'}",
        **more,
    }
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_table_of_examples_has_every_folder() -> None:
    listed_names = re.findall(
        r"^\| \[([a-z-]+)\]\(\1\)", (EXAMPLES / "README.md").read_text(), re.M
    )
    assert sorted(listed_names) == sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())


def test_the_sdk_basics_example_runs(gateway: UpProcess) -> None:
    completed = run(gateway, sys.executable, "examples/sdk-basics/main.py")
    assert re.search(r"^text: \S", completed, re.M)
    assert re.search(r"^stream: \S", completed, re.M)
    assert 'tool: get_weather {"city": "Paris"}' in completed
    assert "structured: {'city': " in completed


def test_the_curl_example_runs(gateway: UpProcess) -> None:
    completed = run(gateway, "examples/curl/requests.sh")
    for word in ("chat.completion", "message_stop", '"candidates"', "output_text", "eval_count"):
        assert word in completed
    assert "x-dragoman-dropped: top_k" in completed


def test_an_agent_calls_its_tool(gateway: UpProcess) -> None:
    question = 'Use the tool to calculate "6 * 7".'
    completed = run(
        gateway, sys.executable, "examples/agent/agent.py", question, "demo", "demo/demo-fast"
    )
    assert 'demo: calculate({"expression":"6 * 7"}) = 42' in completed


def test_models_are_compared(gateway: UpProcess) -> None:
    completed = run(gateway, "examples/model-comparison/compare.sh", MODELS="demo,demo/demo-fast")
    assert completed.count("correct") == 4
    assert 'get_weather({"city":"Paris"})' in completed
    assert "| demo/demo-fast | 100.0 %" in completed


def test_an_evaluation_is_a_step_of_ci(gateway: UpProcess, tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    run(gateway, "examples/batch-evaluation/check.sh", REPORT=str(report))
    assert "| demo | 100.0 % | 3 of 3 |" in report.read_text()


def test_a_coding_agent_has_a_fallback_and_a_budget(gateway: UpProcess, data_dir: Path) -> None:
    admin = (data_dir / "admin_key").read_text()
    key = run(gateway, "examples/coding-agent/set-up.sh", DRAGOMAN_ADMIN_KEY=admin).strip()
    body = {"model": "coder", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    headers = {"x-api-key": key}
    response = httpx.post(f"{gateway.base}/v1/messages", json=body, headers=headers, timeout=30)
    assert response.status_code == 200
    assert response.json()["content"][0]["text"]
    other = {**body, "model": "demo"}
    refused_response = httpx.post(
        f"{gateway.base}/v1/messages", json=other, headers=headers, timeout=30
    )
    assert refused_response.status_code in {403, 404}
    state = httpx.get(
        f"{gateway.base}/api/keys/coding-agent/state", headers={"authorization": f"Bearer {admin}"}
    ).json()
    remaining = {(row["owner"], row["span"]): row["remaining"] for row in state["budgets"]}
    assert 4.9 < float(remaining["key", "day"]) <= 5


def test_claude_code_gets_its_environment(gateway: UpProcess, tmp_path: Path) -> None:
    stub = tmp_path / "claude"
    stub.write_text("#!/bin/sh\nenv | grep ^ANTHROPIC_ | sort\n")
    stub.chmod(0o755)
    completed = run(gateway, "examples/claude-code/run.sh", CLAUDE=str(stub), MODEL="demo")
    assert f"ANTHROPIC_BASE_URL={gateway.base}" in completed
    assert "ANTHROPIC_MODEL=demo" in completed


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("litellm-files/*.yaml")), ids=lambda p: p.stem
)
def test_litellm_example_files_are_imported_without_remarks(path: Path) -> None:
    config = read(path, {**dict.fromkeys(KEYS, "key"), "DRAGOMAN_MASTER_KEY": "sk-master"})
    assert config.routes
    assert config.remarks == []
