"""OpenAI's legacy completions and its embeddings, as strict as the service."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

from openai.types.completion_create_params import CompletionCreateParamsBase
from openai.types.embedding_create_params import EmbeddingCreateParams

from tests.fakes.openai import CREATED, KEY
from tests.fakes.openai_rules import invalid_request
from tests.fakes.script import Refusal, Script, ScriptedResponse, refuse_malformed
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.fakes.shape import problems

COMPLETION_MODELS = ("gpt-3.5-turbo-instruct", "davinci-002")
EMBEDDING_MODELS = ("text-embedding-3-small", "text-embedding-ada-002")


def completion_refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the service's refusal of a completion; None if it is valid."""
    remaining_fields = {name: value for name, value in body.items() if name != "stream"}
    found_problems = problems(remaining_fields, CompletionCreateParamsBase)
    if found_problems:
        return invalid_request(
            f"{found_problems[0].bracketed()}: {found_problems[0].detail}",
            found_problems[0].bracketed(),
        )
    if body["prompt"] == []:
        return invalid_request("[] is too short - 'prompt'", "prompt")
    if body.get("stream_options") is not None and not body.get("stream"):
        return invalid_request(
            "'stream_options' is only allowed when 'stream' is enabled.", "stream_options"
        )
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > 4:
        return invalid_request("Invalid 'stop': array too long.", "stop")
    if not 0 <= (body.get("logprobs") or 0) <= 5:
        return invalid_request("Invalid 'logprobs': must be between 0 and 5.", "logprobs")
    return None


def embedding_refusal(body: dict[str, Any]) -> Refusal | None:
    """Return the service's refusal of an embedding request; None if it is valid."""
    found_problems = problems(body, EmbeddingCreateParams)
    if found_problems:
        return invalid_request(
            f"{found_problems[0].bracketed()}: {found_problems[0].detail}",
            found_problems[0].bracketed(),
        )
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    if not inputs or any(item in ("", []) for item in inputs) or len(inputs) > 2048:
        return invalid_request("'$.input' is invalid. Please check the API reference.", "input")
    if body.get("dimensions") and body["model"].endswith("ada-002"):
        return invalid_request("This model does not support specifying dimensions.", "dimensions")
    return None


class StrictOlderOpenAI(Server):
    """A server of `/v1/completions` and `/v1/embeddings`; `script` defines its responses."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        self.script = Script()

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        refusal = self._refused(request)
        if refusal is not None:
            fields = {"type": refusal.type, "param": refusal.param, "code": refusal.code}
            error = {"message": refusal.message, **fields}
            await out.reply(refusal.status, {"error": error}, dict(refusal.headers))
            return True
        if request.path == "/v1/embeddings":
            await out.reply(200, _embeddings(request.body))
            return True
        prompts = request.body["prompt"]
        prompts = prompts if isinstance(prompts, list) else [prompts]
        response = self.script.response_for([str(prompts[-1])], [])
        await response.wait_until_due()
        if response.error is not None:
            fields = {"type": response.error.type, "param": None, "code": response.error.code}
            error_body = {"error": {"message": response.error.message, **fields}}
            await out.reply(response.error.status, error_body, dict(response.error.headers))
            return True
        if request.body.get("stream"):
            return await _stream(request.body, response, out)
        choices = [
            _choice(n, response.text, response.finish or "stop") for n in range(len(prompts))
        ]
        await out.reply(200, {**_head(request.body), "choices": choices, "usage": _usage(response)})
        return True

    @refuse_malformed(invalid_request)
    def _refused(self, request: RecordedRequest) -> Refusal | None:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return Refusal(401, "invalid_request_error", "Incorrect API key", "invalid_api_key")
        if not isinstance(request.body, dict):
            return invalid_request("We could not parse the JSON body.")
        model = str(request.body.get("model"))
        models_by_path = {"/v1/completions": COMPLETION_MODELS, "/v1/embeddings": EMBEDDING_MODELS}
        if request.path not in models_by_path:
            return Refusal(404, "invalid_request_error", f"Invalid URL (POST {request.path})")
        if model not in models_by_path[request.path]:
            message = f"The model `{model}` does not exist or you do not have access to it."
            return Refusal(404, "invalid_request_error", message, "model_not_found")
        check = completion_refusal if request.path == "/v1/completions" else embedding_refusal
        return check(request.body)


def _head(body: dict[str, Any]) -> dict[str, Any]:
    head = {"id": "cmpl-upstream1", "object": "text_completion", "created": CREATED}
    return {**head, "model": body["model"]}


def _choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _usage(response: ScriptedResponse) -> dict[str, Any]:
    total = response.input_tokens + response.output_tokens
    counts = {"prompt_tokens": response.input_tokens, "completion_tokens": response.output_tokens}
    return {**counts, "total_tokens": total}


async def _stream(body: dict[str, Any], response: ScriptedResponse, out: ResponseWriter) -> bool:
    pieces = [
        response.text[n : n + response.chunk_chars]
        for n in range(0, len(response.text), response.chunk_chars)
    ]
    chunks = [{**_head(body), "choices": [_choice(0, piece, None)]} for piece in pieces]
    chunks.append({**_head(body), "choices": [_choice(0, "", response.finish or "stop")]})
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**_head(body), "choices": [], "usage": _usage(response)})
    if response.breaks:
        chunks = chunks[: len(chunks) // 2]
    await out.begin(200, {"content-type": "text/event-stream"})
    for chunk in chunks:
        await out.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await asyncio.sleep(response.pace_s)
    if response.breaks == "cut":
        out.reset()
        return False
    if response.breaks == "error":
        failed_fields = {"message": "The server had an error", "type": "server_error", "code": None}
        await out.write(
            b"data: " + json.dumps({"error": {**failed_fields, "param": None}}).encode() + b"\n\n"
        )
    else:
        await out.write(b"data: [DONE]\n\n")
    await out.end()
    return True


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs = body["input"]
    if isinstance(inputs, str) or isinstance(inputs[0], int):
        inputs = [inputs]
    length = body.get("dimensions") or 4
    vectors = [[float(len(item)), *([0.5] * (length - 1))] for item in inputs]
    packed = body.get("encoding_format") == "base64"
    rows = [
        {"object": "embedding", "index": n, "embedding": _pack(v) if packed else v}
        for n, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": len(inputs) * 2, "total_tokens": len(inputs) * 2}
    return {"object": "list", "data": rows, "model": body["model"], "usage": usage}


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
