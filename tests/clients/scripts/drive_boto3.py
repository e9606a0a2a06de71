"""The official `boto3` client of Bedrock's runtime."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    CITY,
    HELLO,
    KEY,
    PLACE,
    TOOL,
    TOOL_DESCRIPTION,
    main,
    reasoning_prompts,
    weather,
)

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
SPEC = {"name": TOOL, "description": TOOL_DESCRIPTION, "inputSchema": {"json": CITY}}
TOOLS: Any = {"tools": [{"toolSpec": SPEC}]}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 2048}}


def text(model: str) -> str:
    """Return the text of a response."""
    response = client.converse(modelId=model, messages=[user({"text": HELLO})])
    return message_text(response["output"]["message"])


def stream(model: str) -> list[str]:
    """Return the text deltas of a streamed response."""
    response = client.converse_stream(modelId=model, messages=[user({"text": HELLO})])
    deltas = [event.get("contentBlockDelta", {}).get("delta", {}) for event in response["stream"]]
    return [delta["text"] for delta in deltas if "text" in delta]


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    return turn(model, [], BOTH_CITIES, {})


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    history: list[Any] = []
    more = {"additionalModelRequestFields": THINKING, "inferenceConfig": {"maxTokens": 8192}}
    return [turn(model, history, prompt, more) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    structure = {"jsonSchema": {"schema": json.dumps(PLACE), "name": "place"}}
    response = client.converse(
        modelId=model,
        messages=[user({"text": AS_JSON})],
        outputConfig={"textFormat": {"type": "json_schema", "structure": structure}},
    )
    return [json.loads(message_text(response["output"]["message"]))]


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": list(blocks)}


def message_text(message: dict[str, Any]) -> str:
    """Return the text of a message."""
    return "".join(block.get("text", "") for block in message["content"])


def turn(model: str, history: list[Any], prompt: str, more: dict[str, Any]) -> str:
    """Send a prompt, run the called tools, and repeat until there are no calls."""
    history.append(user({"text": prompt}))
    for _ in range(4):
        response = client.converse(modelId=model, messages=history, toolConfig=TOOLS, **more)
        message = response["output"]["message"]
        history.append(message)
        calls = [block["toolUse"] for block in message["content"] if "toolUse" in block]
        if not calls:
            return message_text(message)
        history.append(user(*[result(call) for call in calls]))
    raise RuntimeError("the tools are called without end")


def result(call: dict[str, Any]) -> dict[str, Any]:
    """Return the tool result of a call."""
    sent_weather = weather(**json.loads(json.dumps(call["input"])))
    return {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": sent_weather}]}}


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
