"""The programs of a bench run: fake provider, load generator, nginx, and the gateway."""

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
START_S = 60.0
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
    """What a run needs and is not installed, as Debian's packages."""
    expected = {"gcc": "gcc", "nginx": "nginx-light"}
    return [package for program, package in expected.items() if not shutil.which(program)]


def build(folder: Path) -> None:
    """Compile the fake provider and the load generator into `folder`."""
    for name in ("mock", "load"):
        command = ["gcc", "-O2", "-w", "-o", str(folder / name), str(HERE / f"{name}.c"), "-lm"]
        subprocess.run(command, check=True)


def pinned(command: list[str], core: int | None) -> list[str]:
    """The command kept on one core, where there is `taskset` and more than one."""
    if core is None or (os.cpu_count() or 1) < 2 or not shutil.which("taskset"):
        return command
    return ["taskset", "-c", str(core), *command]


class Program(AbstractContextManager["Program"]):
    """A server in a process of its own, ended with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What starts it."""
        raise AssertionError

    def ready(self) -> bool:
        """Whether it answers."""
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def settle(self) -> None:
        """Wait until what it does after an answer is done."""

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
        self._wait()
        return self

    def environment(self) -> dict[str, str]:
        return {k: os.environ[k] for k in ("PATH", "HOME", "LANG") if k in os.environ}

    def _wait(self) -> None:
        assert self.process is not None
        ends = time.monotonic() + START_S
        while time.monotonic() < ends and self.process.poll() is None:
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
    """The fake provider of both dialects (mock.c)."""

    def command(self) -> list[str]:
        return pinned([str(self.folder / "mock"), str(self.port)], 0)

    def counts(self) -> dict[str, int]:
        """Requests, chunks, and streams whose reader left (`aborted`), since its start."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5) as answer:
            return dict(json.load(answer))


class Nginx(Program):
    """nginx as a plain proxy to the fake provider: one worker, nothing buffered or logged."""

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder)
        user = "user root; " if os.getuid() == 0 else ""
        self._config = folder / "nginx.conf"
        self._config.write_text(
            NGINX.format(folder=folder, port=self.port, upstream=upstream, user=user)
        )

    def command(self) -> list[str]:
        log = str(self.folder / "nginx.log")
        return pinned(["nginx", "-e", log, "-p", str(self.folder), "-c", str(self._config)], 1)


class Dragoman(Program):
    """`manage.py up` with one route for each of the fake provider's dialects.

    Calls carry an ordinary gateway key, and everything is logged as by default.
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
        up = [sys.executable, "manage.py", "up", "--port", str(self.port), "--config"]
        return pinned([*up, str(self._config), "--data-dir", str(self.folder / "data")], 1)

    def ready(self) -> bool:
        """Whether it answers requests."""
        try:
            url = f"http://127.0.0.1:{self.port}/health/ready"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def key(self) -> str:
        """The gateway key that its first start printed."""
        match = re.search(r"sk-dgm-\S+", self.output.read_text())
        return match.group() if match else MASTER_KEY

    def unwritten(self) -> int:
        """Log rows that still wait for the database."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            match = re.search(rb"^dragoman_log_spool_rows (\S+)$", answer.read(), re.M)
        return int(float(match[1])) if match else 0

    def settle(self) -> None:
        """Wait until the log is written: it is part of what a request costs."""
        ends = time.monotonic() + START_S
        while self.unwritten() and time.monotonic() < ends:
            time.sleep(0.05)  # each look costs the gateway a millisecond
