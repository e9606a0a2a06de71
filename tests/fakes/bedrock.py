"""Bedrock's Converse, as strict as the service: verified signatures and binary streams."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from gateway.framing.eventstream import encode
from tests.fakes import bedrock_rules as rules
from tests.fakes.script import Refusal, Script, ScriptedResponse
from tests.fakes.server import RecordedRequest, ResponseWriter, Server

Json = dict[str, Any]

BEARER = "ABSKQmVkcm9ja0FQSUtleS1mYWtl"
KEY_ID, SECRET, SESSION = "AKIAIOSFODNN7FAKEKEY", "wJalrXUtnFEMIK7MDENGbPxRfiCYFAKE", "session1"
_ROUTE = re.compile(r"/model/([^/]+)/(converse|converse-stream|count-tokens)")
_KIND = "application/vnd.amazon.eventstream"


class StrictBedrock(Server):
    """A server of Converse, ConverseStream and CountTokens, for bearer keys and signatures."""

    key = BEARER

    def __init__(self) -> None:
        super().__init__()
        self.script = Script()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        refusal = self._at_the_door(request)
        route = _ROUTE.fullmatch(request.path)
        model = unquote(route[1]) if route else ""
        action = route[2] if route else ""
        if refusal is None and not isinstance(request.body, dict):
            refusal = Refusal(400, "SerializationException", "no JSON object")
        if refusal is None:
            check = rules.count_refusal if action == "count-tokens" else rules.refusal
            refusal = check(model, request.body)
        if refusal is None and not any(model in name for name in rules.MODELS):
            refusal = rules.validation_error("The provided model identifier is invalid.")
        if refusal is not None:
            await _refuse(out, refusal)
            return True
        if action == "count-tokens":
            await out.reply(200, {"inputTokens": len(request.raw) // 4}, _headers())
            return True
        response = self.script.response_for(*_prompts_and_results(request.body["messages"]))
        await response.wait_until_due()
        if response.error is not None:
            await _refuse(out, response.error)
            return True
        if action == "converse-stream":
            return await self._stream(request.body, response, out)
        await out.reply(200, _converse_output(request.body, response), _headers())
        return True

    def _at_the_door(self, request: RecordedRequest) -> Refusal | None:
        if request.method != "POST" or _ROUTE.fullmatch(request.path) is None:
            return Refusal(404, "UnknownOperationException", "")
        authorization = request.headers.get("authorization", "")
        if authorization.startswith("AWS4-HMAC-SHA256 "):
            return signature_refusal(request, authorization)
        if authorization != f"Bearer {BEARER}":
            message = "The security token included in the request is invalid."
            return Refusal(403, "UnrecognizedClientException", message)
        return None

    async def _stream(self, body: Json, response: ScriptedResponse, out: ResponseWriter) -> bool:
        events = list(_events(body, response))
        if response.breaks:
            events = events[: len(events) // 2]
        await out.begin(200, {"content-type": _KIND, **_headers()})
        for name, data in events:
            message = encode(json.dumps(data).encode(), name)
            # The network does not keep messages whole.
            await out.write(message[:7])
            await out.write(message[7:])
            await asyncio.sleep(response.pace_s)
        if response.breaks == "cut":
            out.reset()
            return False
        if response.breaks == "error":
            error_body = json.dumps({"message": "Too many requests, please wait."}).encode()
            await out.write(encode(error_body, "throttlingException", exception=True))
        await out.end()
        return True


# --- signatures --------------------------------------------------------------------------


def signature_refusal(
    request: RecordedRequest, authorization: str, scoped_to: str = "bedrock"
) -> Refusal | None:
    """Verify a signature by the specification (Signature Version 4), without a library."""
    auth_fields = dict(
        part.strip().split("=", 1) for part in authorization.split(" ", 1)[1].split(",")
    )
    key_id, date, region, service, _ = auth_fields["Credential"].split("/")
    names = auth_fields["SignedHeaders"].split(";")
    if key_id != KEY_ID or service != scoped_to or "host" not in names:
        return Refusal(403, "UnrecognizedClientException", "The security token is invalid.")
    if request.headers.get("x-amz-security-token", SESSION) != SESSION:
        return Refusal(403, "ExpiredTokenException", "The security token is expired")
    canonical = "\n".join(
        (
            request.method,
            quote(request.path, safe="/-_.~"),
            request.query,
            *(f"{name}:{' '.join(request.headers[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.raw).hexdigest(),
        )
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{SECRET}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
    if auth_fields["Signature"] != expected:
        message = "The request signature we calculated does not match the signature you provided."
        return Refusal(403, "InvalidSignatureException", message)
    return None


# --- responses ---------------------------------------------------------------------------


def _headers() -> dict[str, str]:
    return {"x-amzn-requestid": "bedrock-request-1"}


async def _refuse(out: ResponseWriter, refusal: Refusal) -> None:
    headers = {"x-amzn-errortype": f"{refusal.type}:http://internal/", **_headers()}
    body = {"message": refusal.message}
    await out.reply(refusal.status, body, {**headers, **refusal.headers})


def _prompts_and_results(messages: list[Json]) -> tuple[list[str], list[str]]:
    """Return the user texts, newest first, and the tool results since the last response."""
    users = [_text(m["content"]) for m in reversed(messages) if m["role"] == "user"]
    results = [b["toolResult"]["content"] for b in messages[-1]["content"] if "toolResult" in b]
    return users, [_text(content) for content in results]


def _text(blocks: list[Json]) -> str:
    """Return the text of the blocks, with the JSON of tool results."""
    texts = [
        block["text"] if "text" in block else json.dumps(block["json"])
        for block in blocks
        if block.keys() & {"text", "json"}
    ]
    return "\n".join(texts)


def _blocks(body: Json, response: ScriptedResponse) -> list[Json]:
    blocks: list[Json] = []
    more = body.get("additionalModelRequestFields", {})
    if response.reasoning and {"thinking", "reasoningConfig"} & more.keys():
        reasoning_block = {
            "text": response.reasoning,
            "signature": rules.signature(response.reasoning),
        }
        blocks.append({"reasoningContent": {"reasoningText": reasoning_block}})
    if response.text or not response.calls:
        blocks.append({"text": response.text})
    for number, call in enumerate(response.calls):
        id_ = call.id or f"tooluse_{number}"
        blocks.append({"toolUse": {"toolUseId": id_, "name": call.name, "input": call.object}})
    return blocks


def _stop(response: ScriptedResponse) -> str:
    return response.finish or ("tool_use" if response.calls else "end_turn")


def _usage(response: ScriptedResponse) -> Json:
    return {
        "inputTokens": response.input_tokens - response.cached_tokens,
        "outputTokens": response.output_tokens,
        "totalTokens": response.input_tokens + response.output_tokens,
        "cacheReadInputTokens": response.cached_tokens,
        "cacheWriteInputTokens": 0,
    }


def _converse_output(body: Json, response: ScriptedResponse) -> Json:
    return {
        "output": {"message": {"role": "assistant", "content": _blocks(body, response)}},
        "stopReason": _stop(response),
        "usage": _usage(response),
        "metrics": {"latencyMs": 12},
    }


def _events(body: Json, response: ScriptedResponse) -> Iterator[tuple[str, Json]]:
    yield "messageStart", {"role": "assistant", "p": "abcd"}
    for index, block in enumerate(_blocks(body, response)):
        index_fields = {"contentBlockIndex": index}
        if call := block.get("toolUse"):
            start = {"toolUseId": call["toolUseId"], "name": call["name"]}
            yield "contentBlockStart", {"start": {"toolUse": start}, **index_fields}
        for delta in _deltas(block, response.chunk_chars):
            yield "contentBlockDelta", {"delta": delta, **index_fields, "p": "abc"}
        yield "contentBlockStop", index_fields
    yield "messageStop", {"stopReason": _stop(response)}
    yield "metadata", {"usage": _usage(response), "metrics": {"latencyMs": 12}}


def _deltas(block: Json, size: int) -> Iterator[Json]:
    if call := block.get("toolUse"):
        arguments_json = json.dumps(call["input"]) if call["input"] else ""
        yield from ({"toolUse": {"input": piece}} for piece in _pieces(arguments_json, size))
    elif thought := block.get("reasoningContent"):
        reasoning_text = thought["reasoningText"]
        for piece in _pieces(reasoning_text["text"], size):
            yield {"reasoningContent": {"text": piece}}
        yield {"reasoningContent": {"signature": reasoning_text["signature"]}}
    else:
        yield from ({"text": piece} for piece in _pieces(block["text"], size))


def _pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]
