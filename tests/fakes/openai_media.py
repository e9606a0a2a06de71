"""OpenAI's images, audio, moderations, files and batches, as strict as the service."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from openai.types import (
    BatchCreateParams,
    FileCreateParams,
    ImageCreateVariationParams,
    ModerationCreateParams,
)
from openai.types.audio import SpeechCreateParams
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsBase
from openai.types.audio.translation_create_params import TranslationCreateParams
from openai.types.image_edit_params import ImageEditParamsBase
from openai.types.image_generate_params import ImageGenerateParamsBase

from tests.fakes.forms import form_of
from tests.fakes.openai import CREATED, KEY
from tests.fakes.openai_rules import invalid_request
from tests.fakes.script import Refusal
from tests.fakes.server import RecordedRequest, ResponseWriter, Server
from tests.fakes.shape import problems

PICTURE = base64.b64encode(b"\x89PNG-picture").decode()
SOUND = b"ID3\x00" + bytes(range(256)) * 64
IMAGE_USAGE = {
    "input_tokens": 100,
    "output_tokens": 1000,
    "total_tokens": 1100,
    "input_tokens_details": {"text_tokens": 60, "image_tokens": 40},
}
_JSON: dict[str, Any] = {
    "/v1/images/generations": ImageGenerateParamsBase,
    "/v1/audio/speech": SpeechCreateParams,
    "/v1/moderations": ModerationCreateParams,
    "/v1/batches": BatchCreateParams,
}
_FORMS: dict[str, Any] = {
    "/v1/images/edits": ImageEditParamsBase,
    "/v1/images/variations": ImageCreateVariationParams,
    "/v1/audio/transcriptions": TranscriptionCreateParamsBase,
    "/v1/audio/translations": TranslationCreateParams,
    "/v1/files": FileCreateParams,
}
MODELS = (
    *("gpt-image-1", "dall-e-2", "tts-1", "gpt-4o-mini-tts", "whisper-1", "gpt-4o-transcribe"),
    "omni-moderation-latest",
)


# Models of lines of batches, and what each of their responses used.
BATCHED = ("gpt-4.1",)
USED = {"prompt_tokens": 100_000, "completion_tokens": 10_000, "total_tokens": 110_000}


class StrictMedia(Server):
    """A server of OpenAI's media, file and batch APIs; `files` and `batches` are stored."""

    def __init__(self, key: str = KEY) -> None:
        super().__init__()
        self.key = key
        # Whether a batch says what it used, as those made since September 2025 do.
        self.counts = False
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    async def respond(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        """Respond to a request as the service does."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            refusal = Refusal(401, "invalid_request_error", "Incorrect API key", "invalid_api_key")
            return await _refuse(out, refusal)
        if request.path.startswith(("/v1/files", "/v1/batches")):
            return await self._keep(request, out)
        fields, refusal = _fields(request)
        if refusal is not None:
            return await _refuse(out, refusal)
        if fields.get("model", "dall-e-2") not in MODELS:
            message = f"The model `{fields['model']}` does not exist"
            return await _refuse(
                out, Refusal(404, "invalid_request_error", message, "model_not_found")
            )
        if request.path.startswith("/v1/images/"):
            return await _picture(fields, out)
        if request.path == "/v1/audio/speech":
            return await _speech(out)
        if request.path.startswith("/v1/audio/"):
            return await _transcribe_audio(fields, out)
        result = {"flagged": False, "categories": {}, "category_scores": {}}
        await out.reply(
            200, {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}
        )
        return True

    async def _keep(self, request: RecordedRequest, out: ResponseWriter) -> bool:
        _, _, resource, *subpath = request.path.split("/")
        stored_objects = self.files if resource == "files" else self.batches
        if request.method == "POST" and not subpath:
            fields, refusal = _fields(request)
            if refusal is not None:
                return await _refuse(out, refusal)
            file = self._file(fields) if resource == "files" else self._batch(fields)
            if file is None:
                return await _refuse(
                    out, invalid_request("Invalid input_file_id.", "input_file_id")
                )
            stored_objects[file["id"]] = file
            await out.reply(200, file)
            return True
        if request.method == "GET" and not subpath:
            rows = list(stored_objects.values())
            await out.reply(200, {"object": "list", "data": rows, "has_more": False})
            return True
        stored_object = stored_objects.get(subpath[0])
        if stored_object is None:
            message = f"No such {resource.title()} object: {subpath[0]}"
            return await _refuse(out, Refusal(404, "invalid_request_error", message))
        if subpath[1:] == ["content"]:
            kind = {"content-type": "application/octet-stream"}
            await out.reply(200, self.contents[subpath[0]], kind)
        elif subpath[1:] == ["cancel"] and request.method == "POST":
            stored_object["status"] = "cancelling"
            await out.reply(200, stored_object)
        elif request.method == "DELETE" and resource == "files":
            del stored_objects[subpath[0]]
            await out.reply(200, {"id": subpath[0], "object": "file", "deleted": True})
        else:
            await out.reply(200, stored_object)
        return True

    def _file(self, fields: dict[str, Any]) -> dict[str, Any]:
        name, _, data = fields["file"]
        id_ = f"file-Up{len(self.contents) + 1}"
        self.contents[id_] = data
        file_object = {"id": id_, "object": "file", "bytes": len(data), "created_at": CREATED}
        more = {"filename": name, "purpose": fields["purpose"], "status": "processed"}
        return {**file_object, **more}

    def _batch(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        if fields["input_file_id"] not in self.files:
            return None
        output = f"file-Out{len(self.batches) + 1}"
        lines = [_batched(text) for text in self.contents[fields["input_file_id"]].splitlines()]
        self.contents[output] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self.files[output] = {
            "id": output,
            "object": "file",
            "bytes": len(self.contents[output]),
            "created_at": CREATED,
            "filename": "out.jsonl",
            "purpose": "batch_output",
            "status": "processed",
        }
        batch_object = {"id": f"batch_Up{len(self.batches) + 1}", "object": "batch", "errors": None}
        more = {"status": "completed", "output_file_id": output, "error_file_id": None}
        responses = [line["response"]["body"] for line in lines if line.get("response")]
        if self.counts and responses:
            more |= {"model": responses[0]["model"], "usage": _together(responses)}
        return {**batch_object, **fields, **more, "created_at": CREATED}


def _batched(text: bytes) -> dict[str, Any]:
    """Return the response to a line of a batch; an unknown model fails."""
    request = json.loads(text)
    line = {"custom_id": request.get("custom_id")}
    if "body" not in request:
        return line
    if request["body"]["model"] not in BATCHED:
        return line | {"response": None, "error": {"code": "model_not_found", "message": "no"}}
    body = {"id": "chatcmpl-1", "model": f"{request['body']['model']}-2025-04-14", "usage": USED}
    return line | {"response": {"status_code": 200, "request_id": "r", "body": body}, "error": None}


def _together(responses: list[dict[str, Any]]) -> dict[str, Any]:
    count = len(responses)
    into, out = USED["prompt_tokens"] * count, USED["completion_tokens"] * count
    return {
        "input_tokens": into,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": into + out,
    }


def _fields(request: RecordedRequest) -> tuple[dict[str, Any], Refusal | None]:
    if (shape := _JSON.get(request.path)) is not None:
        if not isinstance(request.body, dict):
            return {}, invalid_request("We could not parse the JSON body.")
        remaining_fields = {name: value for name, value in request.body.items() if name != "stream"}
        found_problems = problems(remaining_fields, shape)
        return request.body, invalid_request(
            found_problems[0].detail, found_problems[0].bracketed()
        ) if found_problems else None
    shape = _FORMS.get(request.path)
    if shape is None or not request.headers.get("content-type", "").startswith("multipart/"):
        return {}, Refusal(404, "invalid_request_error", f"Invalid URL ({request.path})")
    fields = form_of(request)
    unknown = fields.keys() - shape.__annotations__.keys() - {"stream"}
    missing = shape.__required_keys__ - fields.keys()
    if unknown or missing:
        return {}, invalid_request(f"Unknown or missing parameter: {sorted(unknown | missing)[0]}")
    return fields, None


async def _picture(fields: dict[str, Any], out: ResponseWriter) -> bool:
    if not fields.get("stream"):
        data = {"created": CREATED, "data": [{"b64_json": PICTURE}], "usage": IMAGE_USAGE}
        await out.reply(200, data)
        return True
    more = {"created_at": CREATED, "size": "1024x1024", "quality": "low"}
    more |= {"background": "auto", "output_format": "png", "b64_json": PICTURE}
    await out.begin(200, {"content-type": "text/event-stream"})
    for name, extra in (
        ("image_generation.partial_image", {"partial_image_index": 0}),
        ("image_generation.completed", {"usage": IMAGE_USAGE}),
    ):
        data = {"type": name, **more, **extra}
        await out.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        await asyncio.sleep(0.01)
    await out.end()
    return True


async def _speech(out: ResponseWriter) -> bool:
    await out.begin(200, {"content-type": "audio/mpeg"})
    for start in range(0, len(SOUND), 4096):
        await out.write(SOUND[start : start + 4096])
        await asyncio.sleep(0.001)
    await out.end()
    return True


async def _transcribe_audio(fields: dict[str, Any], out: ResponseWriter) -> bool:
    token_usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 4, "total_tokens": 18}
    usage = {**token_usage, "input_token_details": {"text_tokens": 0, "audio_tokens": 14}}
    if fields["model"] == "whisper-1":
        usage = {"type": "duration", "seconds": 60}
    if fields.get("stream") == "true":
        await out.begin(200, {"content-type": "text/event-stream"})
        for event in (
            {"type": "transcript.text.delta", "delta": "Hel"},
            {"type": "transcript.text.delta", "delta": "lo."},
            {"type": "transcript.text.done", "text": "Hello.", "usage": usage},
        ):
            await out.write(f"data: {json.dumps(event)}\n\n".encode())
        await out.end()
    elif fields.get("response_format") == "text":
        await out.reply(200, b"Hello.\n", {"content-type": "text/plain; charset=utf-8"})
    else:
        await out.reply(200, {"text": "Hello.", "usage": usage})
    return True


async def _refuse(out: ResponseWriter, refusal: Refusal) -> bool:
    fields = {"type": refusal.type, "param": refusal.param, "code": refusal.code}
    await out.reply(refusal.status, {"error": {"message": refusal.message, **fields}})
    return True
