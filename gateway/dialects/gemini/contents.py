"""Contents and parts: a client's to canonical turns, and back for a provider.

The API requires that roles alternate and the user begins, results come after the turn with
their calls and in its order, and, for Gemini 3, a signature on the first call of each step
since the last user turn.
"""

from __future__ import annotations

import base64
import re
from collections import OrderedDict
from typing import Any, assert_never

import msgspec

from gateway.canon.errors import invalid, unsupported
from gateway.canon.media import decode_text_file, guess_type_by_name, resolve_media_type
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.signature import recover_reasoning_text
from gateway.canon.traits import Traits
from gateway.canon.turns import pair_tool_results
from gateway.dialects.gemini.context import (
    NAME,
    NEXT_PART_SIGNATURE,
    SKIP_SIGNATURE,
    Json,
    RenderContext,
    standard_base64,
)
from gateway.dialects.gemini.reasoning import (
    MISSING_SIGNATURE,
    can_be_replayed,
    is_unsigned_thought,
    parse_signature,
)
from gateway.dialects.shared import code_execution, image_generation
from gateway.dialects.shared.fields import (
    boolean,
    compact_json,
    mapping,
    objects,
    required_mapping,
    required_text,
    text,
)
from gateway.dialects.shared.render_context import PLACEHOLDER_TEXT

# --- a client's contents --------------------------------------------------------------------------
#
# Calls and results may have no ids: a call gets one from the indexes of its content and of
# the call in it, stable across requests, and a result the id of its call.

_AUDIO_FORMATS = {"wav": "wav", "x-wav": "wav", "mp3": "mp3", "mpeg": "mp3"}
# Prefixes of URLs that only Google can open.
_GOOGLE_FILE_PREFIXES = ("gs://", "https://generativelanguage.googleapis.com/", "files/")

_MEDIA_FIELDS = frozenset({"inlineData", "fileData"})
_SOURCE_FIELDS = frozenset({"mimeType", "data", "fileUri"})
_PART_FIELDS = frozenset(
    {
        *("text", "thought", "thoughtSignature", "functionCall", "functionResponse"),
        *_MEDIA_FIELDS,
    }
)
# Parts of these kinds have no place for state.
_UNSIGNED_KINDS = frozenset({"functionResponse", *_MEDIA_FIELDS})
_UNSIGNED_PART_FIELDS = _PART_FIELDS - {"thoughtSignature"}
_CALL_FIELDS = frozenset({"id", "name", "args"})
_RESULT_FIELDS = frozenset({"id", "name", "response", "parts"})


class PendingCalls:
    """The calls that have no result yet, by id and name, in order.

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
        """Start the content at this index."""
        self._content_index, self._call_count = content_index, 0

    def add_call(self, call_id: str | None, name: str) -> str:
        """Add a call and return its id, which is generated if it has none."""
        pending_ids = self._ids_from_client if call_id else self._ids_without_client_id
        call_id = call_id or f"call_{self._content_index}_{self._call_count}"
        self._call_count += 1
        self._names.setdefault(call_id, set()).add(name)
        pending_ids.setdefault(name, OrderedDict())[call_id] = None
        return call_id

    def collect_extra_fields(
        self, json_object: Json, parsed_fields: frozenset[str], path: str
    ) -> None:
        """Collect the fields of an object that are not parsed."""
        self.extra_fields |= {
            f"{path}.{key}": value for key, value in json_object.items() if key not in parsed_fields
        }

    def match_result(self, call_id: str | None, name: str) -> str | None:
        """The id of the call that a result belongs to; None if no call has this name.

        A result without an id belongs to a call without one first.
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
            is_unsigned = not _UNSIGNED_KINDS.isdisjoint(part)
            parsed_fields = _UNSIGNED_PART_FIELDS if is_unsigned else _PART_FIELDS
            pending.collect_extra_fields(part, parsed_fields, part_path)
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
    if not _MEDIA_FIELDS.isdisjoint(part):
        return [_parse_media(part, path, pending)]
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
        raise invalid(
            f"{path} is empty; it must contain text, inlineData, functionCall or another part type",
            path,
        )
    return [Native(dialect=NAME, data=part, path=path)]


def _parse_text(part: Json, path: str, signature: Signature | None, *, model: bool) -> list[Part]:
    part_text = required_text(part, "text", path)
    if model and boolean(part, "thought", path):
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
        parts.append(_parse_result_media(part, f"{response_path}.parts[{index}]", pending))
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


def _parse_result_media(part: Json, path: str, pending: PendingCalls) -> Part:
    if _MEDIA_FIELDS.isdisjoint(part):
        return Native(dialect=NAME, data=part, path=path)
    media = _parse_media(part, path, pending)
    if not isinstance(media, Native):
        pending.collect_extra_fields(part, _MEDIA_FIELDS, path)
    return media


def _parse_media(part: Json, path: str, pending: PendingCalls) -> Part:
    kind = "inlineData" if "inlineData" in part else "fileData"
    source = required_mapping(part, kind, path)
    parse = _parse_inline_data if kind == "inlineData" else _parse_file_data
    media = parse(part, source, path)
    if isinstance(media, Image | Audio):  # the name of a document is its title
        pending.collect_extra_fields(source, _SOURCE_FIELDS, f"{path}.{kind}")
    return media


def _parse_inline_data(part: Json, blob: Json, path: str) -> Part:
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


# --- a provider's parts ---------------------------------------------------------------------------

_SOURCES_NOT_SENT = "sources are not supported in requests"
# Prefixes of URLs that Google opens itself.
_GOOGLE_URL_PREFIXES = (
    "gs://",
    "https://www.youtube.com/",
    "https://youtu.be/",
    "https://youtube.com/",
    "https://generativelanguage.googleapis.com/",
)


def render_parts(context: RenderContext, parts: tuple[Part, ...]) -> list[Json]:
    """Render the parts; report what the target does not accept."""
    rendered_parts: list[Json] = []
    last_call = max((i for i, part in enumerate(parts) if isinstance(part, ToolCall)), default=-1)
    pending_signature = ""  # of the call or the code after its reasoning
    for index, part in enumerate(parts):
        if isinstance(part, Reasoning):
            rendered_reasoning, pending_signature = _render_reasoning(context, part)
            rendered_parts += rendered_reasoning
            continue
        rendered_part = _render_part(context, part)
        if (
            pending_signature
            and rendered_part
            and (
                isinstance(part, ToolCall)
                or index > last_call
                or (isinstance(part, Native) and isinstance(parts[index - 1], Reasoning))
            )
        ):
            rendered_part[0].setdefault("thoughtSignature", pending_signature)
            pending_signature = ""
        rendered_parts += rendered_part
    return rendered_parts


def _render_part(context: RenderContext, part: Part) -> list[Json]:
    match part:
        case Text():
            return _render_text(context, part)
        case Image():
            context.drop_cache_marks(part.cache)
            return [_render_image(context, part)]
        case Document():
            context.drop_cache_marks(part.cache)
            return _render_document(context, part)
        case Audio():
            context.drop_cache_marks(part.cache)
            data = {"mimeType": f"audio/{part.format}", "data": part.data}
            return [{"inlineData": data}]
        case ToolCall():
            return [_render_function_call(context, part)]
        case ToolResult():
            return _render_function_response(context, part)
        case Refusal():
            context.approximate(part.path, "a refusal in the history is sent as text")
            return [{"text": part.text}] if part.text else []
        case Native():
            if part.dialect == NAME:
                return [dict(part.data)]
            return _render_native(context, part)
        case Reasoning():
            return []
        case _:
            assert_never(part)


def _render_native(context: RenderContext, part: Native) -> list[Json]:
    """Code that another provider ran, as parts if the target runs code itself, else as text."""
    run = code_execution.read_call(part.data) or code_execution.read_result(part.data)
    has_code_execution = any(map(code_execution.is_code_execution, context.request.tools))
    if (
        run is not None
        and run.language == "python"
        and has_code_execution
        and context.traits.code_execution
    ):
        for loss in code_execution.losses_of(part.data):
            context.drop(part.path, f"not sent: {loss}")
        return code_execution.render_gemini_parts(part.data)
    if (text := context.native_text(part)) is not None:
        return [{"text": text.text}]
    image = image_generation.render_gemini_part(part.data)
    if image is not None and context.traits.images:
        if context.traits.image_output and context.traits.requires_reasoning_replay:
            # The signature of the image is not part of OpenAI's item.
            image["thoughtSignature"] = SKIP_SIGNATURE
        return [image]
    context.drop(part.path, "Gemini does not support it")
    return []


def _render_text(context: RenderContext, part: Text) -> list[Json]:
    """A text part; none for an empty text."""
    if not part.text:
        context.drop(part.path, "empty text")
        return []
    if part.citations:
        context.drop(context.part_field(part.path, "citations"), _SOURCES_NOT_SENT)
    context.drop_cache_marks(part.cache)
    return [{"text": part.text}]


# --- media ----------------------------------------------------------------------------------------


def _render_media_note(context: RenderContext, path: str, media_name: str, reason: str) -> Json:
    """A text note that replaces media the target does not accept."""
    return {"text": context.media_note(path, media_name, reason)}


def _render_image(context: RenderContext, image: Image) -> Json:
    if not context.traits.images:
        return _render_media_note(
            context, image.path, "image", "this model does not support images"
        )
    if image.detail not in (None, "auto"):
        context.drop(context.part_field(image.path, "detail"), "no equivalent for a single part")
    if image.data is not None:
        media_type = resolve_media_type(image.data, image.media_type, "image/png")
        return {"inlineData": {"mimeType": media_type, "data": image.data}}
    return _render_file(context, image, "image", image.media_type)


def _render_document(context: RenderContext, document: Document) -> list[Json]:
    heading_fields = [("title", document.title), ("context", document.context)]
    for name, value in heading_fields:
        if value is not None and document.parts is None:
            context.drop(context.part_field(document.path, name), "no equivalent")
    if document.citations:
        context.drop(context.part_field(document.path, "document_citations"), "cannot be requested")
    if document.parts is not None:
        context.approximate(document.path, "a document made of parts is sent as separate parts")
        headings = [{"text": value} for _, value in heading_fields if value]
        return [*headings, *render_parts(context, document.parts)]
    if document.text is not None:
        data = base64.b64encode(document.text.encode("utf-8", "replace")).decode()
        return [{"inlineData": {"mimeType": "text/plain", "data": data}}]
    if not context.traits.pdf and decode_text_file(document.data, document.media_type) is None:
        return [
            _render_media_note(
                context, document.path, "document", "this model does not support documents"
            )
        ]
    if document.data is not None:
        media_type = resolve_media_type(document.data, document.media_type, "application/pdf")
        return [{"inlineData": {"mimeType": media_type, "data": document.data}}]
    return [_render_file(context, document, "document", document.media_type)]


def _render_file(
    context: RenderContext, part: Image | Document, media_name: str, media_type: str | None
) -> Json:
    """A file by its URL. Google opens only its own URLs."""
    if part.file_id is not None:
        if not context.same_dialect and not part.file_id.startswith(_GOOGLE_FILE_PREFIXES):
            reason = "the file ID belongs to another provider; send the file's data"
            raise unsupported(part.path, reason)
        return _render_file_data(part.file_id, media_type)
    url = part.url or ""
    if context.same_dialect or context.traits.image_urls or url.startswith(_GOOGLE_URL_PREFIXES):
        return _render_file_data(url, media_type)
    return _render_media_note(
        context, part.path, media_name, "this provider does not fetch URLs; send its data"
    )


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether a file must be sent as bytes: Google opens only its own URLs."""
    is_supported = traits.images if isinstance(part, Image) else traits.pdf
    return (
        is_supported
        and not traits.image_urls
        and not (part.url or "").startswith(_GOOGLE_URL_PREFIXES)
    )


def _render_file_data(uri: str, media_type: str | None) -> Json:
    """A file by its URI; Vertex AI requires its type."""
    out: Json = {"fileUri": uri}
    media_type = media_type or guess_type_by_name(uri)
    if media_type is not None:
        out["mimeType"] = media_type
    return {"fileData": out}


# --- calls, results, reasoning --------------------------------------------------------------------


def _render_function_call(context: RenderContext, call: ToolCall) -> Json:
    context.drop_cache_marks(call.cache)
    arguments = context.call_arguments(call)
    function_call = {"id": call.id, "name": context.sent_name(call.name), "args": arguments}
    out: Json = {"functionCall": function_call}
    signature = call.signature
    if (
        can_be_replayed(signature, context.traits, native=context.same_dialect)
        and signature is not None
    ):
        out["thoughtSignature"] = signature.value
    elif signature is not None:
        context.drop_signature(call)
    return out


def _render_function_response(context: RenderContext, result: ToolResult) -> list[Json]:
    """A result with its media inside if the model accepts them, else after it."""
    context.drop_cache_marks(result.cache)
    parts = context.read_natives(result.parts)
    text_parts = [part for part in parts if isinstance(part, Text)]
    for part in text_parts:
        context.drop_cache_marks(part.cache)
        if part.citations:
            context.drop(context.part_field(part.path, "citations"), _SOURCES_NOT_SENT)
    texts = [part.text for part in text_parts if part.text]
    media_parts = [part for part in parts if not isinstance(part, Text)]
    out: Json = {
        "id": result.id,
        "name": context.sent_name("tool" if result.name is None else result.name),
    }
    out["response"] = _render_response_object("\n".join(texts), is_failure=bool(result.is_error))
    rendered_media = render_parts(context, tuple(media_parts))
    if not rendered_media:
        return [{"functionResponse": out}]
    if context.traits.tool_result_images and not any("text" in item for item in rendered_media):
        return [{"functionResponse": {**out, "parts": rendered_media}}]
    context.approximate(result.path, "media in a tool result is sent after it")
    return [{"functionResponse": out}, *rendered_media]


def _render_response_object(result_text: str, *, is_failure: bool) -> Json:
    """The `response` object: JSON objects unchanged, text under `output` or `error`."""
    if is_failure:
        return {"error": result_text}
    result_object: Any = None
    if result_text.startswith("{"):
        try:
            result_object = msgspec.json.decode(result_text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            result_object = None
    return result_object if isinstance(result_object, dict) else {"output": result_text}


def _render_reasoning(context: RenderContext, reasoning: Reasoning) -> tuple[list[Json], str]:
    """The parts of replayable reasoning, and the signature of the next part."""
    signature = reasoning.signature
    rendered_parts: list[Json] = (
        [{"text": reasoning.text, "thought": True}] if reasoning.text else []
    )
    if (signature is None and context.same_dialect) or is_unsigned_thought(
        signature, context.traits
    ):
        return rendered_parts, ""
    if signature is None or not can_be_replayed(
        signature, context.traits, native=context.same_dialect
    ):
        reason = (
            "no signature available for replay"
            if signature is None
            else "reasoning of another model"
        )
        context.drop(reasoning.path, reason)
        return [], ""
    if signature.kind == NEXT_PART_SIGNATURE:
        return rendered_parts, signature.value
    part = rendered_parts[0] if rendered_parts else {"text": ""}
    return [{**part, "thoughtSignature": signature.value}], ""


# --- a provider's contents ------------------------------------------------------------------------

_TRAILING_INDEX = re.compile(r"\[\d+\]$")


def render_system(context: RenderContext) -> list[Json]:
    """The parts of the instructions."""
    return render_parts(context, tuple(context.sent_instructions()))


def render_contents(context: RenderContext, system: list[Json]) -> tuple[list[Json], str | None]:
    """The contents, and the effort of a later turn; leading system turns go into `system`."""
    context.request, report = pair_tool_results(context.request)
    context.report += report
    effort: str | None = None
    contents: list[Json] = []
    last_turn: Turn | None = None
    for turn in context.request.turns:
        if turn.name is not None:
            context.drop(f"{turn.path}.name", "no equivalent")
        effort = turn.effort or effort
        parts = _render_turn(context, turn)
        if turn.role == "system":
            if not contents:
                system += parts
                continue
            parts = _render_system_as_user(context, turn, parts)
        if not parts:
            continue
        _append_parts(contents, "model" if turn.role == "assistant" else "user", parts)
        last_turn = turn
    _insert_first_user_content(context, contents)
    _check_prefill(context, contents, last_turn)
    _add_missing_signatures(context, contents)
    return contents, effort


def _render_turn(context: RenderContext, turn: Turn) -> list[Json]:
    sent_parts: list[Part] = []
    if turn.role == "assistant":
        has_tool_call = any(isinstance(part, ToolCall) for part in turn.parts)
        for part in turn.parts:
            if isinstance(part, ToolResult):
                context.drop(part.path, "only user turns can contain tool results")
            elif not (has_tool_call and isinstance(part, Text) and not part.text):
                sent_parts.append(part)
        return render_parts(context, tuple(sent_parts))
    for part in _results_in_call_order(context, turn):
        if isinstance(part, Reasoning) and not context.same_dialect:
            context.drop(part.path, "only model turns can contain reasoning")
        elif isinstance(part, ToolCall):
            context.drop(part.path, "only model turns can contain tool calls")
        else:
            sent_parts.append(part)
    return render_parts(context, tuple(sent_parts))


def _results_in_call_order(context: RenderContext, turn: Turn) -> tuple[Part, ...]:
    """The parts with the results first, in the order of their calls."""
    results = {part.id: part for part in turn.parts if isinstance(part, ToolResult)}
    if len(results) < 2:
        return turn.parts
    order = [
        part.id
        for turn_with_calls in context.request.turns
        if turn_with_calls.role == "assistant"
        for part in turn_with_calls.parts
        if isinstance(part, ToolCall) and part.id in results
    ]
    sorted_results = [results[call_id] for call_id in dict.fromkeys(order)]
    return (*sorted_results, *(p for p in turn.parts if not isinstance(p, ToolResult)))


def _render_system_as_user(context: RenderContext, turn: Turn, parts: list[Json]) -> list[Json]:
    """Render a mid-conversation system message as the user's."""
    context.approximate(turn.path, "mid-conversation system message sent as a user message")
    if turn.effort is not None:
        context.approximate(f"{turn.path}.output_config.effort", "applies to the whole request")
    return [
        {**part, "text": f"<system>\n{part['text']}\n</system>"} if "text" in part else part
        for part in parts
    ]


def _append_parts(contents: list[Json], role: str, parts: list[Json]) -> None:
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _insert_first_user_content(context: RenderContext, contents: list[Json]) -> None:
    if contents and contents[0]["role"] == "user":
        return
    context.report_placeholder()
    contents.insert(0, {"role": "user", "parts": [{"text": PLACEHOLDER_TEXT}]})


def _check_prefill(context: RenderContext, contents: list[Json], last_turn: Turn | None) -> None:
    if contents[-1]["role"] != "model" or context.traits.prefill or context.same_dialect:
        return
    raise context.prefill_error((last_turn.path if last_turn else "") or "messages")


# --- signatures -----------------------------------------------------------------------------------


def _add_missing_signatures(context: RenderContext, contents: list[Json]) -> None:
    """Set the skip value on each step's first call that has no signature."""
    if not context.traits.requires_reasoning_replay:
        return
    paths = {
        p.id: p.path for t in context.request.turns for p in t.parts if isinstance(p, ToolCall)
    }
    for content in contents[_current_turn_start(contents) :]:
        call_parts = [part for part in content["parts"] if "functionCall" in part]
        if content["role"] != "model" or not call_parts or "thoughtSignature" in call_parts[0]:
            continue
        call_parts[0]["thoughtSignature"] = SKIP_SIGNATURE
        path = _TRAILING_INDEX.sub("", paths.get(call_parts[0]["functionCall"]["id"], ""))
        context.approximate(path, MISSING_SIGNATURE)


def _current_turn_start(contents: list[Json]) -> int:
    """Where the current turn begins: the last user content without results."""
    for index in range(len(contents) - 1, -1, -1):
        content = contents[index]
        answers = any("functionResponse" in part for part in content["parts"])
        if content["role"] == "user" and not answers:
            return index
    return 0
