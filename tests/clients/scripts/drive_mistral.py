"""The official `mistralai` SDK, whose Chat API has fields of its own."""

from __future__ import annotations

import json
from typing import Any

from mistralai.client import Mistral
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
    main,
    reasoning_prompts,
    weather,
)

client = Mistral(api_key=KEY, server_url=BASE)
FUNCTION = {"name": TOOL, "description": TOOL_DESCRIPTION, "parameters": CITY}
TOOLS: Any = [{"type": "function", "function": FUNCTION}]


def text(model: str) -> str:
    """Return the text of a response."""
    return message_text(
        client.chat.complete(model=model, messages=[user(HELLO)]).choices[0].message
    )


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    events = client.chat.stream(model=model, messages=[user(HELLO)])
    deltas = [event.data.choices[0].delta for event in events if event.data.choices]
    return [delta.content for delta in deltas if delta.content]


def tools(model: str) -> str:
    """Return the last text after tool calls, which are streamed."""
    history: list[Any] = [user(BOTH_CITIES)]
    for _ in range(4):
        texts, calls = [], []
        for event in client.chat.stream(model=model, messages=history, tools=TOOLS):
            for choice in event.data.choices:
                texts.append(choice.delta.content or "")
                calls += choice.delta.tool_calls or []
        if not calls:
            return "".join(texts)
        history.append({"role": "assistant", "content": "".join(texts), "tool_calls": calls})
        history += [result_of(call) for call in calls]
    raise RuntimeError("the tools are called without end")


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    return [
        turn(model, history, prompt, {"reasoning_effort": "high"})
        for prompt in reasoning_prompts(model)
    ]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    completion = client.chat.parse(Place, model=model, messages=[user(AS_JSON)])
    return [dict(completion.choices[0].message.parsed)]


def models(model: str) -> bool:
    """Return whether the model is in the list, and can be retrieved."""
    listed = [entry.id for entry in client.models.list().data or ()]
    return model in listed and client.models.retrieve(model_id=model).id == model


def embed(model: str) -> list[int]:
    """Return the lengths of the vectors of two texts."""
    response = client.embeddings.create(model=model, inputs=["a", "bbb"])
    return [len(row.embedding or ()) for row in response.data]


def user(content: str) -> Any:
    """Return a user message."""
    return {"role": "user", "content": content}


def message_text(message: Any) -> str:
    """Return the text of a response."""
    if isinstance(message.content, str):
        return message.content
    # With reasoning, the content is a list of chunks.
    return "".join(chunk.text for chunk in message.content if chunk.type == "text")


def result_of(call: Any) -> dict[str, Any]:
    """Return the message with the result of a call."""
    sent_weather = weather(**json.loads(call.function.arguments))
    result = {"role": "tool", "name": call.function.name, "content": sent_weather}
    return {**result, "tool_call_id": call.id}


def turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Send a prompt, run the called tools, and repeat until there are no calls."""
    history.append(user(prompt))
    for _ in range(4):
        completion = client.chat.complete(model=model, messages=history, tools=TOOLS, **more)
        message = completion.choices[0].message
        history.append(message)
        if not message.tool_calls:
            return message_text(message)
        history += [result_of(call) for call in message.tool_calls]
    raise RuntimeError("the tools are called without end")


if __name__ == "__main__":
    main(
        text=text,
        stream=stream,
        tools=tools,
        thinking=thinking,
        structured=structured,
        embed=embed,
        models=models,
    )
