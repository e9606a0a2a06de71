"""`up --local-model` with the real packages: a real model answers without a provider key."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import anthropic
import openai
import pytest

from tests.e2e.test_up import UpProcess, running_up
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
# The package index of the machine that runs the tests.
INDEX = {
    name: value
    for name, value in os.environ.items()
    if name.startswith(("UV_", "PIP_", "SSL_", "HTTPS_", "HTTP_")) or name == "HOME"
}
PROMPT = "What is the capital of France?"


def model_server(gateway: UpProcess) -> int:
    """Return the process id of the model server, a child of the gateway."""
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(
        int(child)
        for child in children
        if b"local_model_server" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


def has_ended(pid: int) -> bool:
    with suppress(OSError):
        return "Z (zombie)" in Path(f"/proc/{pid}/status").read_text()
    return True


@pytest.mark.wide(every=0)
def test_a_real_model_answers_in_each_dialect(tmp_path: Path) -> None:
    start = time.monotonic()
    with running_up(tmp_path / "data", "--local-model", **INDEX) as gateway:
        assert '"model":"local"' in gateway.line
        client = openai.OpenAI(base_url=f"{gateway.base}/v1", api_key=gateway.key, timeout=120)
        with client:
            response = client.chat.completions.create(
                model="local", messages=[{"role": "user", "content": PROMPT}], max_tokens=60
            )
        print(f"first answer after {time.monotonic() - start:.1f} s")
        assert response.choices[0].message.content.strip()
        assert response.usage.prompt_tokens > 10
        with (
            anthropic.Anthropic(base_url=gateway.base, api_key=gateway.key, timeout=120) as other,
            other.messages.stream(
                model="local", max_tokens=30, messages=[{"role": "user", "content": PROMPT}]
            ) as stream,
        ):
            assert "".join(stream.text_stream)
        server = model_server(gateway)
        os.kill(gateway.process.pid, signal.SIGKILL)
        wait_until(lambda: has_ended(server))
    with running_up(tmp_path / "data", "--local-model", **INDEX) as second:
        assert "Installing" not in second.output
        assert "local (up --local-model)" in second.output
        server = model_server(second)
        assert second.end() == 0
        wait_until(lambda: has_ended(server))
