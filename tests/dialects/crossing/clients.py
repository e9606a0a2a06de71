"""Requests of each client dialect: the body as the SDK writes it, and the path."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.dialects.anthropic_messages.make import PNG
from tests.dialects.crossing.feature_requests import SCHEMA, SYSTEM, FeatureRequest, Json, Tool

DATA_URL = f"data:image/png;base64,{PNG}"


@dataclass(frozen=True)
class Client:
    """A client: `can` are the features its dialect supports, `knows` its settings."""

    name: str
    can: tuple[str, ...]
    knows: frozenset[str]
    path: Callable[[str, FeatureRequest], str]
    body: Callable[[str, FeatureRequest], Json]


# --- OpenAI Chat ---------------------------------------------------------------------------


def chat(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of Chat Completions."""
    content: str | list[Json] = feature_request.user
    if feature_request.image:
        image = {"type": "image_url", "image_url": {"url": DATA_URL}}
        content = [{"type": "text", "text": feature_request.user}, image]
    messages: list[Json] = [{"role": "system", "content": SYSTEM}]
    messages.append({"role": "user", "content": content})
    if feature_request.previous_response is not None:
        messages.append(feature_request.previous_response)
        messages += [
            {"role": "tool", "tool_call_id": id_, "content": result}
            for id_, _, result in feature_request.results
        ]
    body: Json = {"model": model, "messages": messages, "stream": feature_request.stream}
    if feature_request.stream:
        body["stream_options"] = {"include_usage": True}
    if feature_request.tools:
        body["tools"] = [
            {"type": "function", "function": _function(t)} for t in feature_request.tools
        ]
    if feature_request.thinking:
        body["reasoning_effort"] = "high"
    if feature_request.schema:
        form = {"name": "verdict", "schema": SCHEMA, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if feature_request.settings:
        body |= {"temperature": 0.25, "max_completion_tokens": 777, "stop": ["END!"]}
        body |= {"seed": 4242, "user": "user-7f3"}
    return body


def _function(tool: Tool) -> Json:
    return {"name": tool.name, "description": tool.description, "parameters": tool.schema}


# --- OpenAI Responses ----------------------------------------------------------------------


def responses(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of Responses."""
    content: list[Json] = [{"type": "input_text", "text": feature_request.user}]
    if feature_request.image:
        content.append({"type": "input_image", "image_url": DATA_URL, "detail": "auto"})
    items: list[Json] = [{"type": "message", "role": "user", "content": content}]
    if feature_request.previous_response is not None:
        items += feature_request.previous_response
        items += [
            {"type": "function_call_output", "call_id": id_, "output": result}
            for id_, _, result in feature_request.results
        ]
    body: Json = {"model": model, "instructions": SYSTEM, "input": items, "store": False}
    body |= {"stream": feature_request.stream, "include": ["reasoning.encrypted_content"]}
    if feature_request.tools:
        body["tools"] = [
            {"type": "function", "strict": False, **_function(t)} for t in feature_request.tools
        ]
    if feature_request.thinking:
        body["reasoning"] = {"effort": "high", "summary": "auto"}
    if feature_request.schema:
        form = {"type": "json_schema", "name": "verdict", "schema": SCHEMA, "strict": True}
        body["text"] = {"format": form}
    if feature_request.settings:
        body |= {"temperature": 0.25, "max_output_tokens": 777, "safety_identifier": "user-7f3"}
    return body


# --- Anthropic Messages --------------------------------------------------------------------


def messages(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of Messages."""
    content: list[Json] = [{"type": "text", "text": feature_request.user}]
    if feature_request.image:
        source = {"type": "base64", "media_type": "image/png", "data": PNG}
        content.append({"type": "image", "source": source})
    turns: list[Json] = [{"role": "user", "content": content}]
    if feature_request.previous_response is not None:
        back = [
            {"type": "tool_result", "tool_use_id": id_, "content": result}
            for id_, _, result in feature_request.results
        ]
        turns += [
            {"role": "assistant", "content": feature_request.previous_response},
            {"role": "user", "content": back},
        ]
    body: Json = {"model": model, "max_tokens": 4096, "system": SYSTEM, "messages": turns}
    body["stream"] = feature_request.stream
    if feature_request.tools:
        body["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": t.schema}
            for t in feature_request.tools
        ]
    if feature_request.thinking:
        body["thinking"] = {"type": "enabled", "budget_tokens": 2048}
    if feature_request.schema:
        body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    if feature_request.settings:
        body |= {"temperature": 0.25, "max_tokens": 777, "stop_sequences": ["END!"], "top_k": 39}
        body["metadata"] = {"user_id": "user-7f3"}
    return body


# --- Gemini --------------------------------------------------------------------------------


def gemini(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of generateContent."""
    parts: list[Json] = [{"text": feature_request.user}]
    if feature_request.image:
        parts.append({"inlineData": {"mimeType": "image/png", "data": PNG}})
    contents: list[Json] = [{"role": "user", "parts": parts}]
    if feature_request.previous_response is not None:
        back = [
            {"functionResponse": {"id": id_, "name": name, "response": {"output": result}}}
            for id_, name, result in feature_request.results
        ]
        contents += [
            {"role": "model", "parts": feature_request.previous_response},
            {"role": "user", "parts": back},
        ]
    config: Json = {}
    body: Json = {"systemInstruction": {"parts": [{"text": SYSTEM}]}, "contents": contents}
    if feature_request.tools:
        declared = [
            {"name": t.name, "description": t.description, "parametersJsonSchema": t.schema}
            for t in feature_request.tools
        ]
        body["tools"] = [{"functionDeclarations": declared}]
    if feature_request.thinking:
        config["thinkingConfig"] = {"includeThoughts": True, "thinkingBudget": 8192}
    if feature_request.schema:
        config |= {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    if feature_request.settings:
        config |= {"temperature": 0.25, "maxOutputTokens": 777, "stopSequences": ["END!"]}
        config |= {"seed": 4242, "topK": 39}
    if config:
        body["generationConfig"] = config
    return body


def _gemini_path(model: str, feature_request: FeatureRequest) -> str:
    verb = "streamGenerateContent?alt=sse" if feature_request.stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}"


# --- Ollama --------------------------------------------------------------------------------


def ollama(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of /api/chat."""
    user: Json = {"role": "user", "content": feature_request.user}
    if feature_request.image:
        user["images"] = [PNG]
    turns: list[Json] = [{"role": "system", "content": SYSTEM}, user]
    if feature_request.previous_response is not None:
        turns.append(feature_request.previous_response)
        turns += [
            {"role": "tool", "tool_name": name, "content": result}
            for _, name, result in feature_request.results
        ]
    body: Json = {"model": model, "messages": turns, "stream": feature_request.stream}
    if feature_request.tools:
        body["tools"] = [
            {"type": "function", "function": _function(t)} for t in feature_request.tools
        ]
    if feature_request.thinking:
        body["think"] = True
    if feature_request.schema:
        body["format"] = SCHEMA
    if feature_request.settings:
        options: Json = {"temperature": 0.25, "num_predict": 777, "stop": ["END!"]}
        body["options"] = {**options, "seed": 4242, "top_k": 39}
    return body


# --- the older completions -----------------------------------------------------------------


def completions(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of legacy completions."""
    body: Json = {"model": model, "prompt": feature_request.user, "stream": feature_request.stream}
    if feature_request.stream:
        body["stream_options"] = {"include_usage": True}
    if feature_request.settings:
        body |= {"temperature": 0.25, "max_tokens": 777, "stop": ["END!"], "seed": 4242}
        body["user"] = "user-7f3"
    return body


# --- Bedrock Converse ----------------------------------------------------------------------


def converse(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of Converse as boto3 writes it, with bytes in base64."""
    content: list[Json] = [{"text": feature_request.user}]
    if feature_request.image:
        content.append({"image": {"format": "png", "source": {"bytes": PNG}}})
    turns: list[Json] = [{"role": "user", "content": content}]
    if feature_request.previous_response is not None:
        back = [
            {"toolResult": {"toolUseId": id_, "content": [{"text": result}], "status": "success"}}
            for id_, _, result in feature_request.results
        ]
        turns += [
            {"role": "assistant", "content": feature_request.previous_response},
            {"role": "user", "content": back},
        ]
    body: Json = {"system": [{"text": SYSTEM}], "messages": turns}
    if feature_request.tools:
        specs = [
            {"name": t.name, "description": t.description, "inputSchema": {"json": t.schema}}
            for t in feature_request.tools
        ]
        body["toolConfig"] = {"tools": [{"toolSpec": spec} for spec in specs]}
    if feature_request.thinking:
        fields = {"thinking": {"type": "enabled", "budget_tokens": 2048}}
        body |= {"additionalModelRequestFields": fields, "inferenceConfig": {"maxTokens": 4096}}
    if feature_request.schema:
        structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "verdict"}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    if feature_request.settings:
        config: Json = {"temperature": 0.25, "maxTokens": 777, "stopSequences": ["END!"]}
        body |= {"inferenceConfig": config, "additionalModelRequestFields": {"top_k": 39}}
    return body


def _converse_path(model: str, feature_request: FeatureRequest) -> str:
    return f"/model/{model}/converse{'-stream' if feature_request.stream else ''}"


# --- Cohere --------------------------------------------------------------------------------


def cohere(model: str, feature_request: FeatureRequest) -> Json:
    """Return a body of /v2/chat."""
    content: str | list[Json] = feature_request.user
    if feature_request.image:
        image = {"type": "image_url", "image_url": {"url": DATA_URL}}
        content = [{"type": "text", "text": feature_request.user}, image]
    turns: list[Json] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": content},
    ]
    if feature_request.previous_response is not None:
        turns.append(feature_request.previous_response)
        turns += [
            {"role": "tool", "tool_call_id": id_, "content": result}
            for id_, _, result in feature_request.results
        ]
    body: Json = {"model": model, "messages": turns, "stream": feature_request.stream}
    if feature_request.tools:
        body["tools"] = [
            {"type": "function", "function": _function(t)} for t in feature_request.tools
        ]
    if feature_request.thinking:
        body["thinking"] = {"type": "enabled", "token_budget": 2048}
    if feature_request.schema:
        body["response_format"] = {"type": "json_object", "json_schema": SCHEMA}
    if feature_request.settings:
        body |= {"temperature": 0.25, "max_tokens": 777, "stop_sequences": ["END!"]}
        body |= {"seed": 4242, "k": 39}
    return body


_ALL = ("text", "settings", "tools", "thinking", "image", "schema")
_COMMON = frozenset({"temperature", "max_output"})
CLIENTS: dict[str, Client] = {
    client.name: client
    for client in (
        Client(
            "openai_chat",
            _ALL,
            _COMMON | {"stop", "seed", "user"},
            lambda _, __: "/v1/chat/completions",
            chat,
        ),
        Client(
            "openai_responses", _ALL, _COMMON | {"user"}, lambda _, __: "/v1/responses", responses
        ),
        Client(
            "openai_completions",
            ("text", "settings"),
            _COMMON | {"stop", "seed", "user"},
            lambda _, __: "/v1/completions",
            completions,
        ),
        Client(
            "anthropic_messages",
            _ALL,
            _COMMON | {"stop", "top_k", "user"},
            lambda _, __: "/v1/messages",
            messages,
        ),
        Client("gemini", _ALL, _COMMON | {"stop", "seed", "top_k"}, _gemini_path, gemini),
        Client(
            "ollama", _ALL, _COMMON | {"stop", "seed", "top_k"}, lambda _, __: "/api/chat", ollama
        ),
        Client(
            "cohere", _ALL, _COMMON | {"stop", "seed", "top_k"}, lambda _, __: "/v2/chat", cohere
        ),
        Client("bedrock_converse", _ALL, _COMMON | {"stop", "top_k"}, _converse_path, converse),
    )
}
