"""A live gateway in a separate process, in front of fake providers."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.fakes import (
    ChaosUpstream,
    RecordedRequest,
    ScriptedResponse,
    Server,
    StrictAnthropic,
    StrictDeepSeek,
    StrictOpenAI,
)
from tests.fakes.chaos import KEY as CHAOS_KEY
from tests.fork_server import ForkedProcess
from tests.ports import free_port
from tests.waits import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
MASTER_KEY = "sk-1234-e2e-master-key"
START_S = 60.0
STOP_S = 60.0
# As README tells: Daphne would end a connection at a message of more than a megabyte.
# More than the gateway takes, so that the gateway's own limit is met here.
DAPHNE_OPTIONS = ("--websocket-max-message-size", "67108864")
DAPHNE_OPTIONS += ("--websocket-max-frame-size", "67108864")
# Seconds an upstream of the fault tests may be silent where it will be, and elsewhere.
BRIEF_S, LONG_S = 1.0, 20.0
NEVER_ENDING = ("hang", "drip-headers", "drip-body", "stream-stall", "stream-comments-forever")


class Gateway:
    """`manage.py up` in its own process group."""

    def __init__(self, directory: Path, config: dict[str, Any], *, workers: int = 1) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.port = free_port()
        self.key = MASTER_KEY
        self._workers = workers
        self._config = directory / "config.yaml"
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._process: ForkedProcess | subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """Return the output of all starts."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def status(self) -> int | None:
        """Return the exit status of a process that has ended by itself."""
        return None if self._process is None else self._process.poll()

    @property
    def _log(self) -> Path:
        return self.directory / "output.txt"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of its processes."""
        return _environment(self.directory)

    def start(self, *, ready: bool = True) -> Self:
        """Start the gateway and wait until it is ready, or alive if `ready` is false.

        Raises:
            RuntimeError: it did not start; contains its output.
        """
        if not self.data_dir.exists() and "DATABASE_URL" not in self.environment():
            self.data_dir.mkdir(mode=0o700)
            shutil.copy(empty_database(), self.data_dir)
        self._process = self._start()
        self._wait("ready" if ready else "live")
        return self

    def _start(self) -> ForkedProcess | subprocess.Popen[bytes]:
        """Start the process of the server."""
        arguments = ["up", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        arguments += ["--config", str(self._config), "--workers", str(self._workers)]
        if self._workers == 1:
            environment = self.environment()
            return ForkedProcess(arguments, environment=environment, output=self._log)
        return self._open([sys.executable, "manage.py", *arguments])

    def _open(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a process with its environment, whose output is appended to its log."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _wait(self, condition: str) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if httpx.get(f"{self.url}/health/{condition}", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the gateway did not start:\n{self.output}")

    def stop(self) -> int:
        """Stop the gateway with SIGTERM, as a service manager does, and return its exit status.

        Raises:
            RuntimeError: it did not stop; contains its output and the stacks of its threads.
        """
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            # Python's fault handler prints what each thread was doing.
            os.killpg(process.pid, signal.SIGABRT)
            time.sleep(1)
            self.kill()
            raise RuntimeError(f"it did not stop within {STOP_S:g} s:\n{self.output}") from None
        self._process = None
        return status

    def kill(self) -> None:
        """Kill all its processes at once, as `kill -9` or the OOM killer does."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        self._process = None

    def workers(self) -> list[int]:
        """Return the process ids of the workers, if there are several."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [pid for pid in map(int, children) if _is_worker(pid)]

    def api(self, path: str, **params: Any) -> Any:
        """Send a GET request to the management API with the admin credential."""
        headers = {"authorization": f"Bearer {self.key}"}
        response = httpx.get(f"{self.url}{path}", params=params, headers=headers, timeout=30)
        response.raise_for_status()
        return response.json()

    def post(self, path: str, body: Any = None) -> Any:
        """Send a POST request to the management API with the admin credential."""
        headers = {"authorization": f"Bearer {self.key}"}
        response = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=30)
        assert response.is_success, response.text
        return response.json()

    def new_key(self, **fields: Any) -> str:
        """Create a key with the management API and wait until every process accepts it.

        A second process that creates it would take a second to import Django and the gateway.
        """
        document = {"name": f"key-{uuid.uuid4().hex[:12]}", **fields}
        return self.wait_for_key(self.post("/api/keys", document)["key"])

    def row(self, request_id: str) -> dict[str, Any]:
        """Wait for the log row of a request and return it."""
        rows: list[httpx.Response] = []

        def written() -> bool:
            headers = {"authorization": f"Bearer {self.key}"}
            url = f"{self.url}/api/requests/{request_id}"
            rows[:] = [httpx.get(url, headers=headers, timeout=30)]
            return rows[0].status_code == 200

        wait_until(written)
        return dict(rows[0].json())

    def wait_for_log(self) -> None:
        """Wait until the log has all finished requests and no journal contains a record."""
        wait_until(lambda: not any(map(_has_record, (self.data_dir / "journal").glob("*.journal"))))

    def wait_for_key(self, key: str) -> str:
        """Wait until every process accepts the key; return the key."""
        headers = {"authorization": f"Bearer {key}", "connection": "close"}
        url = f"{self.url}/v1/models"
        # A few times over, so that each of a few processes has been asked.
        wait_until(
            lambda: all(
                httpx.get(url, headers=headers, timeout=30).status_code == 200 for _ in range(12)
            )
        )
        return key


class Daphne(Gateway):
    """The same application served by Daphne in one process."""

    def environment(self) -> dict[str, str]:
        """Return the environment that `up` sets for its server processes."""
        return super().environment() | {
            "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
            "DRAGOMAN_DATA_DIR": str(self.data_dir),
            "DRAGOMAN_MASTER_KEY": self.key,
            "PYTHONPATH": str(ROOT),
        }

    def _start(self) -> subprocess.Popen[bytes]:
        code = (
            "from gateway.compat.litellm.config import read; "
            "from gateway.compat.litellm.config.apply import apply; "
            "from gateway.management.start.bootstrap import prepare; "
            f"prepare(0); apply(read({str(self._config)!r}))"
        )
        shell = [sys.executable, "manage.py", "shell", "--no-imports", "-v", "0", "-c", code]
        subprocess.run(shell, cwd=ROOT, env=self.environment(), check=True)
        daphne = [sys.executable, "-m", "daphne", "--port", str(self.port)]
        return self._open([*daphne, *DAPHNE_OPTIONS, "gateway.config.asgi:application"])


@dataclass
class GatewayStack:
    """A gateway and its providers."""

    gateway: Gateway
    openai: StrictOpenAI
    anthropic: StrictAnthropic
    deepseek: StrictDeepSeek
    chaos: ChaosUpstream
    servers: list[Server] = field(default_factory=list)

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Have all strict providers answer user texts that contain `text` with `response`."""
        for server in (self.openai, self.anthropic, self.deepseek):
            server.script.on(text, response)

    def last(self, text: str) -> tuple[Server, RecordedRequest]:
        """Return the newest upstream request with this text, and its provider."""
        for server in (self.openai, self.anthropic, self.deepseek):
            for request in reversed(server.requests):
                if text.encode() in request.raw:
                    return server, request
        raise AssertionError(f"no provider saw {text!r}")

    def saw_disconnect(self, text: str) -> bool:
        """Return whether the provider of this text saw its client disconnect early."""
        _, recorded_request = self.last(text)
        wait_until(lambda: recorded_request.left_at is not None or recorded_request.finished)
        return recorded_request.left_at is not None


@dataclass
class ModelStack:
    """A gateway, and the strict provider of each of its models."""

    gateway: Gateway
    servers: dict[str, Any]

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Have all providers answer user texts that contain `text` with `response`."""
        for server in self.servers.values():
            server.script.on(text, response)

    def last(self, model: str) -> Any:
        """Return the body of the newest upstream request of a model."""
        return self.servers[model].requests[-1].body


def strict_config(
    openai: StrictOpenAI, anthropic: StrictAnthropic, deepseek: StrictDeepSeek
) -> list[dict[str, Any]]:
    """Return LiteLLM's `model_list` for the strict providers."""
    rows = [_row(name, f"openai/{name}", f"{openai.url}/v1", openai.key) for name in openai.models]
    for name in ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-5-5"):
        rows.append(_row(name, f"anthropic/{name}", anthropic.url, anthropic.key))
    for name in deepseek.models:
        rows.append(_row(name, f"deepseek/{name}", f"{deepseek.url}/v1", deepseek.key))
    # Claude Code sends other requests to a name it knows than to one it does not.
    rows.append(_row("some-model", "openai/gpt-4o", f"{openai.url}/v1", openai.key))
    return rows


def chaos_config(chaos: ChaosUpstream) -> list[dict[str, Any]]:
    """Return a `model_list` for the faults: `chat/FAULT` and `messages/FAULT`.

    Only faults that recover have retries: elsewhere, a retry would only take time. Only faults that
    never end have a short deadline, because a busy machine is slow with the others too.
    """
    brief = {"timeout": BRIEF_S, "stream_timeout": BRIEF_S, "max_retries": 0}
    patience = {"timeout": LONG_S, "stream_timeout": LONG_S, "max_retries": 0}
    second = {**patience, "max_retries": 1}
    rows = []
    for public, more in (
        *((name, brief) for name in NEVER_ENDING),
        ("heal-*", second),
        ("*", patience),
    ):
        rows += [
            _row(f"chat/{public}", f"openai/{public}", f"{chaos.url}/v1", CHAOS_KEY, **more),
            _row(f"messages/{public}", f"anthropic/{public}", chaos.url, CHAOS_KEY, **more),
        ]
    for name in ("refused", "not_tls", "unresolved"):
        base = getattr(chaos, name)
        rows.append(_row(f"chat-{name}", "openai/ok", f"{base}/v1", CHAOS_KEY, **brief))
    for fault in ("503", "429", "rst", "invalid-json", "stream-error-first"):
        public = f"saved-from-{fault}"
        chat = f"{chaos.url}/v1"
        rows.append(_row(public, f"openai/{fault}", chat, CHAOS_KEY, order=1, **patience))
        rows.append(_row(public, "openai/ok", chat, CHAOS_KEY, order=2, **patience))
    return rows


def _row(public: str, model: str, base: str, key: str, **more: Any) -> dict[str, Any]:
    return {
        "model_name": public,
        "litellm_params": {"model": model, "api_base": base, "api_key": key, **more},
    }


def litellm_config(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a whole configuration file with a `model_list`."""
    return {"model_list": rows, "general_settings": {"master_key": MASTER_KEY}}


@functools.cache
def empty_database() -> Path:
    """Return the path of a migrated empty database, because migrating takes most of a start.

    `test_up` covers a first start that creates its own.
    """
    directory = Path(tempfile.mkdtemp(prefix="dragoman-empty-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    environment = _environment(directory) | {"DRAGOMAN_DATA_DIR": str(directory / "data")}
    migrate = [sys.executable, "manage.py", "migrate", "-v", "0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    (path,) = (directory / "data").glob("dragoman.sqlite3*")
    return path


def _environment(directory: Path) -> dict[str, str]:
    """Return an environment without the variables of the test run."""
    inherited = {k: os.environ[k] for k in ("PATH", "LANG", "LC_ALL") if k in os.environ}
    home = directory / "home"
    home.mkdir(exist_ok=True)
    fixed = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "DRAGOMAN_FIND_LOCAL_SERVERS": "false",
    }
    return {**inherited, **fixed, "HOME": str(home)}


def _has_record(journal: Path) -> bool:
    """Return whether a journal contains a record: a length of 0 ends the file."""
    try:
        with journal.open("rb") as file:
            return any(file.read(4))
    except FileNotFoundError:
        return False


def _is_worker(pid: int) -> bool:
    """Return whether a child is a worker, not multiprocessing's resource tracker."""
    try:
        return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False  # it was killed, and gone before it was looked at


def is_installed(program: str) -> bool:
    """Return whether a program is installed."""
    return shutil.which(program) is not None
