"""A site for browser tests: `manage.py up` with a new data directory."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import httpx

from tests.browser.accounts import PASSWORD
from tests.e2e.stack import empty_database
from tests.fork_server import ForkedProcess
from tests.ports import free_port
from tests.waits import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 90.0
# Runs each line of its input, a JSON string, as `manage.py shell -c` does; prints [error, output].
_SHELL = """
import contextlib, io, json, sys, traceback
import django
django.setup()
from django.db import connection
for line in sys.stdin:
    output, error = io.StringIO(), ""
    with contextlib.redirect_stdout(output):
        try:
            exec(json.loads(line), {})
        except Exception:
            error = traceback.format_exc()
    connection.close()
    print(json.dumps([error, output.getvalue()]), flush=True)
"""


@functools.cache
def _data_with_users() -> tuple[Path, dict[str, str]]:
    """Return a data directory with the users of `tests.browser.accounts`, and their sessions."""
    directory = Path(tempfile.mkdtemp(prefix="dragoman-users-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    site = Site(directory)
    site.data_dir.mkdir(mode=0o700)
    shutil.copy(empty_database(), site.data_dir)
    return site.data_dir, json.loads(site.run(sys.executable, "-m", "tests.browser.accounts"))


class Site:
    """A running gateway with its console.

    Attributes:
        data_dir: its data directory.
        sessions: session keys of the users `admin` and `viewer`, if they exist.
        names: values of `{names}` in the paths of pages, once sample data exists.
        password: the password of both users.
    """

    password = PASSWORD

    def __init__(self, directory: Path, **environment: str) -> None:
        self.data_dir = directory / "data"
        self.port = free_port()
        self.sessions: dict[str, str] = {}
        self.names: dict[str, Any] = {}
        self._log = directory / "output.txt"
        self._environment = environment
        self._process: ForkedProcess | None = None
        self._shell: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """Return what the process has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def key(self) -> str:
        """The first gateway key, which `up` printed."""
        match = re.search(r"Gateway key +(\S+)", self.output)
        assert match is not None
        return match.group(1)

    def wait_for_log(self, request_id: str) -> str:
        """Wait until the log contains the request; return the id."""
        admin = (self.data_dir / "admin_key").read_text(encoding="utf-8").strip()
        headers = {"authorization": f"Bearer {admin}"}
        url = f"{self.url}/api/requests/{request_id}"
        wait_until(lambda: httpx.get(url, headers=headers, timeout=30).status_code == 200)
        return request_id

    def wait_for_key(self, key: str, status: int = 200) -> str:
        """Wait until the gateway answers a request with the key by this status; return the key."""
        headers = {"authorization": f"Bearer {key}"}
        url = f"{self.url}/v1/models"
        wait_until(lambda: httpx.get(url, headers=headers, timeout=30).status_code == status)
        return key

    def start(self) -> Self:
        """Start the gateway and wait until it is ready."""
        arguments = ["up", "--port", str(self.port)]
        self._process = ForkedProcess(arguments, environment=self._env(), output=self._log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=5).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the site did not start:\n{self.output}")

    def with_users(self) -> Self:
        """Create the data directory of a site with an admin and a viewer, both signed in.

        Before its first start: migrating, hashing passwords and signing in take longer than that.
        """
        template, sessions = _data_with_users()
        shutil.copytree(template, self.data_dir)
        self.sessions = dict(sessions)
        return self

    def with_sample_data(self) -> Self:
        """Fill the database with a few weeks of sample usage."""
        self.names = json.loads(self.run(sys.executable, "-m", "tests.browser.sample_data"))
        return self

    def manage(self, *arguments: str) -> str:
        """Run a management command on the site's data and return its output."""
        return self.run(sys.executable, "manage.py", *arguments)

    def shell(self, code: str) -> str:
        """Run Python code on the site's data and return its output.

        One process runs the code of all calls, because to import Django takes a second.
        """
        if self._shell is None:
            self._shell = subprocess.Popen(
                [sys.executable, "-c", _SHELL],
                cwd=ROOT,
                env=self._env(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(json.dumps(code) + "\n")
        self._shell.stdin.flush()
        error, output = json.loads(self._shell.stdout.readline())
        if error:
            raise RuntimeError(f"{code}:\n{output}\n{error}")
        return str(output)

    def stop(self) -> None:
        """Stop the gateway."""
        if self._shell is not None:
            self._shell.communicate(timeout=30)
            self._shell = None
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._process = None

    def kill(self) -> None:
        """Kill the gateway without a chance to clean up."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def run(self, *command: str) -> str:
        """Run a program on the site's data and return its output."""
        completed = subprocess.run(
            command, cwd=ROOT, env=self._env(), capture_output=True, text=True, check=False
        )
        if completed.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{completed.stdout}\n{completed.stderr}")
        return completed.stdout

    def _env(self) -> dict[str, str]:
        by_name = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DRAGOMAN_") and not name.endswith("_API_KEY")
        }
        by_name.pop("DATABASE_URL", None)
        return by_name | {
            "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
            "DRAGOMAN_DATA_DIR": str(self.data_dir),
            "DRAGOMAN_DRAIN_SECONDS": "2",
            "PYTHONPATH": str(ROOT),
            **self._environment,
        }
