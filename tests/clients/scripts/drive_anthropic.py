"""The official `anthropic` SDK."""

from __future__ import annotations

from typing import Any

import anthropic
from walk import BASE, BOTH_CITIES, CITY, HELLO, KEY, TOOL, TOOL_WORDS, main, think, weather

client = anthropic.Anthropic(base_url=BASE, api_key=KEY, max_retries=0)
TOOLS: Any = [{"name": TOOL, "description": TOOL_WORDS, "input_schema": CITY}]


def text(model: str) -> str:
    """A whole answer."""
    return message_text(client.messages.create(model=model, max_tokens=100, messages=[user(HELLO)]))


def stream(model: str) -> list[str]:
    """The pieces of a streamed answer."""
    params: Any = {"model": model, "max_tokens": 100, "messages": [user(HELLO)]}
    with client.messages.stream(**params) as events:
        return list(events.text_stream)


def tools(model: str) -> str:
    """The last words of a tool round trip."""
    return turn(model, [], BOTH_CITIES, {})


def thinking(model: str) -> list[str]:
    """The last words of two turns with thoughts and tools."""
    history: list[Any] = []
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    return [turn(model, history, prompt, more) for prompt in think(model)]


def user(content: Any) -> Any:
    """A message of the user's."""
    return {"role": "user", "content": content}


def message_text(message: Any) -> str:
    """The text of an answer."""
    return "".join(block.text for block in message.content if block.type == "text")


def turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Ask by streams, run what tools are called, until there are none."""
    history.append(user(prompt))
    for _ in range(4):
        params: Any = {"model": model, "max_tokens": 4096, "messages": history, **more}
        with client.messages.stream(tools=TOOLS, **params) as events:
            message = events.get_final_message()
        history.append({"role": "assistant", "content": message.content})
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            return message_text(message)
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": weather(**call.input)}
            for call in calls
        ]
        history.append(user(results))
    raise RuntimeError("the tools are called without end")


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking)
