"""`manage.py up` from the command line: output, endpoints and exit."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from tests.e2e.stack import empty_database
from tests.litellm.test_seeds import SEVERAL, SIMPLE, SWITCHABLE
from tests.ports import free_port

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent.parent
REQUEST = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}


class UpProcess:
    """A running `up`: its base URL, output and exit status."""

    def __init__(
        self, process: subprocess.Popen[str], output: Path, port: int, authority: str = ""
    ) -> None:
        self.process = process
        self.base = f"http{'s' if authority else ''}://127.0.0.1:{port}"
        self.verify: ssl.SSLContext | bool = (
            ssl.create_default_context(cadata=authority) if authority else True
        )
        self._output = output

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    @property
    def key(self) -> str | None:
        match = re.search(r"Gateway key\s+(sk-dgm-\S+)", self.output)
        return match[1] if match else None

    @property
    def line(self) -> str:
        return next(line.strip() for line in self.output.splitlines() if line.startswith("  curl "))

    def ready(self) -> UpProcess:
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(httpx.HTTPError):
                if (
                    httpx.get(
                        f"{self.base}/health/ready", timeout=5, verify=self.verify
                    ).status_code
                    == 200
                    # Several workers: their supervisor prints it when it sees that one listens.
                    and "Dragoman is running." in self.output
                ):
                    return self
            time.sleep(0.02)
        raise AssertionError(self.output)

    def chat(self, key: str | None = None, **body: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        url = f"{self.base}/v1/chat/completions"
        return httpx.post(
            url, json={**REQUEST, **body}, headers=headers, timeout=30, verify=self.verify
        )

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def command(data: Path, *options: str, port: int) -> list[str]:
    return [
        sys.executable,
        "manage.py",
        "up",
        "--port",
        str(port),
        "--data-dir",
        str(data),
        *options,
    ]


def environ(**more: str) -> dict[str, str]:
    """Return an environment without the test run's variables, in particular without keys."""
    inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**inherited, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def running_up(
    data: Path, *options: str, authority: str = "", migrated: bool = True, **more: str
) -> Iterator[UpProcess]:
    """Run a gateway until it reports that it is ready; stop it in any case.

    Args:
        authority: the certificate authority of its TLS certificate.
        migrated: whether a new data directory begins with a migrated database, because
            migrating takes half of a first start.
    """
    if migrated and not data.exists() and "DATABASE_URL" not in more:
        data.mkdir(mode=0o700)
        shutil.copy(empty_database(), data)
    port, output = free_port(), data.parent / f"output-{time.monotonic_ns()}.txt"
    with output.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command(data, *options, port=port),
            cwd=ROOT,
            env=environ(**more),
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    try:
        yield UpProcess(process, output, port, authority).ready()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def failed_start(data: Path, *options: str, **more: str) -> tuple[int, str]:
    """Return exit status and output of a start that is expected to fail."""
    run = subprocess.run(
        command(data, *options, port=free_port()),
        cwd=ROOT,
        env=environ(**more),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert "Traceback" not in run.stderr
    return run.returncode, run.stdout + run.stderr


def write_config(directory: Path, text: str) -> str:
    path = directory / "litellm_config.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return str(path)


def children(pid: int) -> list[int]:
    task = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in task.read_text().split()]


def test_a_first_start_prints_all_and_its_line_works(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_up(data, migrated=False) as gateway:
        response = subprocess.run(
            gateway.line, shell=True, capture_output=True, text=True, check=True
        )
        assert json.loads(response.stdout)["choices"][0]["message"]["content"]
        assert gateway.key is not None
        assert gateway.key in gateway.line
        assert re.search(r"Console\s+http://localhost:\d+/\?setup=\S{20,}", gateway.output)
        assert gateway.chat(None).status_code == 401
        assert gateway.chat("anything").status_code == 401
        assert gateway.end() == 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for name in ("secret_key", "encryption_key", "admin_key", "setup_token"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600


def test_the_next_start_prints_no_key_and_the_old_one_works(tmp_path: Path) -> None:
    with running_up(tmp_path / "data") as gateway:
        key = gateway.key
        assert gateway.end() == 0
    with running_up(tmp_path / "data") as gateway:
        assert gateway.key is None
        assert "$DRAGOMAN_API_KEY" in gateway.line
        assert gateway.chat(key).status_code == 200
        assert gateway.end(signal.SIGINT) == 0


@pytest.mark.bench
def test_the_first_response_is_fast(tmp_path: Path) -> None:
    with running_up(tmp_path / "data") as gateway:
        key = gateway.key
        gateway.end()
    started = time.monotonic()
    with running_up(tmp_path / "data") as gateway:
        assert gateway.chat(key).status_code == 200
        # The goal is 3 s on a quiet machine, where the bench measures it.
        assert time.monotonic() - started < 30


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_running_stream_completes_at_shutdown(tmp_path: Path, workers: str) -> None:
    with running_up(tmp_path / "data", "--workers", workers) as gateway:
        body = {**REQUEST, "model": "demo/demo@50ms", "stream": True}
        headers = {"authorization": f"Bearer {gateway.key}"}
        url = f"{gateway.base}/v1/chat/completions"
        with httpx.stream("POST", url, json=body, headers=headers, timeout=30) as response:
            lines = response.iter_lines()
            next(lines)
            gateway.process.send_signal(signal.SIGTERM)
            remaining_lines = list(lines)
        assert "data: [DONE]" in remaining_lines
        assert gateway.process.wait(60) == 0


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    with running_up(tmp_path / "data", "--workers", "2") as gateway:
        key = gateway.key
        workers = [pid for pid in children(gateway.process.pid) if _is_worker(pid)]
        os.kill(workers[0], signal.SIGKILL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            now = [pid for pid in children(gateway.process.pid) if _is_worker(pid)]
            if workers[0] not in now and len(now) == len(workers):
                break
            time.sleep(0.1)
        assert workers[0] not in now
        assert len(now) == len(workers) == 2
        for _ in range(10):
            assert gateway.chat(key).status_code == 200
        assert gateway.end() == 0


def _is_worker(pid: int) -> bool:
    """Return whether a process is a worker, not Python's resource tracker."""
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@pytest.mark.parametrize("text", [SIMPLE, SEVERAL], ids=["simple", "several"])
def test_a_configuration_with_the_usual_master_key_runs(tmp_path: Path, text: str) -> None:
    path = write_config(tmp_path, text)
    with running_up(tmp_path / "data", "--config", path, OPENAI_API_KEY="sk-none") as gateway:
        assert "warning: the master key is easy to guess" in gateway.output
        assert gateway.chat("sk-1234").status_code == 200
        assert gateway.chat("sk-other").status_code == 401
        headers = {"authorization": "Bearer sk-1234"}
        response = httpx.get(f"{gateway.base}/v1/models", headers=headers).json()["data"]
        assert "gpt-4o" in [model["id"] for model in response]
        assert httpx.get(f"{gateway.base}/api/requests", headers=headers).status_code == 200
        assert gateway.end() == 0


def test_the_report_of_a_configuration_is_printed(tmp_path: Path) -> None:
    path = write_config(tmp_path, SEVERAL)
    with running_up(tmp_path / "data", "--config", path) as gateway:
        assert (
            "azure-gpt-4 is skipped: names the environment variable AZURE_API_BASE"
            in gateway.output
        )
        text = r"litellm_config.yaml:\d+: general_settings.cache: not supported: "
        assert re.search(text, gateway.output)


def test_without_a_master_key_any_token_is_accepted_on_loopback(tmp_path: Path) -> None:
    path = write_config(tmp_path, SWITCHABLE)
    with running_up(tmp_path / "data", "--config", path) as gateway:
        assert "any client key is accepted" in gateway.output
        assert gateway.chat("anything").status_code == 200


def test_every_worker_uses_the_same_configuration(tmp_path: Path) -> None:
    path = write_config(tmp_path, SIMPLE)
    with running_up(tmp_path / "data", "--config", path, "--workers", "2") as gateway:
        for _ in range(12):
            assert gateway.chat("sk-1234").status_code == 200


def test_a_weak_master_key_is_refused_where_others_can_reach_it(tmp_path: Path) -> None:
    path = write_config(tmp_path, SIMPLE)
    status, output = failed_start(tmp_path / "data", "--config", path, "--host", "0.0.0.0")
    assert status == 2
    assert "set a longer master_key" in output


def test_a_file_that_is_not_yaml_ends_the_start(tmp_path: Path) -> None:
    text = "litellm_config.yaml:1: is not valid YAML"
    status, output = failed_start(
        tmp_path / "data", "--config", write_config(tmp_path, "model_list: [")
    )
    assert status == 2
    assert text in output


def test_an_invalid_setting_is_named_at_startup(tmp_path: Path) -> None:
    status, output = failed_start(tmp_path / "data", DRAGOMAN_DEBUG="maybe")
    assert status == 1
    assert "DRAGOMAN_DEBUG must be true or false, not 'maybe'" in output


def test_a_port_in_use_is_named_at_startup(tmp_path: Path) -> None:
    with socket.socket() as raw_socket:
        raw_socket.bind(("127.0.0.1", 0))
        raw_socket.listen()
        port = str(raw_socket.getsockname()[1])
        status, output = failed_start(tmp_path / "data", "--port", port)
    assert status == 1
    assert "another program uses this port" in output


def test_an_unreachable_database_is_named_at_startup(tmp_path: Path) -> None:
    url = f"postgresql://nobody:sk-secret@127.0.0.1:{free_port()}/none"
    status, output = failed_start(tmp_path / "data", DATABASE_URL=url)
    assert status == 1
    assert "the database cannot be used" in output
    assert "sk-secret" not in output
