"""The parts of a client's contents -> canonical parts.

Calls and results may come without ids here: a call gets one of the places of its content
and of itself in it, the same in every turn, and a result the id of the call that it answers.
"""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import invalid
from gateway.canon.media import media_type_of
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
from gateway.canon.signature import recovered
from gateway.dialects.fields import (
    compact,
    flag,
    items,
    mapping,
    needed_mapping,
    needed_text,
    text,
)
from gateway.dialects.gemini.names import NAME, Json
from gateway.dialects.gemini.signatures import signature_in

_AUDIO = {"wav": "wav", "x-wav": "wav", "mp3": "mp3", "mpeg": "mp3"}
# Addresses that only Google can open.
_OWN_FILES = ("gs://", "https://generativelanguage.googleapis.com/", "files/")


_PART = frozenset(
    {
        *("text", "thought", "thoughtSignature", "functionCall", "functionResponse"),
        *("inlineData", "fileData"),
    }
)
_CALL = frozenset({"id", "name", "args"})
_RESULT = frozenset({"id", "name", "response", "parts"})


class Pending:
    """The calls that still wait for their results, by id and name, in order.

    `unknown` gathers fields of parts that have no place in the canonical form, by path.
    """

    def __init__(self) -> None:
        self.unknown: Json = {}
        self._open: list[tuple[str, str]] = []
        self._made: set[str] = set()  # ids that calls came without
        self._content = self._calls = 0

    def begin(self, content: int) -> None:
        """Go on to the content at this place."""
        self._content, self._calls = content, 0

    def called(self, call_id: str | None, name: str) -> str:
        """Note a call; its id, which is made where it came without one."""
        if not call_id:
            call_id = f"call_{self._content}_{self._calls}"
            self._made.add(call_id)
        self._calls += 1
        self._open.append((call_id, name))
        return call_id

    def note(self, holder: Json, known: frozenset[str], at: str) -> None:
        """Gather the fields of an object that are not known."""
        self.unknown |= {f"{at}.{key}": value for key, value in holder.items() if key not in known}

    def answered(self, call_id: str | None, name: str) -> str | None:
        """The id of the call that is answered; None where there is none of this name.

        A result without an id is that of a call without one before it is that of another.
        """
        found = [known for known, called in self._open if called == name]
        if call_id is None and found:
            call_id = next((known for known in found if known in self._made), found[0])
        self._open = [pair for pair in self._open if pair[0] != call_id]
        return call_id


def parts_in(content: Json, at: str, pending: Pending, *, model: bool) -> tuple[Part, ...]:
    """The parts of one content."""
    out: list[Part] = []
    for place, part in enumerate(items(content, "parts", at)):
        path = f"{at}.parts[{place}]"
        read = _part_in(part, path, pending, model=model)
        if not any(isinstance(each, Native) for each in read):
            pending.note(part, _PART, path)
        out += read
    return tuple(out)


def _part_in(part: Json, at: str, pending: Pending, *, model: bool) -> list[Part]:
    state = text(part, "thoughtSignature", at)
    if "functionCall" in part:
        call = needed_mapping(part, "functionCall", at)
        return [_call_in(call, at, pending, signature_in(state))]
    if "functionResponse" in part:
        return [_result_in(needed_mapping(part, "functionResponse", at), at, pending)]
    if part.get("text") is not None:
        return _text_in(part, at, signature_in(state), model=model)
    if "inlineData" in part:
        return [inline_in(part, needed_mapping(part, "inlineData", at), at)]
    if "fileData" in part:
        return [_file_in(part, needed_mapping(part, "fileData", at), at)]
    if state is not None and part.keys() <= {"thoughtSignature", "thought"}:
        told, held = recovered("", signature_in(state))
        redacted = held is not None and held.kind == "redacted"
        return [Reasoning(text=told, signature=held, redacted=redacted, at=at)]
    if not any(value is not None for value in part.values()):
        raise invalid(f"{at} is empty: give text, inlineData, a functionCall, ...", at)
    return [Native(dialect=NAME, data=part, at=at)]


def _text_in(part: Json, at: str, state: Signature | None, *, model: bool) -> list[Part]:
    words = needed_text(part, "text", at)
    if model and flag(part, "thought", at):
        redacted = state is not None and state.kind == "redacted"
        words, state = recovered(words, state)
        return [Reasoning(text=words, signature=state, redacted=redacted, at=at)]
    out: list[Part] = [Text(text=words, at=at)] if words or state is None else []
    if state is not None:
        out.append(Reasoning(signature=state, at=at))
    return out


def _call_in(call: Json, at: str, pending: Pending, state: Signature | None) -> ToolCall:
    path = f"{at}.functionCall"
    pending.note(call, _CALL, path)
    name = needed_text(call, "name", path)
    return ToolCall(
        id=pending.called(text(call, "id", path), name),
        name=name,
        arguments=mapping(call, "args", path) or {},
        signature=state,
        at=at,
    )


def _result_in(result: Json, at: str, pending: Pending) -> ToolResult:
    path = f"{at}.functionResponse"
    pending.note(result, _RESULT, path)
    name = needed_text(result, "name", path)
    found = pending.answered(text(result, "id", path) or None, name)
    response = mapping(result, "response", path) or {}
    parts, failed = _output_in(response, f"{path}.response")
    for place, part in enumerate(items(result, "parts", path)):
        parts += _media_in(part, f"{path}.parts[{place}]")
    return ToolResult(
        id=found or f"result_of_{name}",
        parts=tuple(parts),
        is_error=True if failed else None,
        name=name,
        at=at,
    )


def _output_in(response: Json, at: str) -> tuple[list[Part], bool]:
    """What a result says: the keys `output` and `error` have a meaning of their own."""
    if not response:
        return [], False
    told: Any = response
    failed = False
    if response.keys() == {"output"}:
        told = response["output"]
    elif response.keys() == {"error"}:
        told, failed = response["error"], True
    words = told if isinstance(told, str) else compact(told)
    return ([Text(text=words, at=at)] if words else []), failed


def _media_in(part: Json, at: str) -> list[Part]:
    if "inlineData" in part:
        return [inline_in(part, needed_mapping(part, "inlineData", at), at)]
    if "fileData" in part:
        return [_file_in(part, needed_mapping(part, "fileData", at), at)]
    return [Native(dialect=NAME, data=part, at=at)]


def inline_in(part: Json, blob: Json, at: str) -> Part:
    """A file in the body: a picture, a document or sound; another stays as it is."""
    path = f"{at}.inlineData"
    told = text(blob, "mimeType", path)
    data = plain_base64(needed_text(blob, "data", path))
    media = media_type_of(data, told, "application/octet-stream")
    kind, _, form = media.partition("/")
    if kind == "image":
        return Image(data=data, media_type=media, at=at)
    if media == "application/pdf" or kind == "text":
        title = text(blob, "displayName", path)
        return Document(data=data, media_type=media, title=title, at=at)
    if kind == "audio" and form in _AUDIO:
        return Audio(data=data, format=_AUDIO[form], at=at)
    return Native(dialect=NAME, data=part, at=at)


def plain_base64(data: str) -> str:
    """Base64 as everybody reads it: Google's clients write the other alphabet, unpadded."""
    data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def _file_in(part: Json, file: Json, at: str) -> Part:
    path = f"{at}.fileData"
    uri = needed_text(file, "fileUri", path)
    media = text(file, "mimeType", path)
    kind = (media or "").partition("/")[0]
    where: Json = {"file_id": uri} if uri.startswith(_OWN_FILES) else {"url": uri}
    if kind == "image":
        return Image(**where, media_type=media, at=at)
    if media == "application/pdf" or kind == "text":
        return Document(**where, media_type=media, title=text(file, "displayName", path), at=at)
    return Native(dialect=NAME, data=part, at=at)
