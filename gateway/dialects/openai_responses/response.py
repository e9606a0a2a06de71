"""Complete responses: canonical to a client's JSON; finish reasons, usage and errors, both ways."""

from __future__ import annotations

from typing import Any, Literal, assert_never

import msgspec
from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, AdaptationReport, approximated_field, dropped_field
from gateway.canon.arguments import parse_arguments, render_arguments
from gateway.canon.errors import Error, GatewayError
from gateway.canon.logprobs import token_logprobs, with_bytes
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
)
from gateway.canon.response import Finish, FinishReason, Response, Usage, unknown_reason
from gateway.canon.signature import hide_reasoning_text, wrap_signature
from gateway.dialects.base import ResponseContext
from gateway.dialects.openai_responses.context import (
    CLIENT_TOOL_SEARCH,
    NAME,
    TOOL_SEARCH,
    Json,
    split_name,
)
from gateway.dialects.openai_responses.items import (
    WEB_SEARCH_CALL,
    page_contents_drop,
    render_search_item,
    with_result,
)
from gateway.dialects.openai_responses.parts import render_citation
from gateway.dialects.shared import code_execution, image_generation, mcp
from gateway.dialects.shared.failed_streams import malformed_output_error
from gateway.dialects.shared.fields import native_kind, object_or_empty, token_count
from gateway.dialects.shared.openai_errors import client_message, parse_error_payload
from gateway.dialects.shared.openai_response import (
    RESPONSES_TIERS,
    render_service_tier,
    responses_fields,
)
from gateway.dialects.shared.reported_cost import COST_FIELDS, parse_reported_cost
from gateway.dialects.shared.web_search import Search, read_call, read_result


def render_response(
    response: Response, context: ResponseContext
) -> tuple[Json, tuple[Adaptation, ...]]:
    """The response's JSON and what it could not express.

    Raises GatewayError for a response that the model malformed.
    """
    finish = response.finish
    if finish.reason == "malformed":
        raise GatewayError(malformed_output_error(finish))
    output = _OutputBuilder(context)
    for part in response.parts:
        output.add(part)
    has_refusal = any(isinstance(part, Refusal) for part in response.parts)
    if not has_refusal and finish.reason in {"filter", "refusal"} and finish.explanation:
        output.add(Refusal(text=finish.explanation))
        has_refusal = True
    if finish.reason == "pause":
        output.report.add(approximated_field("status", "a paused turn is shown as completed"))
    output.add_logprobs(token_logprobs(response))
    finish_fields = render_finish(finish, has_refusal=has_refusal)
    output.close(finish_fields["status"])
    fields: Json = {**finish_fields, "usage": render_usage(response.usage)}
    fields |= render_service_tier(response.service_tier, RESPONSES_TIERS, output.report)
    fields = responses_fields(response.extra, output.report) | fields
    status = fields.pop("status")
    return render_response_object(context, status, output.items, **fields), tuple(output.report)


class _OutputBuilder:
    """Collects the output items; consecutive texts form one message."""

    def __init__(self, context: ResponseContext) -> None:
        self.items: list[Json] = []
        self.report = AdaptationReport()
        self._context = context
        self._message: Json | None = None
        # The last item if it is a call that the end of the response may have cut off.
        self._cut_call: Json | None = None
        # Whether the last item is a call, and the state that follows the consecutive calls.
        self._in_calls = False
        self._call_states: list[tuple[str, Signature]] = []
        # Searches without a result yet by id, with their item.
        self._searches: dict[str, tuple[Search, Json]] = {}
        # Calls of MCP servers without a result yet by id, with their item.
        self._mcp_calls: dict[str, tuple[mcp.McpCall, Json]] = {}
        # Code without a result yet by id, with its item.
        self._code_runs: dict[str, tuple[code_execution.CodeRun, Json]] = {}

    def add(self, part: Part) -> None:
        """Add one part."""
        if not isinstance(part, ToolCall):
            self._end_calls()
        match part:
            case Text():
                self._add_text(part)
            case Refusal():
                self._add_refusal(part)
            case Reasoning():
                visible = self._context.reasoning_display != "none"
                self._add_item(
                    render_reasoning_item(
                        self._new_item_id("reasoning"), part.text, part.signature, visible=visible
                    )
                )
            case ToolCall():
                self._add_call(part)
            case Native():
                self._add_native(part)
            case Image() | Document() | Audio() | ToolResult():
                kind = type(part).__name__.lower()
                self.report.add(
                    dropped_field(f"output.{kind}", "no equivalent in OpenAI Responses")
                )
            case _:
                assert_never(part)

    def add_logprobs(self, tokens: list[Json]) -> None:
        """Put the log probabilities of the response into its first text part."""
        contents = (item["content"] for item in self.items if item.get("type") == "message")
        texts = (part for content in contents for part in content if "logprobs" in part)
        if (part := next(texts, None)) is not None:
            part["logprobs"] = [with_bytes(token) for token in tokens]

    def close(self, status: str) -> None:
        """Set the status of the last message, or of the last call if it may be cut off."""
        if self.items and self.items[-1] is self._message:
            self._message["status"] = status
        if self._cut_call is not None:
            self._cut_call["status"] = status
        self._end_calls()

    def _new_item_id(self, kind: str) -> str:
        return item_id(self._context, kind, len(self.items))

    def _add_item(self, item: Json) -> None:
        self.items.append(item)
        self._message = self._cut_call = None

    def _message_content(self, phase: str = "") -> list[Json]:
        """The content of the open message, or of a new one; a text of another phase starts one."""
        if self._message is None or (phase and self._message.get("phase") != phase):
            item = render_message_item(self._new_item_id("message"), [], "completed", phase)
            self._add_item(item)
            self._message = item
        content: list[Json] = self._message["content"]
        return content

    def _add_text(self, text: Text) -> None:
        content = self._message_content(text.phase)
        if not content or content[-1]["type"] != "output_text":
            content.append(render_text_part("", []))
        part = content[-1]
        start = len(part["text"])
        part["text"] += text.text
        for citation in text.citations:
            annotation = render_citation(citation, start, len(part["text"]))
            if annotation is not None:
                part["annotations"].append(annotation)
            else:
                self.report.add(unlinked_source_drop())

    def _add_refusal(self, refusal: Refusal) -> None:
        content = self._message_content()
        if not content or content[-1]["type"] != "refusal":
            content.append({"type": "refusal", "refusal": ""})
        content[-1]["refusal"] += refusal.text

    def _add_call(self, call: ToolCall) -> None:
        """Add a call. Its state is an item that must not separate it from parallel calls."""
        if call.signature is not None and self._in_calls:
            self._call_states.append((call.id, call.signature))
        elif call.signature is not None:
            self._add_state(call.id, call.signature)
        self._in_calls = True
        arguments = call.raw_arguments or "" if call.custom else render_arguments(call)
        kind = call_kind(call.name, custom=call.custom)
        item = render_call_item(
            self._new_item_id(kind), call.id, call.name, arguments, custom=call.custom
        )
        self._add_item(item)
        if call.arguments is None:
            self._cut_call = item

    def _add_state(self, call_id: str, signature: Signature) -> None:
        self._add_item(render_state_item(self._new_item_id("reasoning"), call_id, signature))

    def _end_calls(self) -> None:
        """Add the state of the consecutive calls after them."""
        self._in_calls = False
        states, self._call_states = self._call_states, []
        for call_id, signature in states:
            self._add_state(call_id, signature)

    def _add_native(self, part: Native) -> None:
        if part.dialect == NAME:
            self._add_item(part.data)
        elif (search := read_call(part.data)) is not None:
            item = {"id": self._new_item_id(WEB_SEARCH_CALL), **render_search_item(search)}
            self._searches[search.id] = search, item
            self._add_item(item)
        elif (call := mcp.read_call(part.data)) is not None:
            item = {"id": self._new_item_id("mcp_call"), **mcp.render_call_item(call)}
            self._mcp_calls[call.id] = call, item
            self._add_item(item)
        elif (result := mcp.read_result(part.data)) is not None and result[0] in self._mcp_calls:
            call, item = self._mcp_calls.pop(result[0])
            item |= mcp.render_call_item(replace(call, output=result[1], failed=result[2]))
        elif (run := code_execution.read_call(part.data)) is not None:
            item = {"id": self._new_item_id("code_interpreter_call")}
            item |= code_execution.render_call_item(run, self._context.id)
            self._code_runs[run.id] = run, item
            self._add_item(item)
        elif (
            code_output := code_execution.read_result(part.data)
        ) is not None and code_output.id in self._code_runs:
            run, item = self._code_runs.pop(code_output.id)
            item |= code_execution.render_call_item(
                replace(run, result=code_output), self._context.id
            )
            for adaptation in code_losses(part.data):
                self.report.add(adaptation)
        elif image := image_generation.read_image(part.data):
            item_id = self._new_item_id(image_generation.CALL)
            self._add_item({"id": item_id, **image_generation.render_call_item(image)})
        else:
            self._add_search_result(part.data)

    def _add_search_result(self, data: Json) -> None:
        """Add the result of a search to its item."""
        result = read_result(data)
        if result is None or result.id not in self._searches:
            self.report.add(unsupported_part_drop(data))
            return
        search, item = self._searches.pop(result.id)
        item |= render_search_item(with_result(search, result))
        if not result.failed:
            self.report.add(page_contents_drop(data))


def code_losses(data: Json) -> list[Adaptation]:
    """The reports of what a run or its result contains that an item cannot."""
    path = f"output.{code_execution.OPENAI_CALL}"
    return [dropped_field(path, f"not shown: {loss}") for loss in code_execution.losses_of(data)]


def unsupported_part_drop(data: Json) -> Adaptation:
    """The report of a part that exists in another dialect only."""
    kind = native_kind(data)
    return dropped_field(f"output.{kind}", "no equivalent in OpenAI Responses")


def unlinked_source_drop() -> Adaptation:
    """The report of a source without a URL."""
    return dropped_field("annotations", "OpenAI Responses does not support sources without a URL")


# --- output items ---------------------------------------------------------------------------------

# item type -> the prefix of its id.
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "tool_search_call": "tsc",
    "web_search_call": "ws",
    "mcp_call": "mcp",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
}


def item_id(context: ResponseContext, kind: str, index: int) -> str:
    """The id of the item with this index in the output."""
    return f"{_PREFIXES.get(kind, 'item')}_{context.id}_{index}"


def render_message_item(item_id: str, content: list[Json], status: str, phase: str = "") -> Json:
    """A message of the model."""
    item: Json = {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }
    return {**item, "phase": phase} if phase else item


def render_text_part(text: str, annotations: list[Json]) -> Json:
    """A text part of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def render_reasoning_item(
    item_id: str, text: str, signature: Signature | None, *, visible: bool
) -> Json:
    """Reasoning as a summary; its state is a token that identifies its model."""
    state = signature or Signature(kind="text")
    token = wrap_signature(state if visible else hide_reasoning_text(text, state))
    summary = [{"type": "summary_text", "text": text}] if text and visible else []
    item = {"id": item_id, "type": "reasoning", "status": "completed", "summary": summary}
    return {**item, "encrypted_content": token}


def call_kind(name: str, *, custom: bool) -> str:
    """The item type of a tool call."""
    if name == CLIENT_TOOL_SEARCH:
        return f"{TOOL_SEARCH}_call"
    return "custom_tool_call" if custom else "function_call"


def render_call_item(
    item_id: str, call_id: str, name: str, arguments: str, *, custom: bool
) -> Json:
    """A tool call with its arguments or free text."""
    if name == CLIENT_TOOL_SEARCH:
        return {
            "id": item_id,
            "type": call_kind(name, custom=custom),
            "call_id": call_id,
            "execution": "client",
            "arguments": parse_arguments(arguments)[0] or {},
            "status": "completed",
        }
    namespace, tool_name = split_name(name)
    item: Json = {
        "id": item_id,
        "type": call_kind(name, custom=custom),
        "call_id": call_id,
        "name": tool_name,
        ("input" if custom else "arguments"): arguments,
        "status": "completed",
    }
    return {**item, "namespace": namespace} if namespace else item


def render_response_object(
    context: ResponseContext, status: str, output: list[Json], **fields: object
) -> Json:
    """The response object, with the echoed request fields."""
    return {
        "id": f"resp_{context.id}",
        "object": "response",
        "created_at": context.created,
        "model": context.model,
        "status": status,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **context.echoed_fields,
        **fields,
    }


def render_state_item(item_id: str, call_id: str, signature: Signature) -> Json:
    """The state of a call, as a reasoning item without text.

    A call has no field for it. The token contains the call's id, so that its position
    does not matter: it is before the first of parallel calls, or after all of them, as some
    clients run calls in sequence that another item separates (Mastra 1.71).
    """
    signature = replace(signature, item_id=call_id)
    return render_reasoning_item(item_id, "", signature, visible=False)


# --- finish reasons -------------------------------------------------------------------------------

_REASONS: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "filter",
    "steered": "stop",
}
# canonical -> the reason of an incomplete response; others are completed.
_INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "filter": "content_filter",
}


def parse_finish(response: Json, *, has_calls: bool, has_refusal: bool) -> Finish:
    """The canonical finish of a response with these properties.

    A background response that is not finished counts as paused.
    """
    status: Any = response.get("status")
    if status == "queued" or status == "in_progress":
        return Finish(reason="pause")
    if status == "incomplete":
        details = response.get("incomplete_details")
        incomplete_reason = details.get("reason") if isinstance(details, dict) else None
        reason = (
            _REASONS.get(incomplete_reason, "length")
            if isinstance(incomplete_reason, str)
            else "length"
        )
        if reason != "stop":
            unknown = unknown_reason(incomplete_reason, _REASONS)
            return Finish(reason=reason, unknown=unknown)
    if has_calls:
        return Finish(reason="tool")
    return Finish(reason="refusal" if has_refusal else "stop")


def render_finish(finish: Finish, *, has_refusal: bool) -> Json:
    """`status` and `incomplete_details`; `has_refusal`: whether the response has refusal text.

    A refusal without text becomes `content_filter`; else it would look complete.
    """
    reason = finish.reason
    if reason == "refusal" and not has_refusal:
        reason = "filter"
    incomplete_reason = _INCOMPLETE.get(reason)
    if incomplete_reason is None:
        return {"status": "completed", "incomplete_details": None}
    return {"status": "incomplete", "incomplete_details": {"reason": incomplete_reason}}


# --- usage ----------------------------------------------------------------------------------------


def parse_usage(usage: Any, tool_usage: Any = None) -> Usage | None:
    """The counts in the `usage` and `tool_usage` of a response; None if `usage` contains none.

    `input_tokens` includes tokens read from and written to a cache. `tool_usage` counts the
    searches that are billed (the official SDK, `ToolUsage`).
    """
    if not isinstance(usage, dict):
        return None
    details = object_or_empty(usage.get("input_tokens_details"))
    prompt, output = token_count(usage, "input_tokens"), token_count(usage, "output_tokens")
    cache_read = token_count(details, "cached_tokens")
    cache_write = token_count(details, "cache_write_tokens")
    if prompt is None and output is None:
        return None
    searches = object_or_empty(object_or_empty(tool_usage).get("web_search"))
    split = object_or_empty(details.get("cache_write_tokens_details"))
    output_details = object_or_empty(usage.get("output_tokens_details"))
    reasoning = token_count(output_details, "reasoning_tokens")
    if reasoning and prompt is not None and output is not None:
        total = token_count(usage, "total_tokens")
        if total == prompt + output + reasoning:  # it is not part of the output
            output += reasoning
    return Usage(
        input=None if prompt is None else max(0, prompt - (cache_read or 0) - (cache_write or 0)),
        cache_read=cache_read,
        cache_write=cache_write,
        cache_write_1h=token_count(split, "ttl_12h_tokens"),
        output=output,
        reasoning=reasoning,
        web_searches=token_count(searches, "num_requests"),
        provider_cost=(None if COST_FIELDS.isdisjoint(usage) else parse_reported_cost(usage)),
        native=usage,
    )


def render_usage(usage: Usage | None) -> Json | None:
    """The `usage` object for a client; None if neither count is known.

    The official SDK types all counts as plain integers, so missing counts are 0.
    """
    if usage is None or (usage.prompt_tokens is None and usage.output is None):
        return None
    prompt, output = usage.prompt_tokens or 0, usage.output or 0
    details: Json = {
        "cached_tokens": usage.cache_read or 0,
        "cache_write_tokens": usage.cache_write or 0,
    }
    # OpenAI's field is optional, and the Agents SDK for JavaScript accepts only numbers here.
    if usage.cache_write_1h:
        details["cache_write_tokens_details"] = {
            "ttl_30m_tokens": max(0, (usage.cache_write or 0) - usage.cache_write_1h),
            "ttl_12h_tokens": usage.cache_write_1h,
        }
    return {
        "input_tokens": prompt,
        "input_tokens_details": details,
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": prompt + output,
    }


# --- errors ---------------------------------------------------------------------------------------

# kind -> the code of a failed response. The SDK's type lacks the second and third, but OpenAI sends
# them, and Codex compacts the conversation or stops on them (codex-api/src/sse/responses.rs).
_CODES = {
    "rate_limit": "rate_limit_exceeded",
    "quota": "insufficient_quota",
    "context_length": "context_length_exceeded",
    "content_policy": "invalid_prompt",
    "invalid_request": "invalid_prompt",
    "unsupported_param": "invalid_prompt",
    "too_large": "invalid_prompt",
}


def parse_failure(response: Any) -> Error | None:
    """The error of a response; None if it did not fail."""
    if not isinstance(response, dict):
        return None
    error = response.get("error")
    if error:
        return parse_error_payload({"error": error})
    status = response.get("status")
    if status == "failed" or status == "cancelled":
        message = f"the upstream's response has the status {status}"
        return Error(kind="upstream_error", message=message)
    return None


def failure_or_default(response: Any) -> Error:
    """The error of a failed response, or a default if it contains none."""
    message = "the upstream's response failed without an error message"
    return parse_failure(response) or Error(kind="upstream_error", message=message)


def event_error(data: Any, body: bytes = b"") -> Error:
    """The error of an `error` event, in either of its forms; else its text `body`."""
    if isinstance(data, dict) and not data.get("error"):
        # The event's own `type` is not the type of the error.
        data = {key: value for key, value in data.items() if key != "type"}
    return parse_error_payload(data, body=body)


def render_failure(error: Error) -> Json:
    """The `error` field of a failed response."""
    return {"code": _CODES.get(error.kind, "server_error"), "message": client_message(error)}


# --- usage and finish reason of a response that passes through ------------------------------------
#
# One typed decode. Any unusual response gives None, and is parsed in full.


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Item(msgspec.Struct):
    type: str
    content: list[_Part] | None = None


class _CompleteResponse(msgspec.Struct):
    id: str
    model: str
    status: Literal["completed", "incomplete"]
    output: list[_Item]
    usage: dict[str, Any] | None = None
    tool_usage: dict[str, Any] | None = None
    service_tier: str | None = None
    incomplete_details: dict[str, Any] | None = None
    error: None = None


class _Compaction(msgspec.Struct):
    id: str
    object: Literal["response.compaction"]
    model: str = ""
    usage: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder(_CompleteResponse)
_compaction_decoder = msgspec.json.Decoder(_Compaction)


def peek_usage(body: bytes) -> Response | None:
    """The response without its calls and reasoning; None if it must be parsed in full."""
    try:
        response = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _peek_compaction(body)
    kinds = {item.type for item in response.output}
    parts = [part for item in response.output for part in item.content or ()]
    status_fields = {"status": response.status, "incomplete_details": response.incomplete_details}
    return Response(
        id=response.id,
        model=response.model,
        parts=tuple(Text(text=part.text) for part in parts if part.type == "output_text"),
        finish=parse_finish(
            status_fields,
            has_calls=bool(kinds & {"function_call", "custom_tool_call"}),
            has_refusal=any(part.type == "refusal" for part in parts),
        ),
        usage=parse_usage(response.usage, response.tool_usage),
        service_tier=response.service_tier,
    )


def _peek_compaction(body: bytes) -> Response | None:
    """A compacted history, which has neither a status nor output items."""
    try:
        compaction = _compaction_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    usage = parse_usage(compaction.usage)
    return Response(
        id=compaction.id, model=compaction.model, finish=Finish(reason="stop"), usage=usage
    )
