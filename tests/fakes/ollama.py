"""An Ollama server, as strict as the real one: chat, generate and embeddings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.ollama_rules import invalid_request, refusal
from tests.fakes.script import Refusal, Script, ScriptedAnswer
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.fakes.templates import template_refusal

MODELS = ("llama3.2", "qwen3", "gpt-oss:20b", "nomic-embed-text")
_THINKING = ("qwen3", "gpt-oss", "deepseek-r1")
_CREATED = "2026-01-01T00:00:00.000000Z"
_PATHS = ("/api/chat", "/api/generate", "/api/embed")


class StrictOllama(Server):
    """A server of the paths of `_PATHS` and /api/tags; `script` defines its answers."""

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
        return await self._answer(request, out)

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

    async def _answer(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        body = request.body
        prompts, results = _prompts_and_results(body)
        answer = self.script.answer(prompts, results)
        await answer.wait_until_due()
        if answer.error is not None:
            await out.reply(answer.error.status, {"error": answer.error.message})
            return True
        if body.get("stream") is False:
            await out.reply(200, _response_body(request.path, body, answer))
            return True
        return await _stream(request.path, body, answer, out)


def _prompts_and_results(body: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last answer."""
    if "messages" not in body:
        return [body.get("prompt", "")], []
    messages = body["messages"]
    since = 0
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            since = number + 1
    users = [m.get("content", "") for m in reversed(messages) if m["role"] == "user"]
    return users, [m["content"] for m in messages[since:] if m["role"] == "tool"]


def _counts_and_durations(answer: ScriptedAnswer) -> dict[str, Any]:
    counts = {"prompt_eval_count": answer.input_tokens, "eval_count": answer.output_tokens}
    names = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
    return {**counts, **dict.fromkeys(names, 1_000_000)}


def _row(path: str, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    head = {"model": body["model"], "created_at": _CREATED}
    if path == "/api/generate":
        return {**head, "response": fields.pop("content", ""), **fields, "done": False}
    message = {"role": "assistant", "content": "", **fields}
    return {**head, "message": message, "done": False}


def _calls(answer: ScriptedAnswer) -> list[dict[str, Any]]:
    return [{"function": {"name": call.name, "arguments": call.object}} for call in answer.calls]


def _thinking_text(body: dict[str, Any], answer: ScriptedAnswer) -> str:
    return answer.reasoning if body.get("think") is not False else ""


def _response_body(path: str, body: dict[str, Any], answer: ScriptedAnswer) -> dict[str, Any]:
    fields: dict[str, Any] = {"content": answer.text}
    if thought := _thinking_text(body, answer):
        fields["thinking"] = thought
    if answer.calls:
        fields["tool_calls"] = _calls(answer)
    end = {"done": True, "done_reason": answer.finish or "stop", **_counts_and_durations(answer)}
    return {**_row(path, body, **fields), **end}


def _lines(path: str, body: dict[str, Any], answer: ScriptedAnswer) -> Iterator[dict[str, Any]]:
    for name, text in (("thinking", _thinking_text(body, answer)), ("content", answer.text)):
        for start in range(0, len(text), answer.chunk_chars):
            yield _row(path, body, **{name: text[start : start + answer.chunk_chars]})
    for call in _calls(answer):
        yield _row(path, body, tool_calls=[call])
    end = {"done": True, "done_reason": answer.finish or "stop", **_counts_and_durations(answer)}
    yield {**_row(path, body), **end}


async def _stream(
    path: str, body: dict[str, Any], answer: ScriptedAnswer, out: ResponseWriter
) -> bool:
    lines = list(_lines(path, body, answer))
    if answer.breaks:
        lines = lines[: len(lines) // 2]
    await out.begin(200, {"content-type": "application/x-ndjson"})
    for line in lines:
        await out.write(json.dumps(line).encode() + b"\n")
        await asyncio.sleep(answer.pace_s)
    if answer.breaks == "cut":
        out.reset()
        return False
    if answer.breaks == "error":
        await out.write(b'{"error":"llama runner process has terminated"}\n')
    await out.end()
    return True


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    length = body.get("dimensions") or 4
    vectors = [[float(len(text)), *([0.5] * (length - 1))] for text in inputs]
    counts = {"prompt_eval_count": len(inputs) * 2, "total_duration": 1_000_000}
    return {"model": body["model"], "embeddings": vectors, **counts}
