"""docs/quick-start.md as a new user follows it: each block runs, in order, on a first start.

Only these differ from the page: `uv run` is this Python, the port is a free one, OpenAI is the
strict fake, and `claude` is the program in Anthropic's Agent SDK, which npm also has.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_up import UpProcess, running_up
from tests.fakes import ScriptedResponse, StrictOpenAI

try:
    import claude_agent_sdk
except ImportError:  # a heavy group of its own
    claude_agent_sdk = None  # type: ignore[assignment]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python|json)\n(.*?)^```", PAGE, re.M | re.S)


def block(start: str) -> str:
    """Return the only block that begins with this text."""
    (actual_code,) = [code for _, code in BLOCKS if code.startswith(start)]
    return actual_code


class NewUserShell:
    """A new user's shell, which runs blocks in a temporary home directory."""

    def __init__(self, gateway: UpProcess, home: Path, key: str) -> None:
        self.gateway, self.home = gateway, home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DRAGOMAN_API_KEY": key,
            "DRAGOMAN_BASE_URL": gateway.base,
            "DRAGOMAN_DATA_DIR": str(home / "data"),
        }

    def run(self, code: str) -> str:
        """Run a block and return its output; asserts that it succeeds."""
        code = code.replace("http://localhost:4000", self.gateway.base)
        code = code.replace("uv run manage.py", f"{sys.executable} {ROOT / 'manage.py'}")
        code = code.replace("uv run --no-project --with openai", sys.executable)
        # There is no terminal to confirm at.
        code = re.sub(r"(connect .*(?:--write|--undo))", r"\1 --yes", code)
        done = subprocess.run(
            ["bash", "-euc", code],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install_claude_code(self) -> None:
        """Put `claude` on PATH, as npm does; it connects to the gateway only."""
        if claude_agent_sdk is None:
            pytest.skip("the dependency group `clients` is not installed")
        programs = self.home / "bin"
        programs.mkdir()
        bundled = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
        (programs / "claude").symlink_to(bundled)
        self.environment |= {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        }


def shape(value: object) -> object:
    """Return a JSON value without its texts and numbers."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(member) for member in value] if isinstance(value, list) else type(value)


def test_the_quick_start_leads_to_first_responses(tmp_path: Path) -> None:
    start = time.monotonic()
    times: dict[str, float] = {}
    with running_up(tmp_path / "data") as gateway:
        assert gateway.key is not None
        key = gateway.key
        times["started"] = time.monotonic() - start
        newcomer = NewUserShell(gateway, tmp_path, key)
        chat, messages = [code for _, code in BLOCKS if code.startswith("curl ")]
        response = json.loads(newcomer.run(chat))
        assert shape(response) == shape(json.loads(block("{")))
        times["first answer"] = time.monotonic() - start
        assert '"type":"message"' in newcomer.run(messages)
        program = block("import os").replace("http://localhost:4000", gateway.base)
        (tmp_path / "hello.py").write_text(program, encoding="utf-8")
        assert "hello" in newcomer.run(block("uv run --no-project")).lower()
        times["OpenAI SDK"] = time.monotonic() - start
        setup = re.search(r"Console\s+http://localhost:\d+(/\S+)", gateway.output)
        assert setup is not None
        with httpx.Client(base_url=gateway.base, follow_redirects=True) as browser:
            assert "Create account" in browser.get(setup[1]).text
        assert gateway.end() == 0
    with StrictOpenAI() as openai:
        openai.script.default = ScriptedResponse(text="Ready.")
        credentials = {"OPENAI_API_KEY": openai.key, "OPENAI_BASE_URL": f"{openai.url}/v1"}
        with running_up(tmp_path / "data", **credentials) as gateway:
            assert "openai" in gateway.output
            assert gateway.key is None  # shown once
            newcomer = NewUserShell(gateway, tmp_path, key)
            completed = newcomer.run(block("uv run manage.py connect claude-code"))
            assert f"Checked: gpt-4.1 answers at {gateway.base}." in completed
            settings = tmp_path / ".claude" / "settings.json"
            assert gateway.base in settings.read_text(encoding="utf-8")
            newcomer.install_claude_code()
            claude_began = time.monotonic()
            assert newcomer.run(block("claude -p")).strip() == "Ready."
            times["Claude Code"] = time.monotonic() - claude_began
            newcomer.run("uv run manage.py connect claude-code --undo")
            assert not settings.exists() or gateway.base not in settings.read_text(encoding="utf-8")
            assert "a scripted model" in newcomer.run(block("ANTHROPIC_BASE_URL="))
    print({name: f"{seconds:.1f} s" for name, seconds in times.items()})


def test_every_code_block_of_the_quick_start_is_run() -> None:
    """A new block of the page must be run here, or be one that starts the gateway."""
    followed = ("curl ", "{", "import os", "uv run --no-project")
    followed += ("uv run manage.py connect claude-code", "claude -p", "ANTHROPIC_BASE_URL=")
    starts = ("pip install uv\nuv run manage.py up", "uv run manage.py up", "export ")
    others = [code for _, code in BLOCKS if not code.startswith((*followed, *starts))]
    assert others == []
