"""LangChain's chat models of OpenAI, Anthropic, Ollama and Bedrock in an agent loop."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
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


@tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return weather(city)


def chat(model: str, *, thinks: bool = False) -> Any:
    """Return the chat model of this variant."""
    if VARIANT == "anthropic":
        from langchain_anthropic import ChatAnthropic

        more: dict[str, Any] = {"max_tokens": 4096}
        if thinks:
            more["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return ChatAnthropic(model=model, base_url=BASE, api_key=KEY, max_retries=0, **more)
    if VARIANT == "ollama":
        from langchain_ollama import ChatOllama

        headers = {"headers": {"Authorization": f"Bearer {KEY}"}}
        return ChatOllama(
            model=model, base_url=BASE, client_kwargs=headers, reasoning=True if thinks else None
        )
    if VARIANT == "bedrock":
        return chat_bedrock(model, thinks=thinks)
    from langchain_openai import ChatOpenAI

    more = {}
    if VARIANT == "responses":
        more = {"use_responses_api": True}
        if thinks:
            more["reasoning"] = {"effort": "high", "summary": "auto"}
            more |= {"include": ["reasoning.encrypted_content"], "store": False}
    elif thinks:
        more = {"reasoning_effort": "high"}
    return ChatOpenAI(model=model, base_url=f"{BASE}/v1", api_key=KEY, max_retries=0, **more)


def chat_bedrock(model: str, *, thinks: bool) -> Any:
    """Return `ChatBedrockConverse`, with a client that sends the key without TLS."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from langchain_aws import ChatBedrockConverse

    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=BASE,
        config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
    )
    client.meta.events.register(
        "request-created.bedrock-runtime",
        lambda request, **_: request.headers.add_header("Authorization", f"Bearer {KEY}"),
    )
    fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinks else {}
    return ChatBedrockConverse(
        model=model,
        client=client,
        provider="anthropic",
        region_name="us-east-1",
        max_tokens=4096,
        disable_streaming=False,
        supports_tool_choice_values=("auto", "any", "tool"),
        additional_model_request_fields=fields or None,
    )


def text(model: str) -> str:
    """Return the text of a response."""
    return chat(model).invoke(HELLO).text


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    return [chunk.text for chunk in chat(model).stream(HELLO) if chunk.text]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return turn(chat(model).bind_tools([get_weather]), [], BOTH_CITIES)


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    agent, history = chat(model, thinks=True).bind_tools([get_weather]), []
    return [turn(agent, history, prompt) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    prompts = {"json_schema": AS_JSON, "function_calling": by_call("Place")}
    return [
        dict(chat(model).with_structured_output(Place, method=method).invoke(prompt))
        for method, prompt in prompts.items()
    ]


def embed(model: str) -> list[int]:
    """Return the lengths of the vectors of two texts."""
    from langchain_openai import OpenAIEmbeddings

    client = OpenAIEmbeddings(
        model=model, base_url=f"{BASE}/v1", api_key=KEY, check_embedding_ctx_length=False
    )
    return [len(vector) for vector in client.embed_documents(["a", "bbb"])]


def turn(agent: Any, history: list[Any], prompt: str) -> str:
    """Send a prompt, run the called tools, and repeat until there are no calls."""
    history.append(HumanMessage(prompt))
    for _ in range(4):
        response = agent.invoke(history)
        history.append(response)
        if not response.tool_calls:
            return response.text
        for call in response.tool_calls:
            history.append(ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"]))
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
