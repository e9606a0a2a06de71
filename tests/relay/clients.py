"""Clients of six dialects in a tool loop, which handle reasoning state as their SDKs do."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from gateway.framing.eventstream import Decoder

Json = dict[str, Any]
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}


def events(data: bytes) -> list[Json]:
    """Return the JSON of a stream's events or lines."""
    lines = [line.removeprefix(b"data: ") for line in data.replace(b"\r", b"").split(b"\n")]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


class Client(ABC):
    """A conversation; `read_response` adds a response to the history as the dialect's SDK does."""

    name = ""
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.history: list[Json] = []
        self.calls: list[Json] = []

    def new_client(self) -> Client:
        """Return a client of this kind with an empty history."""
        return type(self)()

    def add_user_message(self, text: str) -> None:
        """Add a user message to the history."""
        self.history.append({"role": "user", "content": text})

    @abstractmethod
    def add_tool_results(self, text: str) -> None:
        """Add the results of the last response's calls to the history."""

    @abstractmethod
    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        """Return path and body of the next request."""

    @abstractmethod
    def read_response(self, data: bytes, *, stream: bool) -> None:
        """Add a response to the history."""


class Chat(Client):
    """OpenAI's Chat, whose SDK types have no field for reasoning."""

    name = "chat"

    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
        body = {"model": model, "messages": self.history, "tools": [tool], "stream": stream}
        return "/v1/chat/completions", {**body, "reasoning_effort": "high"}

    def read_response(self, data: bytes, *, stream: bool) -> None:
        text, calls = "", dict[int, Json]()
        streamed_events = events(data) if stream else [json.loads(data)]
        for choice in (event["choices"][0] for event in streamed_events if event["choices"]):
            part = choice["delta"] if stream else choice["message"]
            text += part.get("content") or ""
            for index, call_delta in enumerate(part.get("tool_calls") or ()):
                call = calls.setdefault(
                    call_delta.get("index", index),
                    {"id": "", "function": {"name": "", "arguments": ""}},
                )
                call["id"] += call_delta.get("id") or ""
                for key, value in (call_delta.get("function") or {}).items():
                    call["function"][key] += value
        self.calls = [{**call, "type": "function"} for call in calls.values()]
        # As SDKs collect a stream: words that never came are an empty string.
        message: Json = {"role": "assistant", "content": text if text or stream else None}
        self.history.append({**message, "tool_calls": self.calls} if self.calls else message)

    def add_tool_results(self, text: str) -> None:
        self.history += [
            {"role": "tool", "tool_call_id": call["id"], "content": text} for call in self.calls
        ]


class Ollama(Client):
    """Ollama, whose SDK types have no call ids and no reasoning state."""

    name = "ollama"

    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
        body = {"model": model, "messages": self.history, "tools": [tool], "stream": stream}
        return "/api/chat", {**body, "think": True}

    def read_response(self, data: bytes, *, stream: bool) -> None:
        text, self.calls = "", []
        for event in events(data):
            text += event["message"].get("content") or ""
            for call in event["message"].get("tool_calls") or ():
                function_call = call["function"]
                function = {"name": function_call["name"], "arguments": function_call["arguments"]}
                self.calls.append({"function": function})
        message: Json = {"role": "assistant", "content": text}
        self.history.append({**message, "tool_calls": self.calls} if self.calls else message)

    def add_tool_results(self, text: str) -> None:
        self.history += [
            {"role": "tool", "tool_name": call["function"]["name"], "content": text}
            for call in self.calls
        ]


class Messages(Client):
    """Anthropic's Messages: the content is sent back unchanged."""

    name = "messages"
    headers: ClassVar = {"anthropic-version": "2023-06-01"}

    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        tool = {"name": "get_weather", "input_schema": SCHEMA}
        kind: Json = {"type": "enabled", "budget_tokens": 2000}
        if model == "anthropic":
            kind = {"type": "adaptive"}  # to a model of the same dialect it passes as it is
        body = {"model": model, "max_tokens": 9000, "messages": self.history, "tools": [tool]}
        return "/v1/messages", {**body, "stream": stream, "thinking": kind}

    def read_response(self, data: bytes, *, stream: bool) -> None:
        content = self._streamed_blocks(data) if stream else json.loads(data)["content"]
        content = [block for block in content if block != {"type": "text", "text": ""}]
        self.calls = [block for block in content if block["type"] == "tool_use"]
        self.history.append({"role": "assistant", "content": content})

    @staticmethod
    def _streamed_blocks(data: bytes) -> list[Json]:
        blocks: list[Json] = []
        text_by_index: dict[int, str] = {}
        for event in events(data):
            if event["type"] == "content_block_start":
                blocks.append(dict(event["content_block"]))
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                if delta["type"] == "input_json_delta":
                    text_by_index[event["index"]] = (
                        text_by_index.get(event["index"], "") + delta["partial_json"]
                    )
                    continue
                for key in ("text", "thinking", "signature"):
                    if key in delta:
                        blocks[event["index"]][key] += delta[key]
        for index, text in text_by_index.items():
            blocks[index]["input"] = json.loads(text)
        return blocks

    def add_tool_results(self, text: str) -> None:
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": text}
            for call in self.calls
        ]
        self.history.append({"role": "user", "content": results})


class Responses(Client):
    """OpenAI's Responses without stored responses: output items are sent back unchanged."""

    name = "responses"

    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        tool = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}
        body = {"model": model, "input": self.history, "tools": [tool], "stream": stream}
        fields = {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]}
        return "/v1/responses", {**body, **fields, "store": False}

    def read_response(self, data: bytes, *, stream: bool) -> None:
        output = events(data)[-1]["response"]["output"] if stream else json.loads(data)["output"]
        self.calls = [item for item in output if item["type"] == "function_call"]
        self.history += self.items_to_send_back(output)

    def items_to_send_back(self, output: list[Json]) -> list[Json]:
        """Return the output items that the next request contains."""
        return output

    def add_tool_results(self, text: str) -> None:
        self.history += [
            {"type": "function_call_output", "call_id": call["call_id"], "output": text}
            for call in self.calls
        ]


class ResponsesWithoutReasoning(Responses):
    """A Responses client that sends back only calls and text, as hand-written loops do."""

    name = "responses-without-reasoning"

    def items_to_send_back(self, output: list[Json]) -> list[Json]:
        named = ("type", "call_id", "name", "arguments", "role", "content")
        others = [item for item in output if item["type"] != "reasoning"]
        return [{key: item[key] for key in named if key in item} for item in others]


class Gemini(Client):
    """Gemini: the content is sent back unchanged; reasoning is not requested."""

    name = "gemini"
    thinking: ClassVar[Json] = {"thinkingBudget": 3000}

    def add_user_message(self, text: str) -> None:
        self.history.append({"role": "user", "parts": [{"text": text}]})

    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        tool = {"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}
        thinking = {**self.thinking}
        if model == "gemini":
            thinking = {"thinkingLevel": "HIGH", **thinking}
            thinking.pop("thinkingBudget")
        body = {"contents": self.history, "tools": [tool]}
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        path = f"/v1beta/models/{model}:{verb}"
        return path, {**body, "generationConfig": {"thinkingConfig": thinking}}

    def read_response(self, data: bytes, *, stream: bool) -> None:
        streamed_events = events(data) if stream else [json.loads(data)]
        contents = [event["candidates"][0]["content"] for event in streamed_events]
        contents = [self.without_empty_texts(c) for c in contents if c.get("parts")]
        stored_contents = [c for c in contents if c["parts"]]
        self.calls = [
            p["functionCall"] for c in stored_contents for p in c["parts"] if "functionCall" in p
        ]
        if stored_contents:
            parts = [part for content in stored_contents for part in content["parts"]]
            self.history.append({"role": "model", "parts": parts})

    @staticmethod
    def without_empty_texts(content: Json) -> Json:
        """Return the content without its empty text parts."""
        return {**content, "parts": [p for p in content["parts"] if p != {"text": ""}]}

    def add_tool_results(self, text: str) -> None:
        parts = []
        for call in self.calls:
            named = {"name": call["name"], **({"id": call["id"]} if "id" in call else {})}
            parts.append({"functionResponse": {**named, "response": {"output": text}}})
        self.history.append({"role": "user", "parts": parts})


class GeminiWithReasoning(Gemini):
    """Gemini with reasoning."""

    name = "gemini-reasoning"
    thinking: ClassVar[Json] = {"thinkingBudget": 3000, "includeThoughts": True}


class GeminiWithoutThoughts(GeminiWithReasoning):
    """Gemini CLI: thoughts are not sent back, and an unsigned call gets a placeholder."""

    name = "gemini-without-thoughts"

    def read_response(self, data: bytes, *, stream: bool) -> None:
        super().read_response(data, stream=stream)
        parts = [part for part in self.history[-1]["parts"] if not part.get("thought")]
        for part in [part for part in parts if "functionCall" in part][:1]:
            part.setdefault("thoughtSignature", "skip_thought_signature_validator")
        self.history[-1]["parts"] = parts


class Bedrock(Client):
    """Bedrock's Converse: the content is sent back unchanged."""

    name = "bedrock"

    def add_user_message(self, text: str) -> None:
        self.history.append({"role": "user", "content": [{"text": text}]})

    def request(self, model: str, *, stream: bool) -> tuple[str, Json]:
        spec = {"name": "get_weather", "description": "w", "inputSchema": {"json": SCHEMA}}
        thinking: Json = {"type": "enabled", "budget_tokens": 3000}
        if model == "bedrock":
            thinking = {"type": "adaptive"}
        return f"/model/{model}/{'converse-stream' if stream else 'converse'}", {
            "messages": self.history,
            "inferenceConfig": {"maxTokens": 8000},
            "toolConfig": {"tools": [{"toolSpec": spec}]},
            "additionalModelRequestFields": {"thinking": thinking},
        }

    def read_response(self, data: bytes, *, stream: bool) -> None:
        content = (
            _joined_blocks(data) if stream else json.loads(data)["output"]["message"]["content"]
        )
        self.calls = [block["toolUse"] for block in content if "toolUse" in block]
        self.history.append({"role": "assistant", "content": content})

    def add_tool_results(self, text: str) -> None:
        results = [
            {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": text}]}}
            for call in self.calls
        ]
        self.history.append({"role": "user", "content": results})


def _joined_blocks(data: bytes) -> list[Json]:
    """Return the content of a stream, as boto3's users join it."""
    blocks: dict[int, Json] = {}
    for event in (json.loads(frame.data) for frame in Decoder().feed(data)):
        if "start" in event:
            blocks[event["contentBlockIndex"]] = {
                "toolUse": {**event["start"]["toolUse"], "input": ""}
            }
        for kind, delta in event.get("delta", {}).items() if "contentBlockIndex" in event else ():
            block = blocks.setdefault(event["contentBlockIndex"], {})
            if kind == "text":
                block["text"] = block.get("text", "") + delta
            elif kind == "toolUse":
                block["toolUse"]["input"] += delta["input"]
            elif kind == "reasoningContent":
                reasoning = block.setdefault("reasoningContent", {})
                if "redactedContent" in delta:
                    reasoning["redactedContent"] = delta["redactedContent"]
                    continue
                fields = reasoning.setdefault("reasoningText", {"text": ""})
                for name, piece in delta.items():
                    fields[name] = fields.get(name, "") + piece
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return [blocks[index] for index in sorted(blocks)]


class BedrockWithoutReasoning(Bedrock):
    """LangChain's `ChatBedrockConverse`, which sends reasoning back only to Claude models."""

    name = "bedrock-without-reasoning"

    def read_response(self, data: bytes, *, stream: bool) -> None:
        super().read_response(data, stream=stream)
        content = self.history[-1]["content"]
        self.history[-1]["content"] = [b for b in content if "reasoningContent" not in b]


CLIENTS: tuple[Client, ...] = (
    Chat(),
    Messages(),
    Responses(),
    ResponsesWithoutReasoning(),
    Gemini(),
    GeminiWithReasoning(),
    GeminiWithoutThoughts(),
    Ollama(),
    Bedrock(),
    BedrockWithoutReasoning(),
)
