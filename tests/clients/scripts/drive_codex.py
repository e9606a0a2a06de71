"""Codex CLI, without a terminal, with a temporary home directory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    HELLO,
    KEY,
    PLACE,
    REQUEST,
    VARIANT,
    main,
    reasoning_prompts,
)

CODEX = Path(REQUEST["modules"]) / "node_modules" / ".bin" / "codex"
SOCKET = "true" if VARIANT == "socket" else "false"
PROVIDER = (
    f'{{name="Dragoman", base_url="{BASE}/v1", env_key="DRAGOMAN_KEY", wire_api="responses", '
    f"supports_websockets={SOCKET}}}"
)
SETTINGS = {
    "model_provider": '"dragoman"',
    "model_providers.dragoman": PROVIDER,
    "model_reasoning_effort": '"high"',
}
UNATTENDED = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]


def run_codex(
    home: Path, model: str, prompt: str, *options: str, thread: str = ""
) -> tuple[str, str]:
    """Return its last message and its thread; `thread` resumes an earlier one."""
    command = [str(CODEX), "exec", *(["resume"] if thread else []), *UNATTENDED, "-m", model]
    command += options
    for name, value in SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    work = home / "work"
    work.mkdir(exist_ok=True)
    done = subprocess.run(
        [*command, *([thread] if thread else []), prompt],
        cwd=work,
        env={**os.environ, "CODEX_HOME": str(home), "DRAGOMAN_KEY": KEY},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    texts = [item["text"] for item in items if item["type"] == "agent_message"]
    thread_ids = [event["thread_id"] for event in events if event["type"] == "thread.started"]
    if done.returncode != 0 or not texts:
        raise RuntimeError(f"codex ended with {done.returncode}: {done.stdout[-900:]}")
    return texts[-1], thread_ids[0]


def home() -> Path:
    """Create a home directory for Codex."""
    return Path(tempfile.mkdtemp(prefix="codex-", dir=Path.home()))


def text(model: str) -> str:
    """Return a response; Codex always streams."""
    return run_codex(home(), model, HELLO)[0]


def tools(model: str) -> str:
    """Return the last text after two shell commands."""
    return run_codex(home(), model, BOTH_CITIES)[0]


def thinking(model: str) -> list[str]:
    """Return the last text of two turns of one thread with reasoning and commands."""
    home_directory, prompts = home(), reasoning_prompts(model)
    first, thread = run_codex(home_directory, model, prompts[0])
    return [first, run_codex(home_directory, model, prompts[1], thread=thread)[0]]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    home_directory = home()
    schema = home_directory / "schema.json"
    schema.write_text(json.dumps(PLACE))
    return [
        json.loads(run_codex(home_directory, model, AS_JSON, "--output-schema", str(schema))[0])
    ]


if __name__ == "__main__":
    main(text=text, tools=tools, thinking=thinking, structured=structured)
