"""The real Claude Code, through its agent SDK, on a provider that supports only Chat."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import GatewayStack
from tests.fakes import Call, ScriptedResponse

try:
    import claude_agent_sdk
except ImportError:  # a heavy group of its own
    claude_agent_sdk = None  # type: ignore[assignment]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.clients,
    pytest.mark.skipif(
        claude_agent_sdk is None and not os.environ.get("CI"),
        reason="the dependency group `clients` is not installed",
    ),
]


def options(stack: GatewayStack, home: Path, model: str, **more: Any) -> Any:
    """Return the options to run Claude Code as root, without a terminal and on loopback only."""
    work = home / "work"
    work.mkdir()
    env = {
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": stack.gateway.url,
        "ANTHROPIC_AUTH_TOKEN": stack.gateway.key,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    return claude_agent_sdk.ClaudeAgentOptions(
        env=env, model=model, cwd=str(work), setting_sources=[], **more
    )


async def responses(prompt: str, chosen: Any) -> AsyncIterator[Any]:
    async for message in claude_agent_sdk.query(prompt=prompt, options=chosen):
        yield message


async def final_result(prompt: str, chosen: Any) -> Any:
    """Return the result of a finished run."""
    return [message async for message in responses(prompt, chosen)][-1]


@pytest.mark.parametrize("model", ["some-model", "gpt-4o-mini"])
async def test_claude_code_answers_a_prompt(
    stack: GatewayStack, tmp_path: Path, model: str
) -> None:
    prompt = f"Say the password of {model}"
    stack.on(prompt, ScriptedResponse(text="The password is swordfish."))
    result = await final_result(prompt, options(stack, tmp_path, model))
    assert not result.is_error
    assert result.result == "The password is swordfish."


async def test_claude_code_runs_a_tool_and_uses_its_result(
    stack: GatewayStack, tmp_path: Path
) -> None:
    prompt = "Run echo and tell me what it printed"
    command = {"command": "echo dragon-$((40 + 2))", "description": "Print a word"}
    stack.on(
        prompt,
        ScriptedResponse(
            text="I will run it.",
            calls=(Call("Bash", command, "call_bash_1"),),
            then=ScriptedResponse(text="It printed {results}"),
        ),
    )
    chosen = options(stack, tmp_path, "some-model", allowed_tools=["Bash"])
    result = await final_result(prompt, chosen)
    assert not result.is_error
    assert result.result.startswith("It printed dragon-42")


async def test_claude_code_needs_one_request_a_turn(stack: GatewayStack, tmp_path: Path) -> None:
    """A refused feature would make it retry without the feature."""
    prompt = "Count the requests of this turn"
    stack.on(prompt, ScriptedResponse(text="One."))
    await final_result(prompt, options(stack, tmp_path, "some-model"))
    requests = [request for request in stack.openai.requests if prompt.encode() in request.raw]
    assert len(requests) == 1
