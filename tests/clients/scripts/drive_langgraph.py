"""LangGraph's agent with streams and a checkpointer, as `langchain` creates it."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
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

THREAD: Any = {"configurable": {"thread_id": "1"}}


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def agent(model: str, *, thinks: bool = False, response_format: Any = None) -> Any:
    """Return an agent with the chat model of this variant."""
    more: dict[str, Any] = {}
    if VARIANT == "google":
        from langchain_google_genai import ChatGoogleGenerativeAI

        more = {"include_thoughts": True} if thinks else {}
        chat: Any = ChatGoogleGenerativeAI(
            model=model, base_url=BASE, api_key=KEY, max_retries=1, **more
        )
    else:
        from langchain_openai import ChatOpenAI

        if thinks:
            more = {"reasoning": {"effort": "high", "summary": "auto"}, "store": False}
            more["include"] = ["reasoning.encrypted_content"]
        chat = ChatOpenAI(
            model=model,
            base_url=f"{BASE}/v1",
            api_key=KEY,
            max_retries=0,
            use_responses_api=True,
            **more,
        )
    return create_agent(
        chat,
        [get_weather],
        system_prompt="Be brief.",
        checkpointer=InMemorySaver(),
        response_format=response_format,
    )


def text(model: str) -> str:
    """Return the text of a response."""
    return str(agent(model).invoke(_user(HELLO), THREAD)["messages"][-1].text)


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    messages = agent(model).stream(_user(HELLO), THREAD, stream_mode="messages")
    return [m.text for m, _ in messages if isinstance(m, AIMessageChunk) and m.text]


def tools(model: str) -> str:
    """Return the last text after two tool calls."""
    return str(agent(model).invoke(_user(BOTH_CITIES), THREAD)["messages"][-1].text)


def thinking(model: str) -> list[str]:
    """Return the last text of two streamed turns with reasoning and tool calls."""
    created = agent(model, thinks=True)
    last_texts = []
    for prompt in reasoning_prompts(model):
        states = list(created.stream(_user(prompt), THREAD, stream_mode=["messages", "values"]))
        last_values = [state for mode, state in states if mode == "values"][-1]
        last_texts.append(str(last_values["messages"][-1].text))
    return last_texts


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    strategies = ((ProviderStrategy(Place), AS_JSON), (ToolStrategy(Place), by_call("Place")))
    states = [
        agent(model, response_format=strategy).invoke(_user(prompt), THREAD)
        for strategy, prompt in strategies
    ]
    return [dict(state["structured_response"]) for state in states]


def _user(content: str) -> Any:
    return {"messages": [{"role": "user", "content": content}]}


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
