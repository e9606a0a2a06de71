"""The official `google-genai` SDK; it runs the tools itself."""

from __future__ import annotations

from google import genai
from google.genai import types
from scenarios import BASE, BOTH_CITIES, HELLO, KEY, main, reasoning_prompts, weather

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


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking)
