"""Canonical events to a client's stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, assert_never

from msgspec.structs import replace

from gateway.canon.adaptation import AdaptationReport, approximated_field
from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import Error
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
from gateway.canon.logprobs import with_bytes, without_bytes
from gateway.canon.request import Citation, Signature
from gateway.canon.response import Finish, Usage, merge_usage
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.context import CLIENT_TOOL_SEARCH, NAME, Json
from gateway.dialects.openai_responses.items import (
    WEB_SEARCH_CALL,
    page_contents_drop,
    render_search_item,
    with_result,
)
from gateway.dialects.openai_responses.output_events import DeltaWriter, OutputEvents
from gateway.dialects.openai_responses.parts import render_citation
from gateway.dialects.openai_responses.response import (
    call_kind,
    code_losses,
    render_call_item,
    render_failure,
    render_finish,
    render_message_item,
    render_reasoning_item,
    render_response_object,
    render_state_item,
    render_text_part,
    render_usage,
    unlinked_source_drop,
    unsupported_part_drop,
)
from gateway.dialects.shared import code_execution, image_generation, mcp
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.dialects.shared.openai_response import (
    RESPONSES_TIERS,
    render_service_tier,
    responses_fields,
)
from gateway.dialects.shared.web_search import Search, read_call, read_result

# --- writers of output items ----------------------------------------------------------------------
#
# message    item.added (part.added delta* annotation* text.done part.done)* item.done
#     reasoning  item.added [part.added delta* text.done part.done] item.done
#     call       item.added delta* arguments.done item.done
#     state      item.added item.done     before or after consecutive calls
#
# Consecutive texts form one part of one message, where clients expect the response.

MCP_CALL = "mcp_call"


class MessageWriter:
    """A message: parts of text and refusal.

    `phase` is empty if the provider has no phases.
    """

    def __init__(self, events: OutputEvents, phase: str) -> None:
        self.phase = phase
        self._events = events
        self._id = events.new_id("message")
        self._content: list[Json] = []
        self._deltas: DeltaWriter | None = None
        self._kind = ""
        self._citations: list[Citation] = []
        self._logprobs: list[Json] = []
        self._block_start = 0

    def open(self, kind: str) -> bytes:
        """Start a block: it continues the open part, or starts one."""
        out = b""
        if self._deltas is not None and self._kind == kind:
            self._block_start = self._deltas.length
            return out
        if self._deltas is None:
            item = render_message_item(self._id, [], "in_progress", self.phase)
            out = self._events.item_added(item)
        else:
            out = self._end_part()
        self._kind, self._block_start = kind, 0
        content_index = len(self._content)
        part: Json = (
            render_text_part("", []) if kind == "text" else {"type": "refusal", "refusal": ""}
        )
        self._content.append(part)
        delta_fields: Json = {"content_index": content_index}
        name = "response.refusal.delta"
        if kind == "text":
            name, delta_fields["logprobs"] = "response.output_text.delta", []
        self._deltas = self._events.delta_writer(name, self._id, **delta_fields)
        event_type = "response.content_part.added"
        return out + self._events.item_event(
            event_type, self._id, content_index=content_index, part=part
        )

    def write(self, text: str) -> bytes:
        """A delta of the open part."""
        return self._deltas.write(text) if self._deltas is not None else b""

    def write_tokens(self, text: str, tokens: Iterable[Json]) -> bytes:
        """A delta of the open part with its tokens' log probabilities."""
        if self._deltas is None or self._kind != "text":
            return self.write(text)
        self._deltas.count(text)
        logprobs = list(tokens)
        self._logprobs += map(with_bytes, logprobs)
        return self._events.item_event(
            "response.output_text.delta",
            self._id,
            content_index=len(self._content) - 1,
            logprobs=[without_bytes(token) for token in logprobs],
            delta=text,
        )

    def add_citation(self, citation: Citation) -> None:
        """Add a source of the open block, whose end position is known at its end."""
        self._citations.append(citation)

    def end_block(self) -> tuple[bytes, bool]:
        """The sources of the block, and whether all of them could be rendered."""
        citations, self._citations = self._citations, []
        if not citations or self._deltas is None or self._kind != "text":
            return b"", not citations
        out: list[bytes] = []
        content_index, end = len(self._content) - 1, self._deltas.length
        annotations: list[Json] = self._content[-1]["annotations"]
        rendered_citations = [
            render_citation(citation, self._block_start, end) for citation in citations
        ]
        for annotation in rendered_citations:
            if annotation is not None:
                annotations.append(annotation)
                annotation_event = self._events.item_event(
                    "response.output_text.annotation.added",
                    self._id,
                    content_index=content_index,
                    annotation_index=len(annotations) - 1,
                    annotation=annotation,
                )
                out.append(annotation_event)
        return b"".join(out), None not in rendered_citations

    def close(self, status: str) -> bytes:
        """End the message."""
        return self._end_part() + self._events.item_done(
            render_message_item(self._id, self._content, status, self.phase)
        )

    def _end_part(self) -> bytes:
        if self._deltas is None:
            return b""
        content_index, text, part = len(self._content) - 1, self._deltas.text, self._content[-1]
        if self._kind == "text":
            part |= {"text": text, "logprobs": self._logprobs}
            logprobs = [without_bytes(token) for token in self._logprobs]
            name = "response.output_text.done"
            text_fields = {"text": text, "logprobs": logprobs}
            self._logprobs = []
        else:
            part["refusal"] = text
            name, text_fields = "response.refusal.done", {"refusal": text}
        out = self._events.item_event(name, self._id, content_index=content_index, **text_fields)
        done = "response.content_part.done"
        return out + self._events.item_event(done, self._id, content_index=content_index, part=part)


class ReasoningWriter:
    """Reasoning: a summary, if its text is visible, and its state."""

    def __init__(self, events: OutputEvents) -> None:
        self._events = events
        self._visible = events.context.reasoning_display != "none"
        self._id = events.new_id("reasoning")
        self._deltas: DeltaWriter | None = None
        self._hidden_texts: list[str] = []

    def open(self) -> bytes:
        """Start the item."""
        item = {"id": self._id, "type": "reasoning", "status": "in_progress", "summary": []}
        return self._events.item_added(item)

    def write(self, text: str) -> bytes:
        """A delta; the first one starts the summary."""
        if not self._visible:
            self._hidden_texts.append(text)
            return b""
        out = b""
        if self._deltas is None:
            part = {"type": "summary_text", "text": ""}
            added_type, delta_type = "summary_part.added", "summary_text.delta"
            out = self._events.item_event(
                f"response.reasoning_{added_type}", self._id, summary_index=0, part=part
            )
            name = f"response.reasoning_{delta_type}"
            self._deltas = self._events.delta_writer(name, self._id, summary_index=0)
        return out + self._deltas.write(text)

    def close(self, signature: Signature | None) -> bytes:
        """End the item with its state."""
        out, text = b"", ""
        if self._deltas is not None:
            text = self._deltas.text
            part = {"type": "summary_text", "text": text}
            name = "response.reasoning_summary_text.done"
            out = self._events.item_event(name, self._id, summary_index=0, text=text)
            name = "response.reasoning_summary_part.done"
            out += self._events.item_event(name, self._id, summary_index=0, part=part)
        text = text or "".join(self._hidden_texts)
        item = render_reasoning_item(self._id, text, signature, visible=self._visible)
        return out + self._events.item_done(item)


class ToolCallWriter:
    """A call of a function, of a free-text tool or of the client's tool search."""

    def __init__(self, events: OutputEvents, block: BlockStart) -> None:
        self._events, self._block = events, block
        self._event_stem, self._field = "function_call_arguments", "arguments"
        if block.custom:
            self._event_stem, self._field = "custom_tool_call_input", "input"
        # A search has no events of its arguments: they are in its item.
        self._has_deltas = block.name != CLIENT_TOOL_SEARCH
        self._id = events.new_id(call_kind(block.name, custom=block.custom))
        self._deltas = events.delta_writer(f"response.{self._event_stem}.delta", self._id)

    def open(self) -> bytes:
        """Start the item."""
        return self._events.item_added({**self._build_item(""), "status": "in_progress"})

    def write(self, text: str) -> bytes:
        """A delta of the arguments or the free text."""
        if not self._has_deltas:
            self._deltas.count(text)
            return b""
        return self._deltas.write(text)

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return self._block.id

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a whole object. Free text may be cut off anywhere."""
        return not self._block.custom and parse_arguments(self._deltas.text)[0] is not None

    def close(self, status: str = "completed") -> bytes:
        """End the item."""
        out = b""
        if not self._deltas.texts and not self._block.custom:
            out = self.write("{}")
        arguments = self._deltas.text
        if self._has_deltas:
            argument_fields = {self._field: arguments}
            out += self._events.item_event(
                f"response.{self._event_stem}.done", self._id, **argument_fields
            )
        return out + self._events.item_done({**self._build_item(arguments), "status": status})

    def _build_item(self, arguments: str) -> Json:
        block = self._block
        return render_call_item(self._id, block.id, block.name, arguments, custom=block.custom)


class _ServerCall:
    """A call that a provider runs: its input arrives in fragments, its result in a later block.

    Attributes:
        announced: whether its item was started.
        result: the block of its result; None while there is none.
    """

    def __init__(self, events: OutputEvents, block: Json) -> None:
        self._events = events
        self._block = block
        self._input_fragments: list[str] = []
        self._id = ""
        self.announced = False
        self.result: Json | None = None

    def add(self, delta: Json) -> None:
        """Add a fragment of the call's input."""
        fragment: Any = delta.get("partial_json")
        if isinstance(fragment, str):
            self._input_fragments.append(fragment)

    def _start_item(self, kind: str) -> Json:
        """Assign the id of the item, and return the block with its whole input."""
        self.announced, self._id = True, self._events.new_id(kind)
        if not self._input_fragments:
            return self._block
        return {**self._block, "input": parse_arguments("".join(self._input_fragments))[0]}


class SearchWriter(_ServerCall):
    """A search in a client's stream: started when its query is known, ended by its result."""

    def __init__(self, events: OutputEvents, block: Json) -> None:
        super().__init__(events, block)
        self._search = read_call(block) or Search()

    def start(self) -> bytes:
        """Start the item."""
        self._search = read_call(self._start_item(WEB_SEARCH_CALL)) or self._search
        item = {"id": self._id, **render_search_item(self._search, "in_progress")}
        out = self._events.item_added(item)
        out += self._events.item_event("response.web_search_call.in_progress", self._id)
        return out + self._events.item_event("response.web_search_call.searching", self._id)

    def is_answered_by(self, block: Json) -> bool:
        """Whether a block is the result of this search."""
        result = read_result(block)
        return self.result is None and result is not None and result.id == self._search.id

    def close(self) -> bytes:
        """End the item, with its result if there is one."""
        result = read_result(self.result) if self.result is not None else None
        if result is not None:
            self._search = with_result(self._search, result)
        out = self._events.item_event("response.web_search_call.completed", self._id)
        return out + self._events.item_done({"id": self._id, **render_search_item(self._search)})


class McpCallWriter(_ServerCall):
    """A call of an MCP server in a client's stream, ended by its result."""

    def __init__(self, events: OutputEvents, block: Json) -> None:
        super().__init__(events, block)
        self._call = mcp.read_call(block)

    def start(self) -> bytes:
        """Start the item, with its arguments."""
        call = self._call = mcp.read_call(self._start_item(MCP_CALL))
        assert call is not None
        item = mcp.render_call_item(call)
        added_item = {**item, "id": self._id, "arguments": "", "status": "in_progress"}
        out = self._events.item_added(added_item)
        out += self._events.item_event("response.mcp_call.in_progress", self._id)
        name, text = "response.mcp_call_arguments", item["arguments"]
        out += self._events.item_event(f"{name}.delta", self._id, delta=text)
        return out + self._events.item_event(f"{name}.done", self._id, arguments=text)

    def is_answered_by(self, block: Json) -> bool:
        """Whether a block is the result of this call."""
        result, call = mcp.read_result(block), self._call
        if self.result is not None or result is None or call is None:
            return False
        return result[0] == call.id

    def close(self) -> bytes:
        """End the item, with its result if there is one."""
        call = self._call
        assert call is not None
        result = mcp.read_result(self.result) if self.result is not None else None
        if result is not None:
            call = replace(call, output=result[1], failed=result[2])
        state = "failed" if call.failed else "completed"
        out = self._events.item_event(f"response.mcp_call.{state}", self._id)
        return out + self._events.item_done({"id": self._id, **mcp.render_call_item(call)})


class CodeRunWriter(_ServerCall):
    """Code that a provider ran, in a client's stream: ended by its result."""

    def __init__(self, events: OutputEvents, block: Json) -> None:
        super().__init__(events, block)
        self._run = code_execution.read_call(block) or code_execution.CodeRun(code="")

    def start(self) -> bytes:
        """Start the item, with its code."""
        block = self._start_item(code_execution.OPENAI_CALL)
        self._run = code_execution.read_call(block) or self._run
        item = {**self._build_item(), "id": self._id, "code": "", "outputs": None}
        out = self._events.item_added({**item, "status": "in_progress"})
        event_prefix, code = "response.code_interpreter_call", self._run.code
        out += self._events.item_event(f"{event_prefix}.in_progress", self._id)
        if code:
            out += self._events.item_event(f"{event_prefix}_code.delta", self._id, delta=code)
        out += self._events.item_event(f"{event_prefix}_code.done", self._id, code=code)
        return out + self._events.item_event(f"{event_prefix}.interpreting", self._id)

    def is_answered_by(self, block: Json) -> bool:
        """Whether a block is the result of this run."""
        result = code_execution.read_result(block)
        return self.result is None and result is not None and result.id == self._run.id

    def close(self) -> bytes:
        """End the item, with its result if there is one."""
        result = code_execution.read_result(self.result) if self.result is not None else None
        if result is not None:
            self._run = replace(self._run, result=result)
        out = self._events.item_event("response.code_interpreter_call.completed", self._id)
        return out + self._events.item_done({"id": self._id, **self._build_item()})

    def _build_item(self) -> Json:
        return code_execution.render_call_item(self._run, self._events.context.id)


# --- the stream -----------------------------------------------------------------------------------
#
# created in_progress (the events of an item)* completed
#
# It only renders: the parser defines the order. A message is closed by the block after it.
# The last event contains the complete response.


ServerCallWriter = SearchWriter | McpCallWriter | CodeRunWriter


class ResponsesStreamRenderer:
    """Renders one stream. `report` collects what it could not express."""

    def __init__(self, context: ResponseContext) -> None:
        self.report = AdaptationReport()
        self._events = OutputEvents(context)
        self._response_fields: Json = {}
        self._usage: Usage | None = None
        self._message: MessageWriter | None = None
        self._build_item: MessageWriter | ReasoningWriter | ToolCallWriter | None = None
        # Calls that the provider runs and that have not ended; the item of the first has started.
        self._server_calls: list[ServerCallWriter] = []
        # The call whose input is being received.
        self._open_call: ServerCallWriter | None = None
        self._signature: Signature | None = None
        # A call that the end of the response may have cut off.
        self._cut_call: ToolCallWriter | None = None
        # The first of consecutive calls, until its state was rendered.
        self._signed_call: BlockStart | None = None
        # Whether the last item is a call, and the state that follows the consecutive calls.
        self._in_calls = False
        self._call_states: list[tuple[str, Signature]] = []
        self._refused = False
        self._ended = False

    def feed(self, event: Event) -> bytes:
        """The bytes for this event; empty after End or Failed."""
        if type(event) is Delta:
            if event.logprobs and isinstance(self._build_item, MessageWriter):
                return self._build_item.write_tokens(event.text, event.logprobs)
            return self._build_item.write(event.text) if self._build_item is not None else b""
        if self._ended:
            return b""
        match event:
            case BlockStart():
                return self._open_block(event)
            case BlockEnd():
                return self._close_block()
            case Start():
                return self._start_response(event)
            case UsageUpdate():
                self._usage = merge_usage(self._usage, event.usage)
                self._add_service_tier(event.service_tier)
                return b""
            case SignatureDelta():
                return self._add_signature(event.signature)
            case CitationDelta():
                if self._message is not None:
                    self._message.add_citation(event.citation)
                return b""
            case NativeDelta():
                if self._open_call is not None:
                    self._open_call.add(event.data)
                return b""
            case End():
                self._response_fields |= responses_fields(event.extra, self.report)
                return self._end_response(event.finish)
            case Failed():
                return self._fail_stream(event.error)
            case Delta():
                return b""
            case _:
                assert_never(event)

    def _start_response(self, start: Start) -> bytes:
        self._usage = start.usage
        self._response_fields = dict(responses_fields(start.extra, self.report))
        self._add_service_tier(start.service_tier)
        response = self._response_object("in_progress", usage=None)
        created_event = self._events.event("response.created", response=response)
        return created_event + self._events.event("response.in_progress", response=response)

    def _add_service_tier(self, tier: str | None) -> None:
        self._response_fields |= render_service_tier(tier, RESPONSES_TIERS, self.report)

    def _response_object(self, status: str, **fields: object) -> Json:
        events = self._events
        return render_response_object(
            events.context, status, events.output, **self._response_fields | fields
        )

    # --- blocks ------------------------------------------------------------------------

    def _open_block(self, block: BlockStart) -> bytes:
        self._signature = self._build_item = self._open_call = None
        out = self._end_cut_call("completed")
        if block.kind != "tool_call":
            out += self._end_calls()
        if block.kind == "native":
            return out + self._end_message() + self._render_native(block)
        out += self._end_server_calls()
        match block.kind:
            case "text" | "refusal":
                return out + self._open_message(block.kind, block.phase)
            case "reasoning":
                out += self._end_message()
                reasoning = self._build_item = ReasoningWriter(self._events)
                return out + reasoning.open()
            case "tool_call":
                out += self._end_message()
                if block.signed and not self._in_calls:
                    self._signed_call = block
                    return out
                return out + self._open_call_item(block)
            case _:
                assert_never(block.kind)

    def _open_call_item(self, block: BlockStart) -> bytes:
        call = self._build_item = ToolCallWriter(self._events, block)
        self._in_calls = True
        return call.open()

    def _add_signature(self, signature: Signature) -> bytes:
        """Add the state of the open block; that of a call is an item between no two calls."""
        block, self._signed_call = self._signed_call, None
        if block is not None:
            return self._render_state(block.id, signature) + self._open_call_item(block)
        if isinstance(self._build_item, ToolCallWriter):
            self._call_states.append((self._build_item.call_id, signature))
        else:
            self._signature = signature
        return b""

    def _render_state(self, call_id: str, signature: Signature) -> bytes:
        events = self._events
        state = render_state_item(events.new_id("reasoning"), call_id, signature)
        return events.item_added(state) + events.item_done(state)

    def _end_calls(self) -> bytes:
        """The state of the consecutive calls, after them."""
        self._in_calls = False
        states, self._call_states = self._call_states, []
        return b"".join([self._render_state(*state) for state in states])

    def _open_message(self, kind: str, phase: str = "") -> bytes:
        """Start a block of the open message, or of a new one; another phase starts one."""
        changes_phase = self._message is not None and phase and self._message.phase != phase
        out = self._end_message() if changes_phase else b""
        if self._message is None:
            self._message = MessageWriter(self._events, phase)
        self._build_item = self._message
        self._refused = self._refused or kind == "refusal"
        return out + self._message.open(kind)

    def _render_native(self, block: BlockStart) -> bytes:
        native = block.native
        for call in self._server_calls:
            if call.is_answered_by(native):
                return self._add_result(call, native)
        if block.dialect != NAME and (writer := self._server_call_writer(native)) is not None:
            self._server_calls.append(writer)
            self._open_call = writer
            return b""
        out = self._end_server_calls()
        if block.dialect == NAME:
            return out + self._events.item_added(native) + self._events.item_done(native)
        if image := image_generation.read_image(native):
            return out + self._render_image(image)
        self.report.add(unsupported_part_drop(native))
        return out

    def _server_call_writer(self, native: Json) -> ServerCallWriter | None:
        """A writer for a call that another dialect's provider runs; None for any other block."""
        if read_call(native) is not None:
            return SearchWriter(self._events, native)
        if mcp.read_call(native) is not None:
            return McpCallWriter(self._events, native)
        if code_execution.read_call(native) is not None:
            return CodeRunWriter(self._events, native)
        return None

    def _render_image(self, image: str) -> bytes:
        """The item of an image, which arrives complete."""
        events = self._events
        item_id = events.new_id(image_generation.CALL)
        item = {"id": item_id, **image_generation.render_call_item(image)}
        out = events.item_added({**item, "status": "in_progress", "result": None})
        for state in ("in_progress", "generating", "completed"):
            out += events.item_event(f"response.{image_generation.CALL}.{state}", item_id)
        return out + events.item_done(item)

    def _add_result(self, call: ServerCallWriter, native: Json) -> bytes:
        """Add the result of a call, and end the calls that wait for no other result.

        A provider may run several calls at once; their items follow one another.
        """
        call.result = native
        search_result = read_result(native)
        if search_result is not None and not search_result.failed:
            self.report.add(page_contents_drop(native))
        for adaptation in code_losses(native):
            self.report.add(adaptation)
        out = b""
        while self._server_calls and self._server_calls[0].result is not None:
            out += self._end_server_call()
        if self._server_calls and not self._server_calls[0].announced:
            out += self._server_calls[0].start()
        return out

    def _end_server_call(self) -> bytes:
        """End the first of the calls."""
        call = self._server_calls.pop(0)
        return (b"" if call.announced else call.start()) + call.close()

    def _end_server_calls(self) -> bytes:
        """End all calls, with the results that they have."""
        return b"".join([self._end_server_call() for _ in list(self._server_calls)])

    def _close_block(self) -> bytes:
        item, self._build_item = self._build_item, None
        if item is None:
            call, self._open_call = self._open_call, None
            return call.start() if call is not None and call is self._server_calls[0] else b""
        if isinstance(item, ToolCallWriter) and not item.is_whole:
            self._cut_call = item
            return b""
        if isinstance(item, ToolCallWriter):
            return item.close()
        if isinstance(item, ReasoningWriter):
            return item.close(self._signature)
        out, all_cited = item.end_block()
        if not all_cited:
            self.report.add(unlinked_source_drop())
        return out

    def _end_message(self, status: str = "completed") -> bytes:
        message, self._message = self._message, None
        return message.close(status) if message is not None else b""

    def _end_cut_call(self, status: str) -> bytes:
        call, self._cut_call = self._cut_call, None
        return call.close(status) if call is not None else b""

    # --- the end -----------------------------------------------------------------------

    def _end_response(self, finish: Finish) -> bytes:
        if finish.reason == "malformed":
            return self._fail_stream(malformed_output_error(finish))
        explained = finish.explanation and finish.reason in {"filter", "refusal"}
        adds_refusal = bool(explained) and not self._refused
        finish_fields = render_finish(finish, has_refusal=self._refused or adds_refusal)
        status = finish_fields.pop("status")
        out = self._end_cut_call("completed" if adds_refusal else status)
        out += self._end_calls() + self._end_server_calls()
        if adds_refusal:
            out += self._open_message("refusal") + self._write_text(finish.explanation or "")
        if finish.reason == "pause":
            self.report.add(approximated_field("status", "a paused turn is shown as completed"))
        out += self._end_message(status)
        response = self._response_object(status, **finish_fields, usage=render_usage(self._usage))
        self._ended, self._build_item = True, None
        return out + self._events.event(f"response.{status}", response=response)

    def _write_text(self, text: str) -> bytes:
        return self._build_item.write(text) if self._build_item is not None else b""

    def _fail_stream(self, error: Error) -> bytes:
        self._ended, self._build_item = True, None
        usage = render_usage(self._usage)
        out = self._end_cut_call("incomplete") + self._end_calls()
        response = self._response_object("failed", error=render_failure(error), usage=usage)
        return out + self._events.event("response.failed", response=response)
