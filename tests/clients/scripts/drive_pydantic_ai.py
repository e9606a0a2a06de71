"""Pydantic AI: its models for Chat, Responses, Anthropic's API and Gemini."""

from __future__ import annotations

from typing import Any

from place import Place
from pydantic_ai import Agent, ModelSettings, NativeOutput, ToolOutput
from scenarios import (
    AS_JSON,
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


def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def agent(model: str, *, thinks: bool = False, **more: Any) -> Any:
    """Create an agent with the model of this variant; each event loop needs a new one."""
    settings: dict[str, Any] = {"thinking": "high"} if thinks else {}
    if thinks and VARIANT == "google":
        settings = {"google_thinking_config": {"include_thoughts": True}}
    if thinks and VARIANT in {"chat", "responses"}:
        # It leaves `thinking` out for models of whose names it does not know that they think.
        settings["openai_reasoning_effort"] = "high"
    if thinks and VARIANT == "responses":
        settings |= {"openai_reasoning_summary": "auto", "openai_store": False}
    return Agent(
        variant_model(model),
        instructions="Be brief.",
        model_settings=ModelSettings(**settings),
        **more,
    )


def variant_model(model: str) -> Any:
    """Return the model of this variant."""
    if VARIANT == "anthropic":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel(model, provider=AnthropicProvider(base_url=BASE, api_key=KEY))
    if VARIANT == "google":
        from pydantic_ai.models.google import GoogleModel
        from pydantic_ai.providers.google import GoogleProvider

        return GoogleModel(model, provider=GoogleProvider(base_url=BASE, api_key=KEY))
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=f"{BASE}/v1", api_key=KEY)
    kind = OpenAIResponsesModel if VARIANT == "responses" else OpenAIChatModel
    return kind(model, provider=provider)


async def text(model: str) -> str:
    """Return the text of a response."""
    return str((await agent(model).run(HELLO)).output)


async def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    async with agent(model).run_stream(HELLO) as result:
        return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]


async def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return str((await agent(model, tools=[get_weather]).run(BOTH_CITIES)).output)


async def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    thinker = agent(model, thinks=True, tools=[get_weather])
    prompts = reasoning_prompts(model)
    first = await thinker.run(prompts[0])
    second = await thinker.run(prompts[1], message_history=first.all_messages())
    return [str(first.output), str(second.output)]


async def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    prompts: Any = [(ToolOutput(Place), by_call("final_result"))]
    if VARIANT != "anthropic" or "claude" in model:
        prompts.append((NativeOutput(Place), AS_JSON))
    return [
        dict((await agent(model, output_type=output).run(prompt)).output)
        for output, prompt in prompts
    ]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
