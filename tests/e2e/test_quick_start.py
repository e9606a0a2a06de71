"""docs/quick-start.md as a newcomer follows it: each block runs, in its order, on a first start.

Only what differs from the page: `uv run` is this Python, the port is a free one, and OpenAI is
the strict fake.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.test_up import UpProcess, up
from tests.fakes import ScriptedAnswer, StrictOpenAI

try:
    import claude_agent_sdk
except ImportError:  # a heavy group of its own
    claude_agent_sdk = None  # type: ignore[assignment]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.M | re.S)


def block(start: str) -> str:
    """The only block that begins with this text."""
    (actual_code,) = [code for _, code in BLOCKS if code.startswith(start)]
    return actual_code


class NewUserShell:
    """Someone with a shell, whose blocks run in a home folder of their own."""

    def __init__(self, gateway: UpProcess, home: Path, key: str) -> None:
        self.gateway = gateway
        self.done: list[str] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DRAGOMAN_API_KEY": key,
            "DRAGOMAN_BASE_URL": gateway.base,
            "DRAGOMAN_DATA_DIR": str(home / "data"),
        }

    def run(self, code: str) -> str:
        """What a block prints; it must succeed."""
        self.done.append(code)
        code = code.replace("http://localhost:4000", self.gateway.base)
        code = code.replace("uv run manage.py", f"{sys.executable} {ROOT / 'manage.py'}")
        # There is no terminal to confirm at.
        code = re.sub(r"(connect .*(?:--write|--undo))", r"\1 --yes", code)
        is_python = code.startswith("import")
        command = [sys.executable, "-c", code] if is_python else ["bash", "-euc", code]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def run_claude_code(home: Path) -> float:
    """Seconds until Claude Code, configured by its own settings file, has answered."""
    if claude_agent_sdk is None:
        pytest.skip("the dependency group `clients` is not installed")
    offline = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1"}
    options = claude_agent_sdk.ClaudeAgentOptions(
        env={"HOME": str(home), "DISABLE_AUTOUPDATER": "1", **offline},
        cwd=str(home),
        setting_sources=["user"],
    )

    async def last_message() -> Any:
        query = claude_agent_sdk.query(prompt="Are you ready?", options=options)
        return [message async for message in query][-1]

    began = time.monotonic()
    result = asyncio.run(last_message())
    assert (result.is_error, result.result) == (False, "Ready.")
    return time.monotonic() - began


def test_the_page_leads_to_first_answers(tmp_path: Path) -> None:
    began = time.monotonic()
    times: dict[str, float] = {}
    with up(tmp_path / "data") as gateway:
        assert gateway.key is not None
        key = gateway.key
        times["started"] = time.monotonic() - began
        newcomer = NewUserShell(gateway, tmp_path, key)
        chat, messages = [code for _, code in BLOCKS if code.startswith("curl ")]
        assert '"chat.completion"' in newcomer.run(chat)
        times["first answer"] = time.monotonic() - began
        assert '"type":"message"' in newcomer.run(messages)
        assert "hello" in newcomer.run(block("import os")).lower()
        times["OpenAI SDK"] = time.monotonic() - began
        setup = re.search(r"Console\s+http://localhost:\d+(/\S+)", gateway.output)
        assert setup is not None
        with httpx.Client(base_url=gateway.base, follow_redirects=True) as browser:
            assert "Create account" in browser.get(setup[1]).text
        assert gateway.end() == 0
    with StrictOpenAI() as openai:
        openai.script.default = ScriptedAnswer(text="Ready.")
        credentials = {"OPENAI_API_KEY": openai.key, "OPENAI_BASE_URL": f"{openai.url}/v1"}
        with up(tmp_path / "data", **credentials) as gateway:
            assert "openai" in gateway.output
            assert gateway.key is None  # shown once
            newcomer = NewUserShell(gateway, tmp_path, key)
            completed = newcomer.run(block("uv run manage.py connect claude-code"))
            assert f"Checked: gpt-4.1 answers at {gateway.base}." in completed
            settings = tmp_path / ".claude" / "settings.json"
            assert gateway.base in settings.read_text(encoding="utf-8")
            times["Claude Code"] = run_claude_code(tmp_path)
            newcomer.run("uv run manage.py connect claude-code --undo")
            assert not settings.exists() or gateway.base not in settings.read_text(encoding="utf-8")
    print({name: f"{seconds:.1f} s" for name, seconds in times.items()})


def test_no_block_is_left_out() -> None:
    """A block that the page gets must be run here, or be one that starts the gateway."""
    followed = ("curl ", "import os", "uv run manage.py connect claude-code")
    starts = ("pip install uv\nuv run manage.py up", "uv run manage.py up", "export ")
    others = [code for _, code in BLOCKS if not code.startswith((*followed, *starts))]
    assert others == []
