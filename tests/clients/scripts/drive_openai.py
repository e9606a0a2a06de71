"""The official `openai` SDK: Chat, Responses, legacy Completions and Embeddings."""

from __future__ import annotations

import json
from typing import Any

import openai
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

client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)
FUNCTION: Any = {"name": TOOL, "description": TOOL_DESCRIPTION, "parameters": CITY}
CHAT_TOOLS: Any = [{"type": "function", "function": FUNCTION}]
TOOLS: Any = [{"type": "function", "strict": False, **FUNCTION}]


def text(model: str) -> str:
    """Return the text of a response."""
    if VARIANT == "completions":
        return client.completions.create(model=model, prompt=HELLO).choices[0].text
    if VARIANT == "responses":
        return client.responses.create(model=model, input=HELLO).output_text
    response = client.chat.completions.create(model=model, messages=[user(HELLO)])
    return response.choices[0].message.content or ""


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    if VARIANT == "completions":
        response = client.completions.create(model=model, prompt=HELLO, stream=True)
        return [chunk.choices[0].text for chunk in response if chunk.choices]
    if VARIANT == "responses":
        events = client.responses.create(model=model, input=HELLO, stream=True)
        return [event.delta for event in events if event.type == "response.output_text.delta"]
    chunks = client.chat.completions.create(model=model, messages=[user(HELLO)], stream=True)
    return [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    turn = responses_turn if VARIANT == "responses" else chat_turn
    return turn(model, [], BOTH_CITIES, {})


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    if VARIANT == "responses":
        more: dict[str, Any] = {"reasoning": {"effort": "high", "summary": "auto"}}
        more |= {"include": ["reasoning.encrypted_content"], "store": False}
        return [responses_turn(model, history, prompt, more) for prompt in reasoning_prompts(model)]
    return [
        chat_turn(model, history, prompt, {"reasoning_effort": "high"})
        for prompt in reasoning_prompts(model)
    ]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    if VARIANT == "responses":
        response = client.responses.parse(model=model, input=AS_JSON, text_format=Place)
        with client.responses.stream(
            model=model, input=AS_JSON, text_format=Place
        ) as response_events:
            streamed_response = response_events.get_final_response()
        return [dict(p) for p in (response.output_parsed, streamed_response.output_parsed) if p]
    params: Any = {"model": model, "messages": [user(AS_JSON)], "response_format": Place}
    with client.chat.completions.stream(**params) as events:
        streamed = events.get_final_completion()
    completions = (client.chat.completions.parse(**params), streamed)
    return [dict(c.choices[0].message.parsed or {}) for c in completions]


def embed(model: str) -> list[int]:
    """Return the lengths of the vectors of two texts."""
    response = client.embeddings.create(model=model, input=["a", "bbb"])
    return [len(row.embedding) for row in response.data]


def user(content: str) -> Any:
    """Return a user message."""
    return {"role": "user", "content": content}


def chat_turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Send a prompt with streaming, run the called tools, and repeat until there are no calls."""
    history.append(user(prompt))
    for _ in range(4):
        params = {"model": model, "messages": history, "tools": CHAT_TOOLS, **more}
        with client.chat.completions.stream(**params) as events:
            message = events.get_final_completion().choices[0].message
        history.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return message.content or ""
        for call in message.tool_calls:
            sent_weather = weather(**json.loads(call.function.arguments))
            history.append({"role": "tool", "tool_call_id": call.id, "content": sent_weather})
    raise RuntimeError("the tools are called without end")


def responses_turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Run a turn with Responses and `store=False`."""
    history.append(user(prompt))
    for _ in range(4):
        with client.responses.stream(model=model, input=history, tools=TOOLS, **more) as events:
            response = events.get_final_response()
        history += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        for call in calls:
            sent_weather = weather(**json.loads(call.arguments))
            history.append(
                {"type": "function_call_output", "call_id": call.call_id, "output": sent_weather}
            )
    raise RuntimeError("the tools are called without end")


if __name__ == "__main__":
    main(
        text=text,
        stream=stream,
        tools=tools,
        thinking=thinking,
        structured=structured,
        embed=embed,
    )
