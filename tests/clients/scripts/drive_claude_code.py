"""Claude Code, through its agent SDK, with a temporary home directory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, ResultMessage
from scenarios import BASE, BOTH_CITIES, HELLO, KEY, PLACE, by_call, main, reasoning_prompts


def options(model: str, **more: Any) -> Any:
    """Return the options to run as root, without a terminal and on loopback only."""
    work = tempfile.mkdtemp(prefix="work-", dir=Path.home())
    env = {
        "ANTHROPIC_BASE_URL": BASE,
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    return ClaudeAgentOptions(
        env=env, model=model, cwd=work, setting_sources=[], allowed_tools=["Bash"], **more
    )


async def turns(model: str, *prompts: str) -> list[str]:
    """Return the results of the turns of one session."""
    result = []
    async with ClaudeSDKClient(options(model)) as session:
        for prompt in prompts:
            await session.query(prompt)
            results = [m async for m in session.receive_response() if isinstance(m, ResultMessage)]
            if results[-1].is_error:
                raise RuntimeError(results[-1].result)
            result.append(results[-1].result)
    return result


async def text(model: str) -> str:
    """Return a response; Claude Code always streams."""
    return (await turns(model, HELLO))[0]


async def tools(model: str) -> str:
    """Return the last text after two shell commands."""
    return (await turns(model, BOTH_CITIES))[0]


async def thinking(model: str) -> list[str]:
    """Return the last text of two turns of one session with reasoning and commands."""
    return await turns(model, *reasoning_prompts(model))


async def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    output_format = {"type": "json_schema", "schema": PLACE}
    async with ClaudeSDKClient(options(model, output_format=output_format)) as session:
        await session.query(by_call("StructuredOutput"))
        results = [m async for m in session.receive_response() if isinstance(m, ResultMessage)]
    return [results[-1].structured_output]


if __name__ == "__main__":
    main(text=text, tools=tools, thinking=thinking, structured=structured)
