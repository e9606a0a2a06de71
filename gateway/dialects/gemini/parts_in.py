"""The parts of a client's contents -> canonical parts.

Calls and results may have no ids: a call gets one from the indexes of its content and of
the call in it, stable across requests, and a result the id of the call that it answers.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.media import resolve_media_type
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import recover_reasoning_text
from gateway.dialects.gemini.names import NAME, Json
from gateway.dialects.gemini.signatures import parse_signature
from gateway.dialects.shared.fields import (
    compact_json,
    flag,
    mapping,
    objects,
    required_mapping,
    required_text,
    text,
)

_AUDIO_FORMATS = {"wav": "wav", "x-wav": "wav", "mp3": "mp3", "mpeg": "mp3"}
# Addresses that only Google can open.
_GOOGLE_FILE_PREFIXES = ("gs://", "https://generativelanguage.googleapis.com/", "files/")


_PART_FIELDS = frozenset(
    {
        *("text", "thought", "thoughtSignature", "functionCall", "functionResponse"),
        *("inlineData", "fileData"),
    }
)
_CALL_FIELDS = frozenset({"id", "name", "args"})
_RESULT_FIELDS = frozenset({"id", "name", "response", "parts"})


class PendingCalls:
    """The calls without a result yet, by id and name, in order.

    `extra_fields` collects fields without a canonical equivalent, by path.
    """

    def __init__(self) -> None:
        self.extra_fields: Json = {}
        # Pending call id -> its names. Name -> pending ids in order, of calls without an id
        # and of calls with one.
        self._names: dict[str, set[str]] = {}
        self._ids_without_client_id: dict[str, OrderedDict[str, None]] = {}
        self._ids_from_client: dict[str, OrderedDict[str, None]] = {}
        self._content_index = self._call_count = 0

    def start_content(self, content_index: int) -> None:
        """Starts the content at this index."""
        self._content_index, self._call_count = content_index, 0

    def add_call(self, call_id: str | None, name: str) -> str:
        """Adds a call and returns its id, which is generated if it has none."""
        pending_ids = self._ids_from_client if call_id else self._ids_without_client_id
        call_id = call_id or f"call_{self._content_index}_{self._call_count}"
        self._call_count += 1
        self._names.setdefault(call_id, set()).add(name)
        pending_ids.setdefault(name, OrderedDict())[call_id] = None
        return call_id

    def collect_extra_fields(
        self, json_object: Json, parsed_fields: frozenset[str], path: str
    ) -> None:
        """Collects the fields of an object that are not parsed."""
        self.extra_fields |= {
            f"{path}.{key}": value for key, value in json_object.items() if key not in parsed_fields
        }

    def match_result(self, call_id: str | None, name: str) -> str | None:
        """The id of the call that a result answers; None if no call has this name.

        A result without an id answers a call without one first.
        """
        if call_id is None:
            candidate_ids = self._ids_without_client_id.get(name) or self._ids_from_client.get(name)
            if not candidate_ids:
                return None
            call_id = next(iter(candidate_ids))
        for call_name in self._names.pop(call_id, ()):
            for pending_ids in (self._ids_without_client_id, self._ids_from_client):
                if call_name in pending_ids:
                    pending_ids[call_name].pop(call_id, None)
        return call_id


def parse_parts(
    content: Json, path: str, pending: PendingCalls, *, model: bool
) -> tuple[Part, ...]:
    """The parts of one content."""
    out: list[Part] = []
    for index, part in enumerate(objects(content, "parts", path)):
        part_path = f"{path}.parts[{index}]"
        parsed_parts = _parse_part(part, part_path, pending, model=model)
        if not any(isinstance(parsed_part, Native) for parsed_part in parsed_parts):
            pending.collect_extra_fields(part, _PART_FIELDS, part_path)
        out += parsed_parts
    return tuple(out)


def _parse_part(part: Json, path: str, pending: PendingCalls, *, model: bool) -> list[Part]:
    signature_value = text(part, "thoughtSignature", path)
    if "functionCall" in part:
        call = required_mapping(part, "functionCall", path)
        return [_parse_function_call(call, path, pending, parse_signature(signature_value))]
    if "functionResponse" in part:
        return [
            _parse_function_response(
                required_mapping(part, "functionResponse", path), path, pending
            )
        ]
    if part.get("text") is not None:
        return _parse_text(part, path, parse_signature(signature_value), model=model)
    if "inlineData" in part:
        return [parse_inline_data(part, required_mapping(part, "inlineData", path), path)]
    if "fileData" in part:
        return [_parse_file_data(part, required_mapping(part, "fileData", path), path)]
    if signature_value is not None and part.keys() <= {"thoughtSignature", "thought"}:
        reasoning_text, recovered_signature = recover_reasoning_text(
            "", parse_signature(signature_value)
        )
        redacted = recovered_signature is not None and recovered_signature.kind == "redacted"
        return [
            Reasoning(
                text=reasoning_text, signature=recovered_signature, redacted=redacted, path=path
            )
        ]
    if not any(value is not None for value in part.values()):
        raise invalid(f"{path} is empty: give text, inlineData, a functionCall, ...", path)
    return [Native(dialect=NAME, data=part, path=path)]


def _parse_text(part: Json, path: str, signature: Signature | None, *, model: bool) -> list[Part]:
    part_text = required_text(part, "text", path)
    if model and flag(part, "thought", path):
        redacted = signature is not None and signature.kind == "redacted"
        part_text, signature = recover_reasoning_text(part_text, signature)
        return [Reasoning(text=part_text, signature=signature, redacted=redacted, path=path)]
    out: list[Part] = [Text(text=part_text, path=path)] if part_text or signature is None else []
    if signature is not None:
        out.append(Reasoning(signature=signature, path=path))
    return out


def _parse_function_call(
    call: Json, path: str, pending: PendingCalls, signature: Signature | None
) -> ToolCall:
    call_path = f"{path}.functionCall"
    pending.collect_extra_fields(call, _CALL_FIELDS, call_path)
    name = required_text(call, "name", call_path)
    return ToolCall(
        id=pending.add_call(text(call, "id", call_path), name),
        name=name,
        arguments=mapping(call, "args", call_path) or {},
        signature=signature,
        path=path,
    )


def _parse_function_response(result: Json, path: str, pending: PendingCalls) -> ToolResult:
    response_path = f"{path}.functionResponse"
    pending.collect_extra_fields(result, _RESULT_FIELDS, response_path)
    name = required_text(result, "name", response_path)
    call_id = pending.match_result(text(result, "id", response_path) or None, name)
    response = mapping(result, "response", response_path) or {}
    parts, is_failure = _parse_result_output(response, f"{response_path}.response")
    for index, part in enumerate(objects(result, "parts", response_path)):
        parts += _parse_result_media(part, f"{response_path}.parts[{index}]")
    return ToolResult(
        id=call_id or f"result_of_{name}",
        parts=tuple(parts),
        is_error=True if is_failure else None,
        name=name,
        path=path,
    )


def _parse_result_output(response: Json, path: str) -> tuple[list[Part], bool]:
    """The content of a result; the keys `output` and `error` are special."""
    if not response:
        return [], False
    output_value: Any = response
    is_failure = False
    if response.keys() == {"output"}:
        output_value = response["output"]
    elif response.keys() == {"error"}:
        output_value, is_failure = response["error"], True
    output_text = output_value if isinstance(output_value, str) else compact_json(output_value)
    return ([Text(text=output_text, path=path)] if output_text else []), is_failure


def _parse_result_media(part: Json, path: str) -> list[Part]:
    if "inlineData" in part:
        return [parse_inline_data(part, required_mapping(part, "inlineData", path), path)]
    if "fileData" in part:
        return [_parse_file_data(part, required_mapping(part, "fileData", path), path)]
    return [Native(dialect=NAME, data=part, path=path)]


def parse_inline_data(part: Json, blob: Json, path: str) -> Part:
    """Inline data as an image, a document or audio; other types stay native."""
    data_path = f"{path}.inlineData"
    declared_type = text(blob, "mimeType", data_path)
    data = standard_base64(required_text(blob, "data", data_path))
    media_type = resolve_media_type(data, declared_type, "application/octet-stream")
    main_type, _, subtype = media_type.partition("/")
    if main_type == "image":
        return Image(data=data, media_type=media_type, path=path)
    if media_type == "application/pdf" or main_type == "text":
        title = text(blob, "displayName", data_path)
        return Document(data=data, media_type=media_type, title=title, path=path)
    if main_type == "audio" and subtype in _AUDIO_FORMATS:
        return Audio(data=data, format=_AUDIO_FORMATS[subtype], path=path)
    return Native(dialect=NAME, data=part, path=path)


def standard_base64(data: str) -> str:
    """Converts URL-safe, unpadded base64, as Google's clients send it, to the standard form."""
    data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def _parse_file_data(part: Json, file: Json, path: str) -> Part:
    file_path = f"{path}.fileData"
    uri = required_text(file, "fileUri", file_path)
    media_type = text(file, "mimeType", file_path)
    main_type = (media_type or "").partition("/")[0]
    source: Json = {"file_id": uri} if uri.startswith(_GOOGLE_FILE_PREFIXES) else {"url": uri}
    if main_type == "image":
        return Image(**source, media_type=media_type, path=path)
    if media_type == "application/pdf" or main_type == "text":
        return Document(
            **source, media_type=media_type, title=text(file, "displayName", file_path), path=path
        )
    return Native(dialect=NAME, data=part, path=path)
