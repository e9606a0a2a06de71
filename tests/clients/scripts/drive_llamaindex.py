"""LlamaIndex's `OpenAI`, `OpenAILike` and `Anthropic`, in its own agent."""

from __future__ import annotations

from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from place import Place
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


def llm(model: str, *, thinks: bool = False) -> Any:
    """Return the model of this variant."""
    if VARIANT == "anthropic":
        from llama_index.llms.anthropic import Anthropic

        more: dict[str, Any] = {}
        if thinks:
            more = {"thinking_dict": {"type": "enabled", "budget_tokens": 1024}}
        return Anthropic(
            model=model, base_url=BASE, api_key=KEY, max_retries=0, max_tokens=4096, **more
        )
    more = {"reasoning_effort": "high"} if thinks else {}
    if VARIANT == "openai":
        from llama_index.llms.openai import OpenAI

        return OpenAI(model=model, api_base=f"{BASE}/v1", api_key=KEY, max_retries=0, **more)
    from llama_index.llms.openai_like import OpenAILike

    more = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 100_000}
    more["additional_kwargs"] = {"reasoning_effort": "high"} if thinks else {}
    return OpenAILike(model=model, api_base=f"{BASE}/v1", api_key=KEY, max_retries=0, **more)


def text(model: str) -> str:
    """Return the text of a response."""
    return llm(model).chat([ChatMessage(HELLO)]).message.content or ""


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    pieces = llm(model).stream_chat([ChatMessage(HELLO)])
    return [piece.delta for piece in pieces if piece.delta]


async def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return (await turns(llm(model), [BOTH_CITIES]))[0]


async def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    return await turns(llm(model, thinks=True), reasoning_prompts(model))


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    prompt = AS_JSON if enforces_schemas(model) else by_call("Place")
    return [dict(llm(model).as_structured_llm(Place).chat([ChatMessage(prompt)]).raw)]


def enforces_schemas(model: str) -> bool:
    """Return whether LlamaIndex sends this model a schema for its text, and not a tool."""
    if VARIANT == "anthropic":
        from llama_index.llms.anthropic.utils import is_anthropic_structured_output_supported

        return bool(is_anthropic_structured_output_supported(model))
    return VARIANT == "openai"


async def turns(model: Any, prompts: list[str]) -> list[str]:
    """Return the responses of an agent with the tool, turn by turn."""
    tool = FunctionTool.from_defaults(get_weather)
    agent = FunctionAgent(tools=[tool], llm=model, system_prompt="Be brief.")
    memory = ChatMemoryBuffer.from_defaults(token_limit=50_000)
    return [str(await agent.run(prompt, memory=memory)) for prompt in prompts]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
