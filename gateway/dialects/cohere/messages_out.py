"""Instructions and turns -> a provider's messages.

A tool's result is a message of its own, right after the calls. Words beside calls are the
model's `tool_plan`. Documents stand outside the messages, where the model may cite them.
"""

from __future__ import annotations

from typing import assert_never

from gateway.canon.arguments import written
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import data_url, media_type_of, text_in
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.signature import belongs
from gateway.canon.turns import empty_texts, repaired
from gateway.dialects.cohere.job import Job
from gateway.dialects.cohere.names import NAME, Json
from gateway.dialects.fields import joined

EMPTY = "(empty)"
_BESIDE = "See the documents."
# A block of Claude Code's that changes with each version and would spoil prompt caches.
_BILLING = "x-anthropic-billing-header:"


def messages_out(job: Job) -> list[Json]:
    """The messages, the instructions first."""
    job.request, report = repaired(job.request)
    job.report += report
    messages = _system_out(job)
    last: Turn | None = None
    for turn in job.request.turns:
        if turn.name is not None:
            job.drop(f"{turn.at}.name", "no equivalent")
        for empty in empty_texts(turn):
            job.drop(empty.at, "empty text")
        made = _turn_out(job, turn)
        messages += made
        last = turn if made else last
    if last is not None and last.role == "system":
        _end_as_user(job, last, messages[-1])
    if last is None:
        raise invalid("messages must hold at least one message that is not empty", "messages")
    if last.role == "assistant":
        path = last.at or "messages"
        why = f"{job.model} does not continue an assistant message; end with a user message"
        raise invalid(f"{path}: {why}", path)
    return messages


def _end_as_user(job: Job, turn: Turn, message: Json) -> None:
    """A last word of the system as the user's, whose turn it has to be."""
    job.bend(turn.at, "a system message at the end is sent as a user message")
    message["role"] = "user"
    message["content"] = f"<system>\n{message['content']}\n</system>"


def _system_out(job: Job) -> list[Json]:
    texts: list[str] = []
    for part in job.request.instructions:
        job.unmark(part.cache)
        if part.text.startswith(_BILLING):
            job.drop(part.at, "attribution block: of use to api.anthropic.com only")
        elif part.text:
            texts.append(part.text)
    return [{"role": "system", "content": "\n\n".join(texts)}] if texts else []


def _turn_out(job: Job, turn: Turn) -> list[Json]:
    match turn.role:
        case "assistant":
            return _assistant_out(job, turn)
        case "system":
            words = _words(job, turn)
            return [{"role": "system", "content": words}] if words else []
        case "user":
            return _user_out(job, turn)
        case _:
            assert_never(turn.role)


def _words(job: Job, turn: Turn) -> str:
    """The words of a system turn, which holds nothing else."""
    if turn.effort is not None:
        job.drop(f"{turn.at}.output_config.effort", "the effort of a request can not change in it")
    texts = []
    for part in turn.parts:
        if isinstance(part, Text):
            job.unmark(part.cache)
            texts.append(part.text)
        else:
            job.drop(part.at, "a system message holds text only")
    return "\n\n".join(text for text in texts if text)


# --- the user's --------------------------------------------------------------------------


def _user_out(job: Job, turn: Turn) -> list[Json]:
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    others = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
    messages = [_result_out(job, result) for result in results]
    before = len(job.documents)
    content = [item for part in others for item in _asked(job, part)]
    if not content and len(job.documents) > before:
        content = [{"type": "text", "text": _BESIDE}]
        job.bend(turn.at, f"a document stands outside the messages: {_BESIDE!r} is sent")
    if content:
        messages.append({"role": "user", "content": _plain(content)})
    return messages


def _plain(content: list[Json]) -> str | list[Json]:
    """A single text as a string, as most clients write it."""
    if len(content) == 1 and content[0]["type"] == "text":
        return str(content[0]["text"])
    return content


def _asked(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            return _text_out(job, part)
        case Image():
            return [_image_out(job, part)]
        case Document():
            job.documents.append(_document_out(job, part))
            return []
        case Audio():
            raise _refused(part.at, "Cohere's chat takes no audio")
        case Reasoning() | ToolCall():
            job.drop(part.at, "only the assistant thinks and calls tools")
            return []
        case Refusal():
            return _text_out(job, Text(text=part.text, at=part.at))
        case Native():
            return _native_out(job, part)
        case ToolResult():
            return []
        case _:
            assert_never(part)


def _refused(at: str, why: str) -> GatewayError:
    at = at or "messages"
    return GatewayError(Error(kind="unsupported_param", message=f"{at}: {why}", param=at))


def _text_out(job: Job, part: Text) -> list[Json]:
    job.unmark(part.cache)
    return [{"type": "text", "text": part.text}] if part.text else []


def _native_out(job: Job, part: Native) -> list[Json]:
    if part.dialect == NAME:
        return [part.data]
    job.drop(part.at, "Cohere's chat has no part for it")
    return []


def _note(job: Job, at: str, what: str, why: str) -> Json:
    """A note to the model in place of media that the target does not take."""
    job.drop(at, f"{why}; a note stands in its place")
    return {"type": "text", "text": f"[{what} left out: {why}]"}


def _image_out(job: Job, image: Image) -> Json:
    job.unmark(image.cache)
    if not job.traits.images:
        return _note(job, image.at, "image", "this model takes no images")
    if image.file_id is not None:
        why = "a file id of another provider can not be sent; send the file's data"
        raise _refused(image.at, why)
    url = image.url or ""
    if image.data is not None:
        url = data_url(media_type_of(image.data, image.media_type, "image/png"), image.data)
    out: Json = {"url": url}
    if image.detail in {"auto", "low", "high"}:
        out["detail"] = image.detail
    elif image.detail is not None:
        job.drop(joined(image.at, job.request.path("detail")), "no equivalent")
    return {"type": "image_url", "image_url": out}


def _is_text(document: Document) -> bool:
    held = document.text if document.parts is None else ""
    return held is not None or text_in(document.data, document.media_type) is not None


def _document_out(job: Job, document: Document) -> Json:
    """A document that the model may cite; only text can be one."""
    job.unmark(document.cache)
    text = document.text
    if document.parts is not None:
        for part in document.parts:
            if not isinstance(part, Text):
                job.drop(part.at, "a document is text only")
        text = "\n\n".join(p.text for p in document.parts if isinstance(p, Text))
    if text is None:
        text = text_in(document.data, document.media_type)
    if text is None:
        raise _refused(document.at, "Cohere's chat takes documents of plain text only")
    data: Json = {"text": text}
    if document.title is not None:
        data["title"] = document.title
    if document.context is not None:
        data["context"] = document.context
    if document.citations is False:
        job.drop(f"{document.at}.citations", "all documents may be cited")
    return {"id": f"doc_{len(job.documents)}", "data": data}


# --- the model's -------------------------------------------------------------------------


def _assistant_out(job: Job, turn: Turn) -> list[Json]:
    calls = [part for part in turn.parts if isinstance(part, ToolCall)]
    content: list[Json] = []
    for part in turn.parts:
        if isinstance(part, ToolResult | ToolCall):
            continue
        content += _said(job, part)
    message: Json = {"role": "assistant"}
    if calls:
        plan = "".join(item["text"] for item in content if item["type"] == "text")
        content = [item for item in content if item["type"] != "text"]
        if plan:
            message["tool_plan"] = plan
    if content:
        message["content"] = _plain(content)
    if calls:
        message["tool_calls"] = [_call_out(job, call) for call in calls]
    return [message] if len(message) > 1 else []


def _said(job: Job, part: Part) -> list[Json]:
    match part:
        case Text():
            if part.citations:
                job.drop(f"{part.at}.citations", "sources can not be sent back")
            return _text_out(job, part)
        case Reasoning():
            return _thought_out(job, part)
        case Refusal():
            job.bend(part.at, "a refusal in the history is sent as text")
            return [{"type": "text", "text": part.text}] if part.text else []
        case Native():
            return _native_out(job, part)
        case _:
            job.drop(part.at, "media in an assistant message")
            return []


def _thought_out(job: Job, thought: Reasoning) -> list[Json]:
    """A thought that goes back to the model that made it; another's is left out."""
    if not belongs(thought.signature, job.traits):
        job.drop(thought.at, "thought of another model")
        return []
    return [{"type": "thinking", "thinking": thought.text}] if thought.text else []


def _call_out(job: Job, call: ToolCall) -> Json:
    job.unmark(call.cache)
    if call.signature is not None:
        job.unsign(call)
    arguments = written(call)
    if call.custom:
        arguments = written(ToolCall(id="", name="", arguments={"input": call.raw or ""}))
    elif call.arguments is None:
        job.bend(call.at, "the arguments are no JSON object; sent as they are")
    function = {"name": job.name(call.name), "arguments": arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _result_out(job: Job, result: ToolResult) -> Json:
    job.unmark(result.cache)
    content: list[Json] = []
    for part in result.parts:
        if isinstance(part, Document) and _is_text(part):
            content.append({"type": "document", "document": _document_out(job, part)})
        elif isinstance(part, Text):
            content += _text_out(job, part)
        else:
            content.append(_note(job, part.at, "media", "a tool result holds text only"))
    if result.is_error:
        job.bend(f"{result.at}.is_error" if result.at else "", "the failure is told in words")
        content.insert(0, {"type": "text", "text": "Error: "})
    if not content:
        job.bend(result.at, f"an empty tool result is sent as {EMPTY!r}")
    told: str | list[Json] = content or EMPTY
    if content and all(item["type"] == "text" for item in content):
        told = "".join(item["text"] for item in content)
    return {"role": "tool", "tool_call_id": result.id, "content": told}
