"""Daphne serves the same application: what `runserver` is, and what some deployments use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "sk-daphne-test-master-key"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("daphne")
    port = free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DRAGOMAN_")}
    env.pop("DATABASE_URL", None)
    env |= {
        "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
        "DRAGOMAN_DATA_DIR": str(directory / "data"),
        "DRAGOMAN_MASTER_KEY": KEY,
        "PYTHONPATH": str(ROOT),
    }
    prepare = "from gateway.management.start.bootstrap import prepare; prepare()"
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", prepare],
        cwd=ROOT,
        env=env,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    command = [sys.executable, "-m", "daphne", "-p", str(port), "gateway.config.asgi:application"]
    with (directory / "output.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}", process, directory / "output.txt")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _wait(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends and process.poll() is None:
        try:
            if httpx.get(f"{url}/health/ready", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(output.read_text())


def test_a_client_is_answered_whole_and_streamed(base: str) -> None:
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=KEY)
    asked = [{"role": "user", "content": "Say hello"}]
    whole = client.chat.completions.create(model="demo", messages=asked)
    assert whole.choices[0].message.content
    pieces = client.chat.completions.create(model="demo", messages=asked, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
    assert text == whole.choices[0].message.content


def test_the_requests_are_in_the_log(base: str) -> None:
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=KEY)
    made = client.chat.completions.with_raw_response.create(
        model="demo", messages=[{"role": "user", "content": "log me"}]
    )
    url = f"{base}/api/requests/{made.headers['x-request-id']}"
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        row = httpx.get(url, headers={"authorization": f"Bearer {KEY}"}, timeout=5)
        if row.status_code == 200:
            assert row.json()["status"] == 200
            return
        time.sleep(0.1)
    raise AssertionError("the request is not in the log")


def test_pages_are_served(base: str) -> None:
    assert httpx.get(f"{base}/docs", timeout=10).status_code == 200
    assert httpx.get(f"{base}/static/css/base.css", timeout=10).status_code == 200


def test_an_unknown_key_is_refused(base: str) -> None:
    client = openai.OpenAI(base_url=f"{base}/v1", api_key="sk-wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        client.models.list()
