"""LiteLLM as a library, with the three model prefixes that are used with gateways."""

from __future__ import annotations

import json
from typing import Any

import litellm
from place import Place
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    CITY,
    HELLO,
    KEY,
    TOOL,
    TOOL_DESCRIPTION,
    VARIANT,
    main,
    reasoning_prompts,
    weather,
)

FUNCTION = {"name": TOOL, "description": TOOL_DESCRIPTION, "parameters": CITY}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]
# `anthropic/` appends /v1/messages itself; the others expect the base with /v1.
ADDRESS = BASE if VARIANT == "anthropic" else f"{BASE}/v1"


def complete(model: str, messages: list[Any], **more: Any) -> Any:
    """Send one request without LiteLLM's retries."""
    more |= {"api_base": ADDRESS, "api_key": KEY, "num_retries": 0, "max_tokens": 4096}
    return litellm.completion(f"{VARIANT}/{model}", messages, **more)


def text(model: str) -> str:
    """Return the text of a response."""
    return str(complete(model, [user(HELLO)]).choices[0].message.content)


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    chunks = complete(model, [user(HELLO)], stream=True)
    return [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return turn(model, [], BOTH_CITIES, {})


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    # It drops an effort for models that it does not know, unless it is allowed.
    more: dict[str, Any] = {"reasoning_effort": "high"}
    more |= {"allowed_openai_params": ["reasoning_effort"]}
    if VARIANT == "anthropic":
        more = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    return [turn(model, history, prompt, more) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    response = complete(model, [user(AS_JSON)], response_format=Place)
    return [json.loads(response.choices[0].message.content)]


def user(content: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": content}


def turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Send a prompt, run the called tools, and repeat until there are no calls."""
    history.append(user(prompt))
    for _ in range(4):
        message = complete(model, history, tools=TOOLS, **more).choices[0].message
        history.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return str(message.content)
        for call in message.tool_calls:
            sent_weather = weather(**json.loads(call.function.arguments))
            history.append({"role": "tool", "tool_call_id": call.id, "content": sent_weather})
    raise RuntimeError("the tools are called without end")


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
