"""The OpenAI Agents SDK: its Chat model, its Responses models, and LiteLLM's."""

from __future__ import annotations

from typing import Any

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    OpenAIResponsesWSModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.shared import Reasoning
from place import Place
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    HELLO,
    KEY,
    VARIANT,
    main,
    reasoning_prompts,
    weather,
)

set_tracing_disabled(disabled=True)
KINDS: dict[str, Any] = {
    "chat": OpenAIChatCompletionsModel,
    "responses": OpenAIResponsesModel,
    "socket": OpenAIResponsesWSModel,
}


@function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def agent(model: str, *, thinks: bool = False, **more: Any) -> Any:
    """Create an agent with the model of this variant; each event loop needs a new one."""
    if thinks:
        reasoning = Reasoning(effort="high", summary="auto")
        settings = ModelSettings(reasoning=reasoning)
        if VARIANT in {"responses", "socket"}:
            settings.response_include = ["reasoning.encrypted_content"]
            settings.store = False
        more["model_settings"] = settings
    return Agent(name="Forecaster", instructions="Be brief.", model=variant_model(model), **more)


def variant_model(model: str) -> Any:
    """Return the model of this variant."""
    if VARIANT == "litellm":
        from agents.extensions.models.litellm_model import LitellmModel

        return LitellmModel(f"litellm_proxy/{model}", base_url=f"{BASE}/v1", api_key=KEY)
    client = AsyncOpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)
    return KINDS[VARIANT](model, client)


async def text(model: str) -> str:
    """Return the text of a response."""
    return str((await Runner.run(agent(model), HELLO)).final_output)


async def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    events = Runner.run_streamed(agent(model), HELLO).stream_events()
    raw = [event.data async for event in events if event.type == "raw_response_event"]
    return [data.delta for data in raw if data.type == "response.output_text.delta"]


async def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return str((await Runner.run(agent(model, tools=[get_weather]), BOTH_CITIES)).final_output)


async def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    requested_agent = agent(model, thinks=True, tools=[get_weather])
    prompts = reasoning_prompts(model)
    first = await Runner.run(requested_agent, prompts[0])
    history = [*first.to_input_list(), {"role": "user", "content": prompts[1]}]
    second = await Runner.run(requested_agent, history)
    return [str(first.final_output), str(second.final_output)]


async def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    return [dict((await Runner.run(agent(model, output_type=Place), AS_JSON)).final_output)]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
