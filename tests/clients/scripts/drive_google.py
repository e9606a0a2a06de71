"""The official `google-genai` SDK; it runs the tools itself."""

from __future__ import annotations

import json
from typing import Any, cast

from google import genai
from google.genai import types
from place import Place
from pydantic import BaseModel
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    HELLO,
    KEY,
    PLACE,
    main,
    reasoning_prompts,
    weather,
)

options = types.HttpOptions(base_url=BASE)
client = genai.Client(api_key=KEY, vertexai=False, http_options=options)


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def text(model: str) -> str:
    """Return the text of a response."""
    return client.models.generate_content(model=model, contents=HELLO).text or ""


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    chunks = client.models.generate_content_stream(model=model, contents=HELLO)
    return [chunk.text for chunk in chunks if chunk.text]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    config = types.GenerateContentConfig(tools=[get_weather])
    return client.chats.create(model=model, config=config).send_message(BOTH_CITIES).text or ""


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    thinks = types.ThinkingConfig(include_thoughts=True)
    config = types.GenerateContentConfig(tools=[get_weather], thinking_config=thinks)
    chat = client.chats.create(model=model, config=config)
    return [chat.send_message(prompt).text or "" for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Place
    )
    response = client.models.generate_content(model=model, contents=AS_JSON, config=config)
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_json_schema=PLACE
    )
    chunks = client.models.generate_content_stream(model=model, contents=AS_JSON, config=config)
    return [
        dict(cast("BaseModel", response.parsed)),
        json.loads("".join(chunk.text or "" for chunk in chunks)),
    ]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
