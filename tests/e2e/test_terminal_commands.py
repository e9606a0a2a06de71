"""`dragoman compare`, `chat` and `logs` on a live gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import GatewayStack
from tests.fakes import Call, Refusal, ScriptedResponse
from tests.waits import wait_until

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
MODELS = "gpt-4o,claude-sonnet-4-5"


def run(stack: GatewayStack, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DRAGOMAN_BASE_URL": stack.gateway.url,
        "DRAGOMAN_API_KEY": stack.gateway.key,
        "DRAGOMAN_DATA_DIR": str(stack.gateway.data_dir),
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_models_are_compared_in_a_table(stack: GatewayStack, tmp_path: Path) -> None:
    stack.on(
        "Compare tools {{x}}", ScriptedResponse(calls=(Call("get_weather", {"city": "Paris"}),))
    )
    tools = tmp_path / "tools.json"
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    tools.write_text(json.dumps([{"type": "function", "function": function}]))
    arguments = ["compare", "-", "--models", MODELS, "--tools", str(tools)]
    done = run(stack, *arguments, "--expect-tool", "get_weather", stdin="Compare tools {{x}}")
    assert done.returncode == 0, done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["model", "time", "tokens", "cost", "result", "response"]
    assert [row.split()[0] for row in rows] == MODELS.split(",")
    for row in rows:
        assert "correct" in row
        assert 'get_weather({"city":"Paris"})' in row
    assert "2/2 responses" in done.stderr
    refused_response = run(
        stack, *arguments, "--expect-tool", "other", "--output", "json", stdin="Compare tools {{x}}"
    )
    assert refused_response.returncode == 1
    report = json.loads(refused_response.stdout)
    assert (report["name"], len(report["results"])) == ("Comparison", 2)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--models", ""], "model"),
        (["--models", "a", "--schema", "nowhere.json"], "nowhere.json: No such file"),
        (["--models", "a", "--tools", "README.md"], "README.md is not JSON"),
        (["--models", "a", "--repeat", "0"], "repeat"),
        (["--models", "a", "--base-url", "ftp://x"], "--base-url must begin"),
    ],
)
def test_invalid_input_of_compare_is_named(
    stack: GatewayStack, arguments: list[str], reason: str
) -> None:
    done = run(stack, "compare", "Hi", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_conversation_keeps_its_turns(stack: GatewayStack) -> None:
    stack.on("My name is Ada", ScriptedResponse(text="Hello \x1b[31mAda."))
    stack.on("What is my name", ScriptedResponse(text="It is Ada."))
    count = len(stack.anthropic.requests)
    prompts = "My name is Ada\n/model claude-sonnet-4-5\nWhat is my name?\n/exit\n"
    done = run(stack, "chat", "gpt-4o", "--system", "Be brief.", stdin=prompts)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Hello [31mAda.\nIt is Ada.\n"
    assert "claude-sonnet-4-5, " in done.stderr
    (request,) = stack.anthropic.requests[count:]
    contents: list[Any] = [message["content"] for message in request.body["messages"]]
    assert json.dumps(contents).count("Ada") == 2
    assert "Be brief." in json.dumps(request.body["system"])


def test_a_failed_chat_shows_its_reason(stack: GatewayStack) -> None:
    done = run(stack, "chat", "no-such-model", stdin="Hi\n")
    assert done.returncode == 1
    assert "no-such-model" in done.stderr
    assert "Traceback" not in done.stderr
    done = run(stack, "chat", "gpt-4o", "--base-url", "http://127.0.0.1:9", stdin="Hi\n")
    assert "no response from http://127.0.0.1:9" in done.stderr


def test_a_failure_does_not_control_the_terminal(stack: GatewayStack, tmp_path: Path) -> None:
    message = "no \x1b[2Jcredit"
    refusal = Refusal(400, "invalid_request_error", message)
    stack.on("Say it", ScriptedResponse(error=refusal))
    stack.on("Write it", ScriptedResponse(text="red \x1b[31mtext"))
    done = run(stack, "chat", "gpt-4o", stdin="Say it\n")
    assert "no [2Jcredit" in done.stderr
    evaluation = {
        "prompts": ["{{input}}"],
        "providers": ["gpt-4o"],
        "tests": [
            {"vars": {"input": text}, "assert": [{"type": "equals", "value": "green"}]}
            for text in ("Say it", "Write it")
        ],
    }
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(evaluation), encoding="utf-8")
    failed_evaluation = run(stack, "eval", str(file), "--quiet")
    assert failed_evaluation.stdout.count("FAILED") == 2
    assert "\x1b" not in failed_evaluation.stdout + done.stderr


def test_rows_of_the_log_are_followed(stack: GatewayStack) -> None:
    environment = {**os.environ, "DRAGOMAN_DATA_DIR": str(stack.gateway.data_dir)}
    run(stack, "chat", "gpt-4o", stdin="Before\n")
    wait_until(lambda: "gpt-4o" in run(stack, "logs", "-n", "3").stdout)
    follow = subprocess.Popen(
        [sys.executable, "manage.py", "logs", "-f", "-n", "1", "--model", "claude-sonnet-4-5"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        run(stack, "chat", "no-such-model", stdin="Hi\n")
        run(stack, "chat", "claude-sonnet-4-5", stdin="After\n")
        assert follow.stdout is not None
        # The last row of another test may come first.
        line = next(line for line in follow.stdout if "  200  " in line)
    finally:
        follow.terminate()
        follow.wait(10)
        assert follow.stdout is not None
        follow.stdout.close()
    assert "/claude-sonnet-4-5" in line
    assert "tokens" in line
