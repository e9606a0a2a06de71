"""Instructions and turns -> a provider's messages. A message holds one text and pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from gateway.canon.errors import Error, GatewayError
from gateway.canon.media import text_in
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
from gateway.canon.traits import Traits
from gateway.canon.turns import repaired
from gateway.dialects.fields import joined
from gateway.dialects.ollama.job import Job
from gateway.dialects.ollama.names import Json

# Claude Code's first system block: it means something to api.anthropic.com only, and
# its changing version would spoil every prompt cache.
_BILLING = "x-anthropic-billing-header:"


class _Said:
    """What a message comes to: its texts, its pictures."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.images: list[str] = []

    def message(self, role: str) -> Json:
        """The message of this role."""
        out: Json = {"role": role, "content": "\n\n".join(self.texts)}
        if self.images:
            out["images"] = self.images
        return out


def messages_out(job: Job, body: Json) -> None:
    """Write the messages into the body."""
    request, report = repaired(job.request)
    job.request = request
    job.report += report
    messages = _system_out(job)
    order: dict[str, int] = {}
    for turn in request.turns:
        match turn.role:
            case "user":
                messages += _user_out(job, turn, order)
            case "assistant":
                messages += _assistant_out(job, turn)
                calls = (part for part in turn.parts if isinstance(part, ToolCall))
                order = {call.id: place for place, call in enumerate(calls)}
            case "system":
                messages += [_said(job, turn.parts).message("system")]
                _unnamed(job, turn)
            case _:
                assert_never(turn.role)
    _continue_last(job, messages)
    body["messages"] = messages


def _system_out(job: Job) -> list[Json]:
    said = _Said()
    for block in job.request.instructions:
        if block.text.startswith(_BILLING):
            job.drop(block.at, "attribution block: of use to api.anthropic.com only")
        else:
            _put(job, said, block)
    said.texts += job.hints
    return [said.message("system")] if said.texts else []


def _unnamed(job: Job, turn: Turn) -> None:
    if turn.name is not None:
        job.drop(joined(turn.at, "name"), "no equivalent in Ollama")


def _user_out(job: Job, turn: Turn, order: dict[str, int]) -> list[Json]:
    """Tool messages first, in the order of the calls, as no ids tell whose they are."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    results.sort(key=lambda result: order.get(result.id, len(order)))
    after = _Said()
    messages = [_result_out(job, result, after) for result in results]
    others = [part for part in turn.parts if not isinstance(part, ToolResult)]
    _unnamed(job, turn)
    for part in others:
        _put(job, after, part)
    if after.texts or after.images or not results:
        messages.append(after.message("user"))
    return messages


def _result_out(job: Job, result: ToolResult, after: _Said) -> Json:
    """A tool's message; its pictures follow in the next user's."""
    said = _Said()
    count = 0
    for part in result.parts:
        if isinstance(part, Image) and part.data is not None and job.traits.images:
            count += 1
            said.texts.append(f"[image {count} of this result is attached to the next message]")
            job.bend(part.at, "image in tool result moved to a following user message")
            after.texts.append(f"[image {count} from the result of {result.name or 'the tool'}]")
            after.images.append(part.data)
        else:
            _put(job, said, part)
    if result.is_error:
        first = f"Error: {said.texts[0]}" if said.texts else "Error"
        said.texts[:1] = [first]
        if result.at:
            job.bend(f"{result.at}.is_error", "text prefixed with 'Error: '")
    job.unmark(result.cache)
    message = said.message("tool")
    if result.name:
        message["tool_name"] = result.name
    return message


def _assistant_out(job: Job, turn: Turn) -> list[Json]:
    said = _Said()
    thoughts = ""
    calls: list[Json] = []
    for part in turn.parts:
        match part:
            case Reasoning():
                thoughts += _thought_out(job, part)
            case ToolCall():
                calls.append(_call_out(job, part))
            case Image():
                job.drop(part.at, "assistant messages hold text only in Ollama")
            case _:
                _put(job, said, part)
    _unnamed(job, turn)
    spoke = any(isinstance(part, Text) for part in turn.parts)
    if turn.parts and not (spoke or said.texts or thoughts or calls):
        return []
    message = said.message("assistant")
    if thoughts:
        message["thinking"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return [message]


def _thought_out(job: Job, thought: Reasoning) -> str:
    """A thought's text if it may go to this target."""
    signature = thought.signature
    # A text without an origin comes from a client that got plain text to begin with.
    own = signature is None or belongs(signature, job.traits)
    if job.traits.replay_reasoning != "ignored" and own and not thought.redacted:
        return thought.text
    job.drop(thought.at, "thinking block of another model")
    return ""


def _call_out(job: Job, call: ToolCall) -> Json:
    arguments = call.arguments
    if call.custom:
        arguments = {"input": call.raw or ""}
    elif arguments is None:
        arguments = {"_raw": call.raw or ""}
        job.bend(call.at, "the arguments are no JSON object: sent as text inside one")
    if call.signature is not None:
        job.unsign(call)
    job.unmark(call.cache)
    return {"function": {"name": call.name, "arguments": arguments}}


def _said(job: Job, parts: Iterable[Part]) -> _Said:
    said = _Said()
    for part in parts:
        _put(job, said, part)
    return said


def _put(job: Job, said: _Said, part: Part) -> None:
    """Add a part to a message; what the target does not take is reported."""
    match part:
        case Text():
            if part.citations:
                job.drop(joined(part.at, "citations"), "Ollama takes no sources as input")
            job.unmark(part.cache)
            said.texts += [part.text] if part.text else []
        case Image():
            job.unmark(part.cache)
            _put_image(job, said, part)
        case Document():
            job.unmark(part.cache)
            _put_document(job, said, part)
        case Audio():
            said.texts.append(_left_out(job, part.at, "audio", "Ollama takes no sound"))
        case Refusal():
            job.bend(part.at, "a refusal is sent as text")
            said.texts += [part.text] if part.text else []
        case Native():
            kind = part.data.get("type", "unknown")
            job.drop(part.at, f"Ollama has no part for a {kind} block")
        case ToolCall() | ToolResult() | Reasoning():
            job.drop(part.at, "this part can not stand here in Ollama")
        case _:
            assert_never(part)


def _left_out(job: Job, at: str, what: str, why: str) -> str:
    """A note to the model in place of media that the target does not take."""
    job.drop(at, f"{why}; a note stands in its place")
    return f"[{what} left out: {why}]"


def needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether it is a picture for a model that looks at them: files are not read there."""
    return isinstance(part, Image) and traits.images


def _put_image(job: Job, said: _Said, image: Image) -> None:
    if not job.traits.images:
        said.texts.append(_left_out(job, image.at, "image", "this model takes no images"))
    elif image.data is not None:
        said.images.append(image.data)
        if image.detail is not None:
            path = job.request.at.get("detail", "detail")
            job.drop(joined(image.at, path), "no equivalent in Ollama")
    else:
        said.texts.append(_left_out(job, image.at, "image", "Ollama takes image data only"))


def _put_document(job: Job, said: _Said, document: Document) -> None:
    """A document of text as text under its title; another as a note."""
    if document.citations:
        job.drop(joined(document.at, "citations"), "no equivalent in Ollama")
    text = document.text
    if text is None:
        text = text_in(document.data, document.media_type)
    if text is None and document.parts is None:
        said.texts.append(_left_out(job, document.at, "document", "Ollama reads no files"))
        return
    job.bend(document.at, "sent as text: Ollama has no text documents")
    words = [document.title, document.context, text]
    said.texts += [word for word in words if word]
    for part in document.parts or ():
        _put(job, said, part)


def _continue_last(job: Job, messages: list[Json]) -> None:
    """A last assistant message is continued by models whose template allows it."""
    if not messages or messages[-1]["role"] != "assistant":
        return
    path = job.request.turns[-1].at or "messages"
    if not job.traits.prefill:
        why = f"{path}: {job.model} can not continue an assistant message; end with a user message"
        raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
