"""Responses for clients, complete and streamed.

In a complete response the text before calls is the `tool_plan`, as with Cohere's own models. In
a stream it is content, because it begins before it is known whether a call follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated_field, dropped_field
from gateway.canon.arguments import render_arguments
from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import (
    BlockEnd,
    BlockStart,
    CitationDelta,
    Delta,
    End,
    Event,
    Failed,
    NativeDelta,
    SignatureDelta,
    Start,
    UsageUpdate,
)
from gateway.canon.logprobs import token_logprobs
from gateway.canon.request import (
    Audio,
    Citation,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.response import Finish, Response, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.cohere.context import DOCUMENTS, NAME, Json
from gateway.dialects.cohere.errors import client_message
from gateway.dialects.shared.failed_streams import EXPLANATION_DROPPED, malformed_output_error
from gateway.dialects.shared.fields import native_kind, string_or_none
from gateway.framing.sse import encode

# --- whole responses ------------------------------------------------------------------------------


class _Message:
    """The message while its parts are added."""

    def __init__(self) -> None:
        self.content: list[Json] = []
        self.calls: list[Json] = []
        self.citations: list[Json] = []
        self.report = AdaptationReport()


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and its adaptations. Raises GatewayError for malformed output."""
    finish = response.finish
    if finish.reason == "malformed":
        raise GatewayError(malformed_output_error(finish))
    message = _Message()
    for part in response.parts:
        _add_part(message, part, context)
    if finish.explanation and message.content:
        message.report.add(EXPLANATION_DROPPED)
    elif finish.explanation:
        message.content.append({"type": "text", "text": finish.explanation})
    body: Json = {
        "id": context.id,
        "finish_reason": render_finish(finish, message.report),
        "message": _render_message(message),
        "usage": render_usage(response.usage),
    }
    if tokens := token_logprobs(response):
        body["logprobs"] = [
            {"text": item["token"], "token_ids": [], "logprobs": [item["logprob"]]}
            for item in tokens
        ]
    return body, tuple(message.report)


def _render_message(message: _Message) -> Json:
    out: Json = {"role": "assistant"}
    content, citations = message.content, message.citations
    if message.calls:
        plan, start_by_index = _join_texts(content)
        content = [item for item in content if item["type"] != "text"]
        citations = [_cite_plan(citation, start_by_index) for citation in citations]
        if plan:
            out["tool_plan"] = plan
        out["tool_calls"] = message.calls
    if content:
        out["content"] = content
    if citations:
        out["citations"] = citations
    return out


_PLAN_SEPARATOR = "\n\n"


def _join_texts(content: list[Json]) -> tuple[str, dict[int, int]]:
    """The texts as one, and by the index of each text where it starts."""
    plan, start_by_index = "", {}
    for index, item in enumerate(content):
        if item["type"] == "text" and item["text"]:
            plan += _PLAN_SEPARATOR if plan else ""
            start_by_index[index] = len(plan)
            plan += item["text"]
    return plan, start_by_index


def _cite_plan(citation: Json, start_by_index: dict[int, int]) -> Json:
    """A citation of a text that became part of the plan; others stay as they are."""
    index, start, end = (citation.get(name) for name in ("content_index", "start", "end"))
    if type(index) is not int or type(start) is not int or type(end) is not int:
        return citation  # written by a provider
    offset = start_by_index.get(index)
    if offset is None:
        return citation
    moved = {"start": start + offset, "end": end + offset, "content_index": 0, "type": "PLAN"}
    return {**citation, **moved}


def _add_part(message: _Message, part: Part, context: ResponseContext) -> None:
    match part:
        case Text():
            message.citations += render_citations(
                part.citations, part.text, len(message.content), context
            )
            message.content.append({"type": "text", "text": part.text})
        case Refusal():
            message.content.append({"type": "text", "text": part.text})
        case Reasoning():
            if part.text and context.reasoning_display != "none":
                message.content.append({"type": "thinking", "thinking": part.text})
        case ToolCall():
            arguments = render_arguments(part) or "{}"
            if part.custom:
                arguments = msgspec.json.encode({"input": part.raw_arguments or ""}).decode()
            function = {"name": part.name, "arguments": arguments}
            message.calls.append({"id": part.id, "type": "function", "function": function})
        case Native():
            message.report.add(_dropped_native(part.data))
        case Image() | Document() | Audio() | ToolResult():
            kind = type(part).__name__.lower()
            message.report.add(
                dropped_field(f"content.{kind}", "no equivalent in a Cohere response")
            )
        case _:
            assert_never(part)


def _dropped_native(data: Json) -> Adaptation:
    return dropped_field(f"content.{native_kind(data)}", "no equivalent in Cohere")


# --- citations, finish reasons, usage -------------------------------------------------------------


def render_citations(
    citations: Sequence[Citation], text: str, index: int, context: ResponseContext
) -> list[Json]:
    """The citations of a text as Cohere writes them; `index` is that of the text.

    Citations without a position cite the whole text: they become one with several sources.
    """
    out: list[Json] = []
    sources: list[Json] = []
    for citation in citations:
        if citation.dialect == NAME and citation.native:
            out.append(citation.native)
        elif citation.start is None or citation.end is None:
            sources.append(_render_source(citation, context))
        else:
            start, end = citation.start, citation.end
            source = _render_source(citation, context)
            out.append(_render_citation([source], text, start, end, index))
    if sources:
        out.append(_render_citation(sources, text, 0, len(text), index))
    return out


def _render_citation(sources: list[Json], text: str, start: int, end: int, index: int) -> Json:
    fields = {"sources": sources, "content_index": index, "type": "TEXT_CONTENT"}
    return {"start": start, "end": end, "text": text[start:end], **fields}


def _render_source(citation: Citation, context: ResponseContext) -> Json:
    location = citation.location
    if location is not None and location.kind != "search_result":
        return _render_requested_document(citation, location.index, context)
    source_id = citation.url or citation.title or ""
    return {"type": "document", "id": source_id, "document": _describe_source(citation)}


def _render_requested_document(citation: Citation, index: int, context: ResponseContext) -> Json:
    """A document of the request as Cohere cites it: complete, with its id or a generated one.

    https://docs.cohere.com/docs/rag-citations
    """
    documents = context.echoed_fields.get(DOCUMENTS, ())
    document = documents[index] if index < len(documents) else None
    document = document if isinstance(document, dict) else {}
    data = document.get("data")
    document_id = string_or_none(document.get("id")) or f"doc:{index}"
    fields = data if isinstance(data, dict) else _describe_source(citation)
    return {"type": "document", "id": document_id, "document": {"id": document_id, **fields}}


def _describe_source(citation: Citation) -> Json:
    fields = {"title": citation.title, "url": citation.url, "text": citation.quote}
    return {name: value for name, value in fields.items() if value is not None}


_FINISH_REASONS = {
    "stop": "COMPLETE",
    "stop_sequence": "STOP_SEQUENCE",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "tool": "TOOL_CALL",
}


def render_finish(finish: Finish, report: AdaptationReport) -> str:
    """The `finish_reason`; reports what it cannot express."""
    finish_reason = _FINISH_REASONS.get(finish.reason)
    if finish_reason is None:
        reason = f"Cohere has no finish reason {finish.reason}: shown as COMPLETE"
        report.add(approximated_field("finish_reason", reason))
    return finish_reason or "COMPLETE"


def render_usage(usage: Usage | None) -> Json:
    """The `usage` object: billed and all tokens; Cohere's own counts where it sent them.

    Unknown counts are 0, as LangChain adds the two numbers of every response, failed ones
    included: https://github.com/langchain-ai/langchain-cohere
    """
    if usage is None:
        usage = Usage()
    if "tokens" in usage.native:
        return usage.native
    counts = {"input_tokens": usage.prompt_tokens or 0, "output_tokens": usage.output or 0}
    out: Json = {"billed_units": counts, "tokens": counts}
    if usage.cache_read is not None:
        out["cached_tokens"] = usage.cache_read
    return out


# --- streams --------------------------------------------------------------------------------------
#
# message-start (content-start content-delta* content-end citation* | tool-call-start
# tool-call-delta* tool-call-end)* message-end
#
# Indexes of content and of calls count separately.

_encode = msgspec.json.Encoder().encode
_NO_BLOCK = BlockStart(kind="text")
_DONE_EVENT = b"data: [DONE]\n\n"
_CONTENT_FIELDS = {"text": "text", "refusal": "text", "reasoning": "thinking"}


class ChatStreamRenderer:
    """Renders one stream; `report` collects what it cannot express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._context = context
        self._usage: Usage | None = None
        self._block = _NO_BLOCK
        self._field = ""  # the field of a delta's text; empty where it is not sent
        self._is_open = False  # whether the open block's start was sent
        self._content_count = 0
        self._call_count = 0
        self._fragments: list[str] = []
        self._citations: list[Citation] = []
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes of this event; nothing after End or Failed."""
        if self._ended:
            return b""
        match event:
            case Delta():
                return self._render_delta(event)
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                self._usage = event.usage
                message = {"role": "assistant"}
                return _encode_event(
                    "message-start", id=self._context.id, delta={"message": message}
                )
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                return b""
            case CitationDelta():
                self._citations.append(event.citation)
                return b""
            case SignatureDelta() | NativeDelta():
                return b""
            case End():
                return self._end_message(event.finish)
            case Failed():
                return self._fail_stream(event.error)
            case _:
                assert_never(event)

    # --- blocks ------------------------------------------------------------------------

    def _open_block(self, block: BlockStart) -> bytes:
        self._block, self._fragments, self._citations = block, [], []
        self._is_open = False
        self._field = _CONTENT_FIELDS.get(block.kind, "")
        if block.kind == "reasoning" and self._context.reasoning_display == "none":
            self._field = ""
        if block.kind == "native":
            self.report.add(_dropped_native(block.native))
        if block.kind != "tool_call":
            return b""
        call = {"id": block.id, "type": "function", "function": {"name": block.name}}
        call["function"]["arguments"] = ""  # type: ignore[index]
        return _encode_event(
            "tool-call-start", index=self._call_count, delta={"message": {"tool_calls": call}}
        )

    def _render_delta(self, event: Delta) -> bytes:
        text = event.text
        if self._block.kind == "tool_call":
            return self._render_arguments(text)
        if not self._field:
            return b""
        self._fragments.append(text)
        head = b"" if self._is_open else self._start_content()
        content = {self._field: text}
        delta = {"message": {"content": content}}
        fields: Json = {"index": self._content_count, "delta": delta}
        if event.logprobs:
            numbers = [item["logprob"] for item in event.logprobs]
            fields["logprobs"] = {"text": text, "token_ids": [], "logprobs": numbers}
        return head + _encode_event("content-delta", **fields)

    def _start_content(self) -> bytes:
        self._is_open = True
        content = {"type": self._field, self._field: ""}
        delta = {"message": {"content": content}}
        return _encode_event("content-start", index=self._content_count, delta=delta)

    def _render_arguments(self, fragment: str) -> bytes:
        if self._block.custom:
            escaped = _encode(fragment)[1:-1].decode()
            fragment = escaped if self._fragments else '{"input":"' + escaped
        self._fragments.append(fragment)
        return self._arguments_delta(fragment)

    def _arguments_delta(self, fragment: str) -> bytes:
        call = {"function": {"arguments": fragment}}
        delta = {"message": {"tool_calls": call}}
        return _encode_event("tool-call-delta", index=self._call_count, delta=delta)

    def _close_block(self) -> bytes:
        out = b""
        if self._block.kind == "tool_call":
            if self._block.custom:
                out = self._arguments_delta('"}' if self._fragments else '{"input":""}')
            elif not self._fragments:
                out = self._arguments_delta("{}")
            out += _encode_event("tool-call-end", index=self._call_count)
            self._call_count += 1
        elif self._is_open:
            out = _encode_event("content-end", index=self._content_count)
            out += self._render_citations()
            self._content_count += 1
        self._block, self._field, self._is_open = _NO_BLOCK, "", False
        return out

    def _render_citations(self) -> bytes:
        text = "".join(self._fragments)
        out: list[bytes] = []
        rendered_citations = render_citations(
            self._citations, text, self._content_count, self._context
        )
        for number, rendered_citation in enumerate(rendered_citations):
            delta = {"message": {"citations": rendered_citation}}
            out.append(_encode_event("citation-start", index=number, delta=delta))
            out.append(_encode_event("citation-end", index=number))
        return b"".join(out)

    # --- the end -----------------------------------------------------------------------

    def _end_message(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(finish))
        out = b""
        if finish.explanation and (self._content_count or self._call_count):
            self.report.add(EXPLANATION_DROPPED)
        elif finish.explanation:
            self._open_block(_NO_BLOCK)
            out = self._render_delta(Delta(finish.explanation)) + self._close_block()
        self._ended = True
        delta = {
            "finish_reason": render_finish(finish, self.report),
            "usage": render_usage(self._usage),
        }
        return out + _encode_event("message-end", delta=delta) + _DONE_EVENT

    def _fail_stream(self, error: Error) -> bytes:
        self._ended = True
        reason = "TIMEOUT" if error.kind == "timeout" else "ERROR"
        delta = {
            "finish_reason": reason,
            "error": client_message(error),
            "usage": render_usage(self._usage),
        }
        return _encode_event("message-end", delta=delta)


def _encode_event(name: str, **fields: Any) -> bytes:
    return encode(_encode({"type": name, **fields}), name.encode())
