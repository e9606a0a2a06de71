"""Google's Gemini API, as strict as the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from tests.fakes import gemini_rules as rules
from tests.fakes.script import Refusal, Script, ScriptedResponse, refuse_malformed
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

KEY = "AIza-upstream-0123456789abcdef"


class StrictGemini(Server):
    """A server of `/v1beta/models`, with generateContent, its stream, and countTokens."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.script = Script()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        refusal = self._at_the_door(request)
        body = rules.with_camel_case_names(request.body)
        name, _, verb = request.path.removeprefix("/v1beta/models").strip("/").rpartition(":")
        if refusal is None and request.method == "GET":
            await out.reply(200, {"models": [_model(name) for name in rules.MODELS]})
            return True
        if refusal is None and name not in rules.MODELS:
            refusal = Refusal(
                404, "NOT_FOUND", f"models/{name} is not found for API version v1beta"
            )
        refusal = refusal or _in_the_body(body, name, verb)
        if refusal is not None:
            await _refuse(out, refusal)
            return True
        if verb == "countTokens":
            await out.reply(200, {"totalTokens": len(request.raw) // 4})
            return True
        if verb == "batchEmbedContents":
            vectors = [{"values": [float(n), 1.0]} for n in range(len(body["requests"]))]
            await out.reply(200, {"embeddings": vectors})
            return True
        response = self.script.response_for(*_prompts_and_results(body["contents"]))
        await response.wait_until_due()
        if response.error is not None:
            await _refuse(out, response.error)
            return True
        if verb == "streamGenerateContent":
            return await self._stream(request, body, name, response, out)
        candidates = _candidates(body, _parts(body, response), _reason(response))
        await out.reply(200, {**candidates, **_tail(response, name)})
        return True

    def _at_the_door(self, request: RecordedRequest) -> Refusal | None:
        x_goog_api_key = (
            request.headers.get("x-goog-api-key") or parse_qs(request.query).get("key", [""])[0]
        )
        if x_goog_api_key != self.key:
            message = "API key not valid. Please pass a valid API key."
            return rules.invalid_argument(message)
        if not request.path.startswith("/v1beta/models"):
            return Refusal(404, "NOT_FOUND", "Not Found")
        return None

    async def _stream(
        self,
        request: RecordedRequest,
        body: dict[str, Any],
        name: str,
        response: ScriptedResponse,
        out: ResponseWriter,
    ) -> bool:
        if parse_qs(request.query).get("alt") != ["sse"]:
            await _refuse(out, rules.invalid_argument("the fake streams SSE only"))
            return True
        chunks = list(_chunks(body, response, name))
        if response.breaks:
            chunks = chunks[: len(chunks) // 2]
        await out.begin(200, {"content-type": "text/event-stream"})
        for chunk in chunks:
            await out.write(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n")
            await asyncio.sleep(response.pace_s)
        if response.breaks == "cut":
            out.reset()
            return False
        if response.breaks == "error":
            error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
            await out.write(b"data: " + json.dumps({"error": error}).encode() + b"\r\n\r\n")
        await out.end()
        return True


def _model(name: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "displayName": name, "inputTokenLimit": 1_048_576}


@refuse_malformed(rules.invalid_argument)
def _in_the_body(body: Any, name: str, verb: str) -> Refusal | None:
    if not isinstance(body, dict):
        return rules.invalid_argument("Invalid JSON payload received.")
    if verb == "countTokens":
        inner = body.get("generateContentRequest", body)
        if inner is not body and inner.pop("model", None) != f"models/{name}":
            return rules.invalid_argument("the two models differ")
        body = inner
    elif verb == "batchEmbedContents":
        if any(item.get("model") != f"models/{name}" for item in body["requests"]):
            return rules.invalid_argument("the two models differ")
        return None
    elif verb not in {"generateContent", "streamGenerateContent"}:
        return Refusal(404, "NOT_FOUND", "Not Found")
    return rules.refusal(body, name)


def _prompts_and_results(contents: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    users = [_text(c) for c in reversed(contents) if c["role"] == "user"]
    last = next(
        (n for n, c in enumerate(reversed(contents)) if c["role"] == "model"), len(contents)
    )
    parts = [part for content in contents[len(contents) - last :] for part in content["parts"]]
    results = [
        p["functionResponse"].get("response") or {} for p in parts if "functionResponse" in p
    ]
    return users, [str(r.get("output", r.get("error", r))) for r in results]


def _text(content: dict[str, Any]) -> str:
    return "\n".join(part.get("text") or "" for part in content["parts"])


def _parts(body: dict[str, Any], response: ScriptedResponse) -> list[dict[str, Any]]:
    thinking = rules.config_of(body).get("thinkingConfig") or {}
    parts: list[dict[str, Any]] = []
    if response.reasoning and thinking.get("includeThoughts"):
        parts.append({"text": response.reasoning, "thought": True})
    if response.text:
        parts.append({"text": response.text})
    for number, call in enumerate(response.calls):
        part: dict[str, Any] = {"functionCall": {"name": call.name, "args": call.object}}
        if call.id:
            part["functionCall"]["id"] = call.id
        if number == 0:
            part["thoughtSignature"] = rules.signature(call.name)
        parts.append(part)
    return parts


def _reason(response: ScriptedResponse) -> str:
    return response.finish or "STOP"


def _candidates(
    body: dict[str, Any], parts: list[dict[str, Any]], reason: str | None = None
) -> dict[str, Any]:
    """Return as many candidates as requested, each with these parts."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}}
    if reason is not None:
        candidate["finishReason"] = reason
    count = rules.config_of(body).get("candidateCount", 1)
    return {"candidates": [{**candidate, "index": index} for index in range(count)]}


def _tail(response: ScriptedResponse, name: str) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": response.input_tokens,
        "candidatesTokenCount": response.output_tokens - response.reasoning_tokens,
        "thoughtsTokenCount": response.reasoning_tokens,
        "totalTokenCount": response.input_tokens + response.output_tokens,
    }
    if response.cached_tokens:
        usage["cachedContentTokenCount"] = response.cached_tokens
    return {"usageMetadata": usage, "modelVersion": name, "responseId": "up1"}


def _chunks(
    body: dict[str, Any], response: ScriptedResponse, name: str
) -> Iterator[dict[str, Any]]:
    head = {"modelVersion": name, "responseId": "up1"}
    for part in _parts(body, response):
        if "text" not in part:
            yield {**_candidates(body, [part]), **head}
            continue
        for start in range(0, len(part["text"]), response.chunk_chars):
            piece = {**part, "text": part["text"][start : start + response.chunk_chars]}
            yield {**_candidates(body, [piece]), **head}
    yield {**_candidates(body, [{"text": ""}], _reason(response)), **_tail(response, name)}


async def _refuse(out: ResponseWriter, refusal: Refusal) -> None:
    error: dict[str, Any] = {"code": refusal.status, "message": refusal.message}
    error["status"] = refusal.type
    if refusal.status == 429:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        error["details"] = [{"@type": kind, "retryDelay": "17s"}]
    await out.reply(refusal.status, {"error": error}, refusal.headers)
