"""Gemini CLI without a terminal, with a temporary home directory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from scenarios import BASE, BOTH_CITIES, HELLO, KEY, REQUEST, main, reasoning_prompts

GEMINI = Path(REQUEST["modules"]) / "node_modules" / ".bin" / "gemini"
SETTINGS = {"security": {"auth": {"selectedType": "gemini-api-key"}}}


def run_gemini(home: Path, model: str, prompt: str, *options: str) -> str:
    """Return its response to a prompt; it may run every command."""
    done = subprocess.run(
        [str(GEMINI), "--skip-trust", "--yolo", "-o", "json", "-m", model, *options, "-p", prompt],
        cwd=home,
        env={
            **os.environ,
            "HOME": str(home),
            "GEMINI_API_KEY": KEY,
            "GOOGLE_GEMINI_BASE_URL": BASE,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"gemini ended with {done.returncode}: {done.stdout} {done.stderr}"[-900:]
        )
    return str(json.loads(done.stdout[done.stdout.index("{") :])["response"])


def home() -> Path:
    """Create a home directory for Gemini CLI."""
    directory = Path(tempfile.mkdtemp(prefix="gemini-", dir=Path.home()))
    (directory / ".gemini").mkdir()
    (directory / ".gemini" / "settings.json").write_text(json.dumps(SETTINGS))
    return directory


def text(model: str) -> str:
    """Return a response; Gemini CLI always streams."""
    return run_gemini(home(), model, HELLO)


def tools(model: str) -> str:
    """Return the last text after two shell commands."""
    return run_gemini(home(), model, BOTH_CITIES)


def thinking(model: str) -> list[str]:
    """Return the last text of two turns of one session with reasoning and commands."""
    home_directory, prompts = home(), reasoning_prompts(model)
    first = run_gemini(home_directory, model, prompts[0])
    return [first, run_gemini(home_directory, model, prompts[1], "--resume", "latest")]


if __name__ == "__main__":
    main(text=text, tools=tools, thinking=thinking)
