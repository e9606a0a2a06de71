"""The programs of a benchmark: fake provider, load generator, nginx and the gateway."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from tests.ports import free_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MASTER_KEY = "sk-bench-master-key-0123456789"
START_TIMEOUT_S = 60.0
NGINX = """
{user}worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://provider; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def missing_packages() -> list[str]:
    """Return the Debian packages that a run needs and that are not installed."""
    packages = {"gcc": "gcc", "nginx": "nginx-light"}
    return [package for program, package in packages.items() if not shutil.which(program)]


def build(folder: Path) -> None:
    """Compile the fake provider and the load generator into `folder`."""
    for name in ("mock", "load"):
        command = ["gcc", "-O2", "-w", "-o", str(folder / name), str(HERE / f"{name}.c"), "-lm"]
        subprocess.run(command, check=True)


def pin_to_core(command: list[str], core: int | None) -> list[str]:
    """Return the command pinned to a core, if `taskset` and a second core are available."""
    if core is None or (os.cpu_count() or 1) < 2 or not shutil.which("taskset"):
        return command
    return ["taskset", "-c", str(core), *command]


class Program(AbstractContextManager["Program"]):
    """A server process that runs until its context ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command line that starts the server."""
        raise AssertionError

    def ready(self) -> bool:
        """Whether the server accepts connections."""
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def settle(self) -> None:
        """Wait until the work that follows a response is done."""

    @property
    def output(self) -> Path:
        return self.folder / f"{type(self).__name__.lower()}.txt"

    def __enter__(self) -> Self:
        with self.output.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_until_ready()
        return self

    def environment(self) -> dict[str, str]:
        return {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.ready():
                return
            time.sleep(0.02)
        self.__exit__()
        raise RuntimeError(f"{self.command()[0]} did not start:\n{self.output.read_text()}")

    def __exit__(self, *_: object) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class FakeProvider(Program):
    """The fake provider (mock.c), which speaks Chat Completions and Messages."""

    def command(self) -> list[str]:
        return pin_to_core([str(self.folder / "mock"), str(self.port)], 0)

    def counts(self) -> dict[str, int]:
        """Return its counters since its start; `aborted` counts streams the reader closed."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as response:
            return dict(json.load(response))


class Nginx(Program):
    """nginx as a proxy to the fake provider: one worker, no buffering and no access log."""

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder)
        user = "user root; " if os.getuid() == 0 else ""
        self._config = folder / "nginx.conf"
        self._config.write_text(
            NGINX.format(folder=folder, port=self.port, upstream=upstream, user=user)
        )

    def command(self) -> list[str]:
        log = str(self.folder / "nginx.log")
        return pin_to_core(["nginx", "-e", log, "-p", str(self.folder), "-c", str(self._config)], 1)


class Dragoman(Program):
    """`manage.py up` with one route for each of the fake provider's dialects.

    Requests use an ordinary gateway key, and logging has its default settings.
    """

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder)
        self._config = folder / "config.yaml"
        base = f"http://127.0.0.1:{upstream}"
        rows = [("mock", "openai/mock", f"{base}/v1"), ("mock-anthropic", "anthropic/mock", base)]
        entries = "".join(
            f"  - model_name: {name}\n    litellm_params: "
            f"{{model: {model}, api_base: '{url}', api_key: sk-upstream}}\n"
            for name, model, url in rows
        )
        self._config.write_text(
            f"model_list:\n{entries}general_settings:\n  master_key: {MASTER_KEY}\n"
        )

    def command(self) -> list[str]:
        arguments = [sys.executable, "manage.py", "up", "--port", str(self.port), "--config"]
        return pin_to_core(
            [*arguments, str(self._config), "--data-dir", str(self.folder / "data")], 1
        )

    def ready(self) -> bool:
        """Whether the gateway reports that it is ready."""
        try:
            url = f"http://127.0.0.1:{self.port}/health/ready"
            with urllib.request.urlopen(url, timeout=1) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    @property
    def key(self) -> str:
        """The gateway key that the first start printed."""
        match = re.search(r"sk-dgm-\S+", self.output.read_text())
        return match.group() if match else MASTER_KEY

    def unwritten_log_rows(self) -> int:
        """Return the number of log rows that are not in the database yet."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.port}/metrics", timeout=10
        ) as response:
            match = re.search(rb"^dragoman_log_spool_rows (\S+)$", response.read(), re.M)
        return int(float(match[1])) if match else 0

    def settle(self) -> None:
        """Wait until the log is written, as its CPU time is part of a request."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.unwritten_log_rows() and time.monotonic() < deadline:
            time.sleep(0.05)  # each poll costs the gateway a millisecond
