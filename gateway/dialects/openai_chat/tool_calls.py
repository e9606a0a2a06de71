"""Tool calls, complete and streamed."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from gateway.canon.arguments import parse_arguments
from gateway.canon.call_ids import UnusedIds, is_generated_id
from gateway.canon.events import BlockEnd, BlockStart, Delta, Event, SignatureDelta
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Part,
    Signature,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.canon.signature import is_from_target, unwrap_signature, wrap_signature
from gateway.dialects.base import RenderedRequest
from gateway.dialects.openai_chat.context import ChatRenderContext, parse_cache_breakpoint
from gateway.dialects.openai_chat.parts import Json, parse_content, render_content, render_parts
from gateway.dialects.shared.fields import (
    compact_json,
    join_path,
    mapping,
    objects,
    required_mapping,
    required_text,
    text,
    wrong_type,
)

THOUGHT_SIGNATURE = "thought_signature"


def parse_calls(message: Json, path: str) -> list[ToolCall]:
    """The calls of an assistant message."""
    if not message.get("tool_calls"):
        objects(message, "tool_calls", path)
        return []
    field_path = f"{path}.tool_calls"
    return [
        _parse_call(call, f"{field_path}[{i}]")
        for i, call in enumerate(objects(message, "tool_calls", path))
    ]


def _parse_call(call: Json, path: str) -> ToolCall:
    # Some local servers send no ids. The path is used instead, as it is the same in every turn.
    call_id = text(call, "id", path) or id_from_path(path)
    if call.get("type") == "custom" or ("custom" in call and "function" not in call):
        custom_call = required_mapping(call, "custom", path)
        name = required_text(custom_call, "name", f"{path}.custom")
        input_text = text(custom_call, "input", f"{path}.custom") or ""
        return ToolCall(id=call_id, name=name, raw_arguments=input_text, custom=True, path=path)
    function = required_mapping(call, "function", path)
    name = required_text(function, "name", f"{path}.function")
    arguments, raw_text = parse_call_arguments(function, f"{path}.function")
    return ToolCall(
        id=call_id,
        name=name,
        arguments=arguments,
        raw_arguments=raw_text,
        signature=parse_signature(call),
        cache=parse_cache_breakpoint(call) if "cache_control" in call else None,
        path=path,
    )


def parse_call_arguments(function: Json, path: str) -> tuple[Json | None, str | None]:
    """A call's arguments, which some clients send as an object instead of a string."""
    value = function.get("arguments")
    if value is None:
        return {}, None
    if type(value) is str:
        return parse_arguments(value)
    if type(value) is dict:
        return value, None
    raise wrong_type(join_path(path, "arguments"), "a string of JSON", value)


def id_from_path(path: str) -> str:
    """An id for a call without one, from its path."""
    return "call_" + "".join(c if c.isalnum() else "_" for c in path).strip("_")


def parse_signature(call: Json) -> Signature | None:
    """The state of a call, in the field of Gemini's Chat API, which the gateway uses too."""
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    value = google.get(THOUGHT_SIGNATURE) if isinstance(google, dict) else None
    if not isinstance(value, str) or not value:
        return None
    return unwrap_signature(value) or Signature(kind=THOUGHT_SIGNATURE, value=value)


def render_extra_content(value: str) -> Json:
    """The `extra_content` with a call's state."""
    return {"google": {THOUGHT_SIGNATURE: value}}


def render_call(context: ChatRenderContext, call: ToolCall) -> Json:
    """A call of the history in the provider's format."""
    sent_id = context.call_id(call.id)
    if sent_id != call.id and not is_generated_id(call.id):
        reason = "rewritten to the form that the upstream requires; mapped back in the response"
        path = context.part_field(call.path, "tool_id")
        context.approximate(path, reason, before=call.id[:80], after=sent_id)
    context.drop_cache_marks(call.cache)
    name = context.sent_name(call.name)
    if call.custom and context.traits.custom_tools:
        return {
            "id": sent_id,
            "type": "custom",
            "custom": {"name": name, "input": call.raw_arguments or ""},
        }
    arguments = context.call_arguments_text(call)
    out: Json = {
        "id": sent_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }
    if is_from_target(call.signature, context.traits) and call.signature is not None:
        out["extra_content"] = render_extra_content(call.signature.value)
    elif call.signature is not None:
        context.drop_signature(call)
    return out


def wrap_extra_content(signature: Signature) -> Json:
    """The `extra_content` by which a Chat client sends a call's wrapped state back."""
    return render_extra_content(wrap_signature(signature))


def parse_result(message: Json, path: str, calls: dict[str, ToolCall]) -> ToolResult:
    """The result in a tool message; `calls` are the calls before it, by id."""
    call_id = required_text(message, "tool_call_id", path)
    call = calls.get(call_id)
    return ToolResult(
        id=call_id,
        parts=parse_result_parts(message, path),
        name=text(message, "name", path),
        custom=call.custom if call is not None else False,
        cache=parse_cache_breakpoint(message) if "cache_control" in message else None,
        path=path,
    )


def parse_result_parts(message: Json, path: str) -> tuple[Part, ...]:
    """The parts of a tool result; an empty string is no part."""
    return () if message.get("content") == "" else parse_content(message, path)


def render_results(
    context: ChatRenderContext, results: list[ToolResult]
) -> tuple[list[Json], list[Json]]:
    """The tool messages, and the content parts that must follow in a user message."""
    messages: list[Json] = []
    following_parts: list[Json] = []
    for result in results:
        inline, moved_parts = _split_result_parts(context, result)
        message: Json = {"role": "tool", "tool_call_id": context.call_id(result.id)}
        if context.traits.tool_result_name and result.name:
            message["name"] = context.sent_name(result.name)
        message["content"] = render_content(context, render_parts(context, inline))
        if result.is_error:
            _prefix_error(context, result, message)
        if result.cache is not None:
            _add_cache_breakpoint(context, result, message)
        messages.append(message)
        following_parts += moved_parts
    return messages, following_parts


def _split_result_parts(
    context: ChatRenderContext, result: ToolResult
) -> tuple[tuple[Part, ...], list[Json]]:
    """The parts that a tool message may contain, and the media moved out of it."""
    inline: list[Part] = []
    moved_parts: list[Json] = []
    counts: dict[str, int] = {}
    for part in result.parts:
        media_kind = _moved_media_kind(context, part)
        if media_kind is None:
            inline.append(part)
            continue
        count = counts[media_kind] = counts.get(media_kind, 0) + 1
        note = f"[{media_kind} {count} of this tool result is attached to the next user message]"
        inline.append(Text(text=note))
        context.approximate(
            part.path, f"{media_kind} in tool result moved to a following user message"
        )
        label = f"[{media_kind} {count} from tool result {context.call_id(result.id)}]"
        moved_parts += [{"type": "text", "text": label}, *render_parts(context, (part,))]
    return tuple(inline), moved_parts


def _moved_media_kind(context: ChatRenderContext, part: Part) -> str | None:
    """The name of media that a tool message may not contain; None for a part that it may."""
    if context.traits.tool_result_images:
        return None
    if isinstance(part, Image):
        return "image" if context.traits.images else None
    if isinstance(part, Audio):
        return "audio" if context.traits.audio else None
    if isinstance(part, Document) and part.parts is not None:
        has_media = any(_moved_media_kind(context, inner_part) for inner_part in part.parts)
        return "document" if has_media else None
    if isinstance(part, Document) and part.text is None:
        return "document" if context.traits.pdf else None
    return None


def _prefix_error(context: ChatRenderContext, result: ToolResult, message: Json) -> None:
    content = message["content"]
    if isinstance(content, str):
        message["content"] = f"Error: {content}" if content else "Error"
    elif content[0].get("type") == "text":
        content[0] = {**content[0], "text": f"Error: {content[0]['text']}"}
    else:
        content.insert(0, {"type": "text", "text": "Error:"})
    if result.path:
        field = context.request.client_path("is_error")
        context.approximate(f"{result.path}.{field}", "text prefixed with 'Error: '")


def _add_cache_breakpoint(context: ChatRenderContext, result: ToolResult, message: Json) -> None:
    """Put a tool result's cache breakpoint on the last part of its message."""
    if context.traits.cache not in {"breakpoints", "cache_control"}:
        context.drop_cache_marks(result.cache)
        return
    content: Any = message["content"]
    if isinstance(content, str):
        content = message["content"] = [{"type": "text", "text": content}]
    context.with_cache_breakpoint(content[-1], result.cache)


def parse_function_call(message: Json, path: str) -> ToolCall | None:
    """The call in the legacy form: one `function_call` without an id."""
    call = mapping(message, "function_call", path)
    if call is None:
        return None
    field_path = f"{path}.function_call"
    name = required_text(call, "name", field_path)
    arguments, raw_arguments = parse_call_arguments(call, field_path)
    return ToolCall(
        id=id_from_path(field_path),
        name=name,
        arguments=arguments,
        raw_arguments=raw_arguments,
        path=field_path,
    )


# --- calls in a stream ----------------------------------------------------------------------------
#
# Providers may interleave calls, repeat or delay ids and names, omit indexes or give all
# calls the same index. The first call streams; fragments of later calls are buffered until
# its arguments are complete or the response ends, and are then emitted in order.


# Quotes, braces, escapes; an escape at the end of a fragment continues in the next.
_STRUCTURAL_CHARS = re.compile(r'\\.|\\\Z|["{}]', re.DOTALL)


class _Call:
    """One call, as far as received."""

    __slots__ = (
        *("closed", "custom", "emitted_count", "fragments", "id", "name"),
        *("scanner", "signature", "started"),
    )

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.custom = False
        self.fragments: list[str] = []
        self.emitted_count = 0
        self.scanner = JsonObjectScanner()
        self.started = False
        self.closed = False
        self.signature: Signature | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the arguments so far are a complete JSON object."""
        if self.custom or not self.fragments or not self.fragments[-1].rstrip().endswith("}"):
            return False
        return self.scanner.is_complete(self.fragments)


class JsonObjectScanner:
    """Detects when text fragments form a complete JSON object; scans each fragment once."""

    __slots__ = (
        "_complete",
        "_escaped",
        "_in_string",
        "_invalid",
        "_open_braces",
        "_scanned_count",
    )

    def __init__(self) -> None:
        self._scanned_count = self._open_braces = 0
        self._in_string = self._escaped = self._complete = self._invalid = False

    def is_complete(self, fragments: list[str]) -> bool:
        """Whether the fragments form one object; always False once text follows the object."""
        if self._invalid or (self._complete and self._scanned_count == len(fragments)):
            return self._complete and not self._invalid
        for index in range(self._scanned_count, len(fragments)):
            self._scan_fragment(fragments[index])
        self._scanned_count = len(fragments)
        if self._open_braces > 0 or self._in_string:
            return False
        self._complete = parse_arguments("".join(fragments))[0] is not None
        self._invalid = not self._complete
        return self._complete

    def _scan_fragment(self, fragment: str) -> None:
        char = ""
        for char in _STRUCTURAL_CHARS.findall(
            fragment[1:] if self._escaped and fragment else fragment
        ):
            if char == '"':
                self._in_string = not self._in_string
            elif char in "{}" and not self._in_string:
                self._open_braces += 1 if char == "{" else -1
        if fragment:
            self._escaped = char == "\\"


class ToolCallStream:
    """All calls of one response."""

    def __init__(self, rendered_request: RenderedRequest | None) -> None:
        self._client_names = rendered_request.client_names if rendered_request is not None else {}
        self._custom_tools = (
            rendered_request.custom_tools if rendered_request is not None else frozenset()
        )
        self._pending: deque[_Call] = deque()
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, deque[_Call]] = {}
        self._count = 0
        self._unused_ids = UnusedIds()
        self.response_id = ""
        self.state_origin: tuple[str, str] = ("", "")

    @property
    def has_calls(self) -> bool:
        """Whether the response contains a call."""
        return self._count > 0

    @property
    def has_open_call(self) -> bool:
        """Whether a call is not closed yet."""
        return bool(self._pending)

    def feed(self, delta: Any, events: list[Event]) -> None:
        """Process one tool call delta; anything else is ignored."""
        if not isinstance(delta, dict):
            return
        call = self._find_or_add_call(delta)
        if call is None:
            return
        self._merge_delta(call, delta)
        first_call = self._pending[0]
        if call is first_call:
            self._emit_fragments(call, events)
        while len(self._pending) > 1 and self._pending[0].is_complete:
            self._close_first(events)
            self._emit_fragments(self._pending[0], events)

    def close(self, events: list[Event]) -> None:
        """Emit the remaining fragments of all calls, in order."""
        while self._pending:
            self._close_first(events)

    def _find_or_add_call(self, delta: Json) -> _Call | None:
        index, call_id, inner = delta.get("index"), delta.get("id"), _function_fields(delta)
        if type(index) is not int:
            return self._find_call_without_index(call_id, inner)
        call = self._by_index.get(index)
        if call is None or (inner.get("name") and _is_next_call(call, call_id, inner)):
            call = self._by_index[index] = self._add_call()
        elif call.closed:
            return None
        return call

    def _find_call_without_index(self, call_id: Any, inner: Json) -> _Call:
        name, last_call = inner.get("name"), self._pending[-1] if self._pending else None
        if open_call := self._find_open_call(call_id):
            return open_call
        # LM Studio has a new id in each chunk of a call.
        continues = not name and inner.get("arguments") and last_call and last_call.name
        if call_id and not continues:
            return self._add_call()
        if last_call is None or (
            name and last_call.name and (name != last_call.name or last_call.is_complete)
        ):
            return self._add_call()
        return last_call

    def _find_open_call(self, call_id: Any) -> _Call | None:
        """The first call with this id that is not closed."""
        calls = self._by_id.get(call_id) if isinstance(call_id, str) else None
        while calls and calls[0].closed:
            calls.popleft()
        return calls[0] if calls else None

    def _add_call(self) -> _Call:
        call = _Call()
        self._pending.append(call)
        self._count += 1
        return call

    def _merge_delta(self, call: _Call, delta: Json) -> None:
        inner = _function_fields(delta)
        call_id, name = delta.get("id"), inner.get("name")
        if isinstance(call_id, str) and call_id and not call.id:
            call.id = call_id
            self._by_id.setdefault(call_id, deque()).append(call)
        if isinstance(name, str) and name and not call.started:
            call.name = _join_name(call.name, name)
        if "custom" in delta:
            call.custom = True
        fragment = inner.get("input") if call.custom else inner.get("arguments")
        if isinstance(fragment, dict | list):
            fragment = compact_json(fragment)
        if isinstance(fragment, str) and fragment and not _repeats(call, fragment):
            call.fragments.append(fragment)
        if (signature := parse_signature(delta)) is not None:
            provider, model = self.state_origin
            call.signature = Signature(
                provider=provider, model=model, kind=THOUGHT_SIGNATURE, value=signature.value
            )

    def _emit_fragments(self, call: _Call, events: list[Event]) -> None:
        """Emit the buffered fragments of the first call, unless it is a custom tool's."""
        if not call.started:
            # Until its arguments begin, more of the name may come.
            if not call.id or not call.name or not call.fragments:
                return
            self._emit_start(call, events)
        if call.name in self._custom_tools:
            return
        events += [Delta(fragment) for fragment in call.fragments[call.emitted_count :]]
        call.emitted_count = len(call.fragments)

    def _emit_start(self, call: _Call, events: list[Event]) -> None:
        call.started = True
        events.append(
            BlockStart(
                kind="tool_call",
                id=self._unused_ids.claim(call.id),
                name=self._client_names.get(call.name, call.name),
                custom=call.custom or call.name in self._custom_tools,
                signed=call.signature is not None,
            )
        )
        self._emit_signature(call, events)

    def _emit_signature(self, call: _Call, events: list[Event]) -> None:
        """Emit the state of the call, which may come before or after its arguments."""
        if call.signature is not None:
            events.append(SignatureDelta(call.signature))
            call.signature = None

    def _close_first(self, events: list[Event]) -> None:
        call = self._pending.popleft()
        call.closed = True
        if not call.started:
            if not call.name and not call.fragments:
                self._count -= 1
                return
            call.id = (
                call.id or f"call_{self.response_id or 'g'}_{self._count - len(self._pending) - 1}"
            )
            self._emit_start(call, events)
        if call.name in self._custom_tools:
            text = _unwrap_free_text("".join(call.fragments))
            events += [Delta(text)] if text else []
        else:
            events += [Delta(fragment) for fragment in call.fragments[call.emitted_count :]]
        self._emit_signature(call, events)
        events.append(BlockEnd())


def _is_next_call(call: _Call, call_id: Any, inner: Json) -> bool:
    """Whether a delta with a name and a call's index is the next call, not one of this call.

    It has another id or, without ids, more arguments than the whole object of this call.
    """
    if call_id and call.id:
        return bool(call_id != call.id)
    return not call_id and not call.id and bool(inner.get("arguments")) and call.is_complete


def _repeats(call: _Call, fragment: str) -> bool:
    """Whether a fragment is the whole arguments again, which some servers send at the end."""
    return fragment[0] == "{" and fragment == "".join(call.fragments) and call.is_complete


def _join_name(name: str, fragment: str) -> str:
    """The name after a later chunk, which repeats it, completes it, or has its next fragment.

    MiniMax and others repeat the name in every chunk; the openai SDK and LangChain join fragments.
    """
    return fragment if fragment.startswith(name) else name + fragment


def _function_fields(delta: Json) -> Json:
    function = delta.get("function")
    if not isinstance(function, dict):
        function = delta.get("custom")
    return function if isinstance(function, dict) else {}


def _unwrap_free_text(text: str) -> str:
    """The free text inside the object that wraps it."""
    arguments, _ = parse_arguments(text)
    value = arguments.get("input") if arguments else None
    return value if isinstance(value, str) else text
