"""OpenAI's Chat Completions and Responses, as strict as the service, and DeepSeek's variant."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes import openai_rules as rules
from tests.fakes import responses, responses_rules
from tests.fakes.script import Call, Refusal, Script, ScriptedResponse, refuse_malformed
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

KEY = "sk-upstream-openai-0123456789abcdef"
CREATED = 1_790_000_000
_NUMBERS = itertools.count(1)
MODELS = ("gpt-4.1", "gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5.1", "gpt-5.6-sol", "o3", "o4-mini")


class StrictOpenAI(Server):
    """A server of Chat, Responses and `/v1/models`; `script` defines its responses."""

    models: tuple[str, ...] = MODELS
    # Whether it has Responses beside Chat.
    responses = True

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.script = Script()

    def refusal(self, body: dict[str, Any]) -> Refusal | None:
        """Return the service's refusal of this body; None if it is valid."""
        return rules.refusal(body)

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        refusal = self._at_the_door(request)
        if refusal is None and request.path.startswith("/v1/models"):
            await self._models(request, out)
            return True
        refusal = refusal or self._in_the_body(request)
        if refusal is not None:
            await _refuse(out, refusal)
            return True
        body = request.body
        if request.path.endswith("/input_tokens"):
            tokens = len(request.raw) // 4
            await out.reply(200, {"object": "response.input_tokens", "input_tokens": tokens})
            return True
        if request.path == "/v1/responses":
            return await self._respond(body, out)
        response = self.script.response_for(*_prompts_and_results(body["messages"]))
        await response.wait_until_due()
        if response.error is not None:
            await _refuse(out, response.error)
            return True
        if body.get("stream"):
            return await self._stream(body, response, out)
        await out.reply(200, self.whole(body, response), {"x-request-id": "req_upstream_1"})
        return True

    async def _respond(self, body: dict[str, Any], out: ResponseWriter) -> bool:
        """Respond to a valid Responses request."""
        # LangGraph takes two messages of one id for versions of the same.
        body = {"as": f"resp_upstream{next(_NUMBERS)}", **body}
        scripted_response = self.script.response_for(*responses.prompts_and_results(body))
        await scripted_response.wait_until_due()
        if scripted_response.error is not None:
            await _refuse(out, scripted_response.error)
            return True
        usage = {
            "input_tokens": scripted_response.input_tokens,
            "input_tokens_details": {
                "cached_tokens": scripted_response.cached_tokens,
                "cache_write_tokens": 0,
            },
            "output_tokens": scripted_response.output_tokens,
            "output_tokens_details": {
                "reasoning_tokens": scripted_response.reasoning_tokens
                if scripted_response.reasoning
                else 0
            },
            "total_tokens": scripted_response.input_tokens + scripted_response.output_tokens,
        }
        if body.get("stream"):
            return await responses.stream(body, scripted_response, usage, out)
        response = responses.response_object(body, scripted_response, usage)
        await out.reply(200, response, {"x-request-id": "req_upstream_1"})
        return True

    def _at_the_door(self, request: RecordedRequest) -> Refusal | None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            authorization = request.headers.get("authorization", "")
            message = (
                f"Incorrect API key provided: {authorization}. You can find your API key at ..."
            )
            return Refusal(401, "invalid_request_error", message, "invalid_api_key")
        paths = {"/v1/chat/completions"}
        if self.responses:
            paths |= {"/v1/responses", "/v1/responses/input_tokens"}
        is_known_path = request.path in paths and request.method == "POST"
        if is_known_path or (request.path.startswith("/v1/models") and request.method == "GET"):
            return None
        message = f"Invalid URL ({request.method} {request.path})"
        return Refusal(404, "invalid_request_error", message)

    @refuse_malformed(rules.invalid_request)
    def _in_the_body(self, request: RecordedRequest) -> Refusal | None:
        if "application/json" not in request.headers.get("content-type", ""):
            return Refusal(415, "invalid_request_error", "Unsupported content type")
        body = request.body
        if not isinstance(body, dict):
            return Refusal(400, "invalid_request_error", "We could not parse the JSON body.")
        if request.path.startswith("/v1/responses"):
            counts = request.path.endswith("/input_tokens")
            check = responses_rules.count_refusal if counts else responses_rules.refusal
            refusal = check(body)
        else:
            refusal = self.refusal(body)
        if refusal is None and body["model"] not in self.models:
            message = f"The model `{body['model']}` does not exist or you do not have access to it."
            return Refusal(404, "invalid_request_error", message, "model_not_found")
        return refusal

    async def _models(self, request: RecordedRequest, out: ResponseWriter) -> None:
        rows = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "openai"}
            for name in self.models
        ]
        name = request.path.removeprefix("/v1/models").strip("/")
        if not name:
            await out.reply(200, {"object": "list", "data": rows})
            return
        row = next((row for row in rows if row["id"] == name), None)
        await out.reply(200 if row else 404, row or {"error": {"message": "no such model"}})

    def whole(self, body: dict[str, Any], response: ScriptedResponse) -> dict[str, Any]:
        """Return the response as one object."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": response.text if response.text or not response.calls else None,
            "refusal": None,
            "annotations": [],
        }
        message |= self.reasoning(response.reasoning)
        if response.refusal is not None:
            message |= {"content": None, "refusal": response.refusal}
        if response.calls:
            message["tool_calls"] = [_tool_call(n, c, c.text) for n, c in enumerate(response.calls)]
        choices = [
            {"index": n, "message": message, "logprobs": None, "finish_reason": _finish(response)}
            for n in range(body.get("n") or 1)
        ]
        return {**_head(body, "chat.completion"), "choices": choices, "usage": self.usage(response)}

    def reasoning(self, text: str) -> dict[str, Any]:
        """Return the reasoning fields; OpenAI's Chat has none."""
        return {}

    def usage(self, response: ScriptedResponse) -> dict[str, Any]:
        """Return the usage object."""
        return {
            "prompt_tokens": response.input_tokens,
            "completion_tokens": response.output_tokens,
            "total_tokens": response.input_tokens + response.output_tokens,
            "prompt_tokens_details": {"cached_tokens": response.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": response.reasoning_tokens if response.reasoning else 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    async def _stream(
        self, body: dict[str, Any], response: ScriptedResponse, out: ResponseWriter
    ) -> bool:
        options = body.get("stream_options") or {}
        counted = bool(options.get("include_usage"))
        chunks = list(self._chunks(body, response, counted=counted))
        if response.breaks:
            chunks = chunks[: len(chunks) // 2]
        await out.begin(
            200, {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_up_1"}
        )
        for chunk in chunks:
            await out.write(_event(chunk))
            await asyncio.sleep(response.pace_s)
        if response.breaks == "cut":
            out.reset()
            return False
        if response.breaks == "error":
            failed_fields = {
                "message": "The server had an error",
                "type": "server_error",
                "code": None,
            }
            await out.write(_event({"error": {**failed_fields, "param": None}}))
        else:
            await out.write(b"data: [DONE]\n\n")
        await out.end()
        return True

    def _chunks(
        self, body: dict[str, Any], response: ScriptedResponse, *, counted: bool
    ) -> Iterator[dict[str, Any]]:
        head = _head(body, "chat.completion.chunk")
        if counted:
            head["usage"] = None
        for index in range(body.get("n") or 1):
            for delta in self.deltas(response):
                yield {**head, "choices": [_choice(index, delta, None)]}
            yield {**head, "choices": [_choice(index, {}, _finish(response))]}
        if counted:
            yield {**head, "choices": [], "usage": self.usage(response)}

    def deltas(self, response: ScriptedResponse) -> Iterator[dict[str, Any]]:
        """Return the deltas of one choice in order."""
        first: dict[str, Any] = {"role": "assistant", "refusal": None}
        yield {**first, "content": None if response.calls and not response.text else ""}
        for piece in _pieces(response.reasoning, response.chunk_chars):
            if reasoning_fields := self.reasoning(piece):
                yield reasoning_fields
        for piece in _pieces(response.text, response.chunk_chars):
            yield {"content": piece}
        if response.refusal is not None:
            yield {"refusal": response.refusal}
        parts = [
            list(_call_deltas(n, call, response.chunk_chars))
            for n, call in enumerate(response.calls)
        ]
        for delta in _interleaved(parts) if response.interleaved else itertools.chain(*parts):
            yield {"tool_calls": [delta]}


class StrictDeepSeek(StrictOpenAI):
    """DeepSeek, which returns reasoning and requires it back on turns with tool calls."""

    responses = False
    models = ("deepseek-chat", "deepseek-reasoner", "deepseek-v4-pro", "deepseek-v4-flash")

    def refusal(self, body: dict[str, Any]) -> Refusal | None:
        """Return the service's refusal of this body; None if it is valid."""
        return rules.deepseek_refusal(body)

    def reasoning(self, text: str) -> dict[str, Any]:
        """Return the reasoning field."""
        return {"reasoning_content": text} if text else {}

    def usage(self, response: ScriptedResponse) -> dict[str, Any]:
        """Return the usage object with DeepSeek's cache counts."""
        return {
            **super().usage(response),
            "prompt_cache_hit_tokens": response.cached_tokens,
            "prompt_cache_miss_tokens": response.input_tokens - response.cached_tokens,
        }


def _prompts_and_results(messages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    users = [_text(m) for m in reversed(messages) if m["role"] == "user"]
    since = 0
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            since = number + 1
    return users, [_text(m) for m in messages[since:] if m["role"] == "tool"]


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


async def _refuse(out: ResponseWriter, refusal: Refusal) -> None:
    error = {
        "message": refusal.message,
        "type": refusal.type,
        "param": refusal.param,
        "code": refusal.code,
    }
    headers = {"x-request-id": "req_upstream_refused", **refusal.headers}
    await out.reply(refusal.status, {"error": error}, headers)


def _head(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-upstream{next(_NUMBERS)}",
        "object": kind,
        "created": CREATED,
        "model": f"{body['model']}-2026-01-01",
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }


def _choice(index: int, delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(response: ScriptedResponse) -> str:
    return response.finish or ("tool_calls" if response.calls else "stop")


def _tool_call(number: int, call: Call, arguments: str) -> dict[str, Any]:
    return {
        "id": call.id or f"call_up_{number}",
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def _call_deltas(number: int, call: Call, piece: int) -> Iterator[dict[str, Any]]:
    yield {"index": number, **_tool_call(number, call, "")}
    for part in _pieces(call.text, piece):
        yield {"index": number, "function": {"arguments": part}}


def _interleaved(parts: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    longest = max(map(len, parts), default=0)
    return [part[n] for n in range(longest) for part in parts if n < len(part)]


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
