"""The messages of a logged request as the Conversation tab displays them.

Tool results are displayed with the calls that they answer, not as messages of their own.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Any, assert_never

import msgspec
from django.utils.translation import gettext as _

from console.pages.requests.canonical import LoggedRequest, LoggedResponse
from gateway.canon.arguments import render_arguments
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.response import Response

# Longer texts are folded: characters displayed at first, and at most.
PREVIEW_CHARS = 700
FOLD_CHARS = 1500
MAX_CHARS = 100_000
# Messages displayed at the end of a long conversation; earlier ones are folded.
OPEN_MESSAGES = 12
MAX_INPUTS = 50
# Types that a browser displays; all others are downloads.
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_AUDIO_TYPES = {"mp3": "audio/mpeg", "pcm16": "audio/pcm", "m4a": "audio/mp4"}


class Block(msgspec.Struct, kw_only=True):
    """One part of a message.

    Attributes:
        kind: `text`, `reasoning`, `refusal`, `image`, `audio`, `document`, `call`, `result`,
            or `other`.
        text: its text, or the JSON of a call's arguments.
        preview: the beginning of a long text; empty if all of it is displayed.
        cut_chars: characters beyond MAX_CHARS, which are not displayed.
        title: a tool's name, a document's title.
        media: number of the stored file, see `stored_media`; None if the log has no bytes.
        link: address of a file that the log does not have; never loaded by the page.
        log_id: the row of the log with the file.
        call_id: the id of a call.
        results: the results of a call.
        failed: whether a tool's result is an error.
    """

    kind: str
    text: str = ""
    preview: str = ""
    cut_chars: int = 0
    title: str = ""
    media: int | None = None
    media_type: str = ""
    link: str = ""
    log_id: int = 0
    call_id: str = ""
    results: list[Block] = []
    failed: bool = False


class Message(msgspec.Struct, kw_only=True):
    """One message. `turn` is its index in the request; None for the system prompt."""

    role: str
    blocks: list[Block]
    name: str = ""
    turn: int | None = None


class OfferedTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model could call."""

    name: str
    description: str
    schema: str


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a request or response."""

    content: bytes
    media_type: str
    name: str


class Conversation(msgspec.Struct, kw_only=True):
    """All messages of a request, and the response.

    Attributes:
        earlier: messages folded at the beginning of a long conversation.
        responses: the response and its alternatives.
        finish: the finish reason of the response; empty if unknown.
        inputs: the texts of an embeddings request.
        vectors: number of vectors and their length.
    """

    system: Message | None = None
    earlier: list[Message] = []
    messages: list[Message] = []
    responses: list[Message] = []
    finish: str = ""
    explanation: str = ""
    complete: bool = True
    tools: list[OfferedTool] = []
    inputs: list[Block] = []
    more_inputs: int = 0
    vectors: tuple[int, int] | None = None


FINISH_LABELS = {
    "stop": lambda: _("Finished"),
    "stop_sequence": lambda: _("Stop sequence"),
    "length": lambda: _("Token limit reached"),
    "context": lambda: _("Context window exceeded"),
    "tool": lambda: _("Tool call"),
    "filter": lambda: _("Content filter"),
    "refusal": lambda: _("Refused"),
    "pause": lambda: _("Paused by the provider"),
    "malformed": lambda: _("Malformed tool call"),
}


def conversation_of(
    logged_request: LoggedRequest, logged_response: LoggedResponse, log_id: int = 0
) -> Conversation:
    """The messages of a request and of its response; `log_id` is the row of the log."""
    view = Conversation(complete=logged_response.complete)
    builder = MessageBuilder(log_id)
    if logged_request.embed is not None:
        inputs = logged_request.embed.inputs[:MAX_INPUTS]
        view.inputs = [_text_block("text", _input_text(value)) for value in inputs]
        view.more_inputs = len(logged_request.embed.inputs) - len(inputs)
    if logged_request.request is not None:
        view.system, turns = builder.system(logged_request.request), logged_request.request.turns
        view.messages = builder.messages(turns)
        view.tools = [_offered_tool(tool) for tool in logged_request.request.tools]
    if len(view.messages) > OPEN_MESSAGES + 3:
        view.earlier = view.messages[:-OPEN_MESSAGES]
        view.messages = view.messages[-OPEN_MESSAGES:]
    if logged_response.embed is not None:
        vectors = logged_response.embed.vectors
        view.vectors = len(vectors), len(vectors[0]) if vectors else 0
    if logged_response.response is not None:
        view.responses = builder.responses(logged_response.response)
        finish = logged_response.response.finish
        view.finish = FINISH_LABELS[finish.reason]() if logged_response.complete else ""
        view.explanation = finish.explanation or finish.stop_sequence or ""
    return view


def _input_text(value: str | tuple[int, ...]) -> str:
    return value if isinstance(value, str) else _("%(n)d token IDs") % {"n": len(value)}


def _offered_tool(tool: Tool) -> OfferedTool:
    definition = tool.native or tool.format or tool.schema
    return OfferedTool(
        name=tool.name,
        description=tool.description or "",
        schema=json_text(definition) if definition else "",
    )


def json_text(value: Any) -> str:
    """A value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


class MessageBuilder:
    """Builds messages; numbers the files in the order of `stored_media`."""

    def __init__(self, log_id: int) -> None:
        self._log_id = log_id
        self._media_count = 0
        # Calls that wait for their result, by id.
        self._open_calls: dict[str, deque[Block]] = defaultdict(deque)

    def system(self, request: Request) -> Message | None:
        """The system prompt; None if there is none."""
        blocks = [self._build_block(part) for part in request.instructions]
        return Message(role="system", blocks=blocks) if blocks else None

    def messages(self, turns: Iterable[Turn]) -> list[Message]:
        """The turns as messages; one that has only results of calls is not a message."""
        messages = []
        for index, turn in enumerate(turns):
            blocks = []
            for part in turn.parts:
                block = self._build_block(part)
                if not isinstance(part, ToolResult):
                    blocks.append(block)
                elif self._open_calls[part.id]:
                    self._open_calls[part.id].popleft().results.append(block)
                else:
                    blocks.append(block)
                if isinstance(part, ToolCall):
                    self._open_calls[part.id].append(block)
            if blocks or not turn.parts:
                name = turn.name or ""
                messages.append(Message(role=turn.role, blocks=blocks, name=name, turn=index))
        return messages

    def responses(self, response: Response) -> list[Message]:
        """The response and its alternatives."""
        return [
            Message(role="assistant", blocks=[self._build_block(part) for part in choice.parts])
            for choice in (response, *response.alternatives)
        ]

    def _build_block(self, part: Part) -> Block:
        match part:
            case Text():
                return _text_block("text", part.text)
            case Refusal():
                return _text_block("refusal", part.text)
            case Reasoning():
                return _text_block("reasoning", part.text)
            case ToolCall():
                text = render_arguments(part) if part.arguments is None else ""
                text = text or json_text(part.arguments or {})
                block = _text_block("call", text, title=part.name)
                block.call_id = part.id
                return block
            case ToolResult():
                blocks = [self._build_block(inner_part) for inner_part in part.parts]
                title, is_failed = part.name or part.id, bool(part.is_error)
                return Block(kind="result", title=title, results=blocks, failed=is_failed)
            case Image() | Audio() | Document():
                return self._media_block(part)
            case Native():
                title = str(part.data.get("type") or part.dialect)
                return _text_block("other", json_text(part.data), title=title)
            case _:
                assert_never(part)

    def _media_block(self, part: Image | Audio | Document) -> Block:
        if isinstance(part, Document) and (part.text is not None or part.parts is not None):
            return self._text_document(part)
        media_type, title = media_type_of(part), _media_title(part)
        kind = "image" if isinstance(part, Image) else "document"
        if isinstance(part, Audio):
            kind = "audio"
        if kind == "image" and media_type not in IMAGE_TYPES and part.data is not None:
            kind = "document"
        if part.data is None:
            link = title if title.startswith(("http://", "https://")) else ""
            return Block(kind="document", title=title, media_type=media_type, link=link)
        number, self._media_count = self._media_count, self._media_count + 1
        return Block(
            kind=kind, title=title, media_type=media_type, media=number, log_id=self._log_id
        )

    def _text_document(self, part: Document) -> Block:
        blocks = [self._build_block(inner) for inner in part.parts or ()]
        title = part.title or _("Document")
        if part.text is None:
            return Block(kind="document", title=title, results=blocks)
        return _text_block("document", part.text, title=title)


def _text_block(kind: str, text: str, *, title: str = "") -> Block:
    preview = ""
    if len(text) > FOLD_CHARS:
        preview = text[:PREVIEW_CHARS]
        preview = preview[: preview.rfind(" ") if " " in preview[-80:] else None]
    cut_chars = max(0, len(text) - MAX_CHARS)
    return Block(
        kind=kind, text=text[:MAX_CHARS], preview=preview, cut_chars=cut_chars, title=title
    )


def _media_title(part: Image | Audio | Document) -> str:
    match part:
        case Image():
            return part.url or part.file_id or ""
        case Document():
            return (part.title if part.data else None) or part.url or part.file_id or ""
        case Audio():
            return part.format
        case _:
            assert_never(part)


def media_type_of(part: Image | Audio | Document) -> str:
    """The media type that the client declared, or that of the audio format."""
    if isinstance(part, Audio):
        return _AUDIO_TYPES.get(part.format, f"audio/{part.format}")
    return part.media_type or ""


# --- files ----------------------------------------------------------------------------------


def stored_media(
    logged_request: LoggedRequest, logged_response: LoggedResponse, number: int
) -> Media | None:
    """The file with this number in a request and its response; None if there is none."""
    parts: list[Part] = []
    if logged_request.request is not None:
        parts += logged_request.request.instructions
        parts += (part for turn in logged_request.request.turns for part in turn.parts)
    if logged_response.response is not None:
        for choice in (logged_response.response, *logged_response.response.alternatives):
            parts += choice.parts
    files = [part for part in _flatten_parts(parts) if _has_bytes(part)]
    return _media_of(files[number]) if number < len(files) else None


def _flatten_parts(parts: Iterable[Part]) -> Iterable[Part]:
    for part in parts:
        yield part
        inner = part.parts if isinstance(part, ToolResult | Document) else None
        yield from _flatten_parts(inner or ())


def _has_bytes(part: Part) -> bool:
    if isinstance(part, Document) and (part.text is not None or part.parts is not None):
        return False
    return isinstance(part, Image | Audio | Document) and part.data is not None


def _media_of(part: Any) -> Media | None:
    try:
        content = base64.b64decode(part.data)
    except (binascii.Error, ValueError):
        return None
    media_type = media_type_of(part)
    extension = mimetypes.guess_extension(media_type) or ""
    kind = type(part).__name__.lower()
    name = getattr(part, "title", None) or f"{kind}{extension}"
    return Media(content=content, media_type=media_type, name=name)
