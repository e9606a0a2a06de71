"""An Ollama server, as strict as the real one: chat, generate and embeddings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.ollama_rules import invalid_request, refusal
from tests.fakes.script import Refusal, Script, ScriptedResponse, refuse_malformed
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.fakes.templates import template_refusal

MODELS = ("llama3.2", "qwen3", "gpt-oss:20b", "nomic-embed-text")
_THINKING = ("qwen3", "gpt-oss", "deepseek-r1")
_CREATED = "2026-01-01T00:00:00.000000Z"
_PATHS = ("/api/chat", "/api/generate", "/api/embed")


class StrictOllama(Server):
    """A server of the paths of `_PATHS` and /api/tags; `script` defines its responses."""

    models: tuple[str, ...] = MODELS

    def __init__(self) -> None:
        super().__init__()
        self.script = Script()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        if (request.method, request.path) == ("GET", "/api/tags"):
            rows = [{"name": name, "model": name} for name in self.models]
            await out.reply(200, {"models": rows})
            return True
        refusal = self._refused(request)
        if refusal is not None:
            await out.reply(refusal.status, {"error": refusal.message})
            return True
        if request.path == "/api/embed":
            await out.reply(200, _embeddings(request.body))
            return True
        return await self._response(request, out)

    @refuse_malformed(invalid_request)
    def _refused(self, request: RecordedRequest) -> Refusal | None:
        if request.method != "POST" or request.path not in _PATHS:
            return Refusal(404, "", "404 page not found")
        if not isinstance(request.body, dict):
            return Refusal(400, "", "invalid character")
        name = str(request.body.get("model", "")).removesuffix(":latest")
        if name not in self.models:
            return Refusal(404, "", f"model '{name}' not found")
        reason = template_refusal(name, request.body.get("messages") or [])
        return invalid_request(reason) if reason else refusal(request.path, request.body, _THINKING)

    async def _response(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        body = request.body
        prompts, results = _prompts_and_results(body)
        response = self.script.response_for(prompts, results)
        await response.wait_until_due()
        if response.error is not None:
            await out.reply(response.error.status, {"error": response.error.message})
            return True
        if body.get("stream") is False:
            await out.reply(200, _response_body(request.path, body, response))
            return True
        return await _stream(request.path, body, response, out)


def _prompts_and_results(body: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    messages = body.get("messages")
    if messages is None:
        return [body.get("prompt") or ""], []
    since = 0
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            since = number + 1
    users = [m.get("content", "") for m in reversed(messages) if m["role"] == "user"]
    return users, [m.get("content", "") for m in messages[since:] if m["role"] == "tool"]


def _counts_and_durations(response: ScriptedResponse) -> dict[str, Any]:
    counts = {"prompt_eval_count": response.input_tokens, "eval_count": response.output_tokens}
    names = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
    return {**counts, **dict.fromkeys(names, 1_000_000)}


def _row(path: str, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"model": body["model"], "created_at": _CREATED}
    if path == "/api/generate":
        return {**head, "response": fields.pop("content", ""), **fields, "done": False}
    message = {"role": "assistant", "content": "", **fields}
    return {**head, "message": message, "done": False}


def _calls(response: ScriptedResponse) -> list[dict[str, Any]]:
    return [{"function": {"name": call.name, "arguments": call.object}} for call in response.calls]


def _thinking_text(body: dict[str, Any], response: ScriptedResponse) -> str:
    return response.reasoning if body.get("think") is not False else ""


def _response_body(path: str, body: dict[str, Any], response: ScriptedResponse) -> dict[str, Any]:
    fields: dict[str, Any] = {"content": response.text}
    if thought := _thinking_text(body, response):
        fields["thinking"] = thought
    if response.calls:
        fields["tool_calls"] = _calls(response)
    end = {
        "done": True,
        "done_reason": response.finish or "stop",
        **_counts_and_durations(response),
    }
    return {**_row(path, body, **fields), **end}


def _lines(path: str, body: dict[str, Any], response: ScriptedResponse) -> Iterator[dict[str, Any]]:
    for name, text in (("thinking", _thinking_text(body, response)), ("content", response.text)):
        for start in range(0, len(text), response.chunk_chars):
            yield _row(path, body, **{name: text[start : start + response.chunk_chars]})
    for call in _calls(response):
        yield _row(path, body, tool_calls=[call])
    end = {
        "done": True,
        "done_reason": response.finish or "stop",
        **_counts_and_durations(response),
    }
    yield {**_row(path, body), **end}


async def _stream(
    path: str, body: dict[str, Any], response: ScriptedResponse, out: ResponseWriter
) -> bool:
    lines = list(_lines(path, body, response))
    if response.breaks:
        lines = lines[: len(lines) // 2]
    await out.begin(200, {"content-type": "application/x-ndjson"})
    for line in lines:
        await out.write(json.dumps(line).encode() + b"\n")
        await asyncio.sleep(response.pace_s)
    if response.breaks == "cut":
        out.reset()
        return False
    if response.breaks == "error":
        await out.write(b'{"error":"llama runner process has terminated"}\n')
    await out.end()
    return True


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    length = body.get("dimensions") or 4
    vectors = [[float(len(text)), *([0.5] * (length - 1))] for text in inputs]
    counts = {"prompt_eval_count": len(inputs) * 2, "total_duration": 1_000_000}
    return {"model": body["model"], "embeddings": vectors, **counts}
