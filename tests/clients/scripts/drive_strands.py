"""Strands Agents with its models of Anthropic, Gemini and Ollama; it always streams."""

from __future__ import annotations

from typing import Any

from place import Place
from scenarios import (
    BASE,
    BOTH_CITIES,
    HELLO,
    KEY,
    VARIANT,
    by_call,
    main,
    reasoning_prompts,
    weather,
)
from strands import Agent, tool

BEARER = {"Authorization": f"Bearer {KEY}"}


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def agent(model: str, *, thinks: bool = False, **more: Any) -> Any:
    """Return an agent with the model of this variant."""
    return Agent(model=variant_model(model, thinks=thinks), callback_handler=None, **more)


def variant_model(model: str, *, thinks: bool) -> Any:
    """Return the model of this variant."""
    params: dict[str, Any] = {}
    if VARIANT == "anthropic":
        from strands.models.anthropic import AnthropicModel

        if thinks:
            params = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        # Its connections do not outlive the event loop of a call, so that it must retry.
        client_args: dict[str, Any] = {"base_url": BASE, "api_key": KEY}
        return AnthropicModel(
            client_args=client_args, model_id=model, max_tokens=4096, params=params
        )
    if VARIANT == "gemini":
        from strands.models.gemini import GeminiModel

        if thinks:
            params = {"thinking_config": {"include_thoughts": True}}
        client_args = {"api_key": KEY, "http_options": {"base_url": BASE}}
        return GeminiModel(client_args=client_args, model_id=model, params=params)
    from strands.models.ollama import OllamaModel

    more = {"additional_args": {"think": True}} if thinks else {}
    return OllamaModel(BASE, model_id=model, ollama_client_args={"headers": BEARER}, **more)


def text(model: str) -> str:
    """Return the text of a response."""
    return str(agent(model)(HELLO)).removesuffix("\n")


async def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    return [event["data"] async for event in agent(model).stream_async(HELLO) if "data" in event]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return str(agent(model, tools=[get_weather])(BOTH_CITIES)).removesuffix("\n")


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    thinker = agent(model, thinks=True, tools=[get_weather])
    return [str(thinker(prompt)) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    result = agent(model)(by_call("Place"), structured_output_model=Place)
    return [dict(result.structured_output)]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
