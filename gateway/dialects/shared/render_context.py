"""The state of rendering one request for a provider: its report, tool names, call ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field, defaulted_field, dropped_field
from gateway.canon.arguments import render_arguments
from gateway.canon.errors import GatewayError, unsupported
from gateway.canon.naming import (
    LONG_USER_REASON,
    USER_LIMIT,
    assign_tool_names,
    is_json_id,
    render_tool_id,
    shorten_user_id,
)
from gateway.canon.request import (
    CacheBreakpoint,
    Native,
    Part,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
)
from gateway.canon.signature import is_placeholder
from gateway.canon.system_turns import merge_system_turns
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest
from gateway.dialects.shared import code_execution, web_search
from gateway.dialects.shared.fields import compact_json
from gateway.dialects.shared.server_tools import loss_reason
from gateway.dialects.shared.text_choices import describe_choices
from gateway.dialects.shared.web_search import WebSearch

# How an `allowed` tool choice is sent to a target without one.
ONLY_ALLOWED_SENT = "only the allowed tools are sent; the list changes, so prompt caches miss"
# The user's message before a conversation that begins with another one.
PLACEHOLDER_TEXT = "(conversation start)"
# 0 and negative numbers mean no limit for vLLM, OpenRouter and Ollama.
UNLIMITED_TOP_K = "a number for no limit is not accepted"
REPLACED_WITH_NOTE = "replaced with a note"
# Claude Code's first system block.
_BILLING_HEADER_PREFIX = "x-anthropic-billing-header:"


def render_media_note(media_name: str, reason: str) -> str:
    """The text that replaces media which the target does not accept."""
    return f"[{media_name} omitted: {reason}]"


def is_foreign_file(request: Request, file_id: str) -> bool:
    """Whether a file id of the client's API cannot be one of OpenAI's or Mistral's.

    `version` is set for Anthropic clients only, and only Google's ids have slashes.
    """
    return request.version is not None or "/" in file_id


class ReportingContext:
    """The request, the traits of its target, and the adaptations reported so far.

    `keep_groups` is for a target that accepts tool groups in the client's form, `keep_choices`
    for one that restricts a response to given texts.
    `sent_names` maps the client's tool names to the names sent; subclasses set it.
    """

    sent_names: dict[str, str]

    def __init__(
        self,
        request: Request,
        traits: Traits,
        *,
        keep_groups: bool = False,
        keep_choices: bool = False,
    ) -> None:
        self.report: list[Adaptation] = []
        if request.output.choices and not keep_choices:
            request, adaptation = describe_choices(request)
            self.report.append(adaptation)
        self.request = request if keep_groups else prepend_group_descriptions(request)
        self.traits = traits
        self._cache_drop_reported = False
        self._reported_settings: set[str] = set()

    @property
    def model(self) -> str:
        """The model's name for messages."""
        return self.traits.model or "the model"

    def drop(self, path: str, reason: str, *, before: Any = None) -> None:
        """Report a field that is not sent, unless the client did not write it."""
        self._record_adaptation(dropped_field(path, reason, before=before))

    def approximate(self, path: str, reason: str, *, before: Any = None, after: Any = None) -> None:
        """Report a field that is sent as an approximation."""
        self._record_adaptation(approximated_field(path, reason, before=before, after=after))

    def part_field(self, path: str, name: str) -> str:
        """The client's path of a field of the value at this path (`title`, `tool_strict`).

        `/field` in the client's paths is one setting of the request for all such values: it is
        returned once. Without a path or a field, nothing is to be reported: empty.
        """
        field = self.request.client_paths.get(name, name.rpartition("_")[2])
        if field.startswith("/"):
            is_new = field not in self._reported_settings
            self._reported_settings.add(field)
            return field[1:] if is_new else ""
        return f"{path}.{field}" if path and field else ""

    def native_text(self, part: Native) -> Text | None:
        """A part of another dialect as text: its own, or that of code that a provider ran.

        Raises GatewayError for a part that has a `refusal`.
        """
        if part.refusal:
            raise unsupported(part.path, part.refusal)
        if part.text:
            self.approximate(part.path, "sent as text")
            return Text(text=part.text, path=part.path)
        text = code_execution.history_text(part.data)
        if not text:
            return None
        self.approximate(part.path, code_execution.SENT_AS_TEXT)
        for loss in code_execution.losses_of(part.data):
            self.drop(part.path, f"not sent: {loss}")
        return Text(text=text, path=part.path)

    def read_natives(self, parts: Iterable[Part]) -> list[Part]:
        """The parts, with those of another dialect as text where they have one."""
        return [
            self.native_text(part) or part if isinstance(part, Native) and part.text else part
            for part in parts
        ]

    def drop_tools(self, reason: str) -> None:
        """Report that no tools are sent: a list of tools once, tools in a message by themselves."""
        turns_path = self.request.client_path("turns")
        paths = (
            field if (field := tool.path.partition("[")[0]) != turns_path else tool.path
            for tool in self.request.tools
        )
        for path in dict.fromkeys(paths):
            self.drop(path, reason)

    def default(self, path: str, reason: str, *, after: Any = None) -> None:
        """Report a value that the upstream requires and the client omitted."""
        self._record_adaptation(defaulted_field(path, reason, after=after))

    def finish(
        self, body: dict[str, Any], *, custom_tools: bool, headers: dict[str, str] | None = None
    ) -> RenderedRequest:
        """The result: the body, the report and the tool names.

        Args:
            body: the JSON to send.
            custom_tools: whether free-text tools were sent as function tools.
            headers: headers that this request needs.
        """
        sent_names = self.sent_names
        client_names: dict[str, str] = {}
        custom_names: list[str] = []
        if sent_names:
            client_names = {
                sent_name: name for name, sent_name in sent_names.items() if sent_name != name
            }
            if custom_tools:
                tools = self.request.tools
                custom_names = [sent_names[tool.name] for tool in tools if tool.kind == "custom"]
        return RenderedRequest(
            body=body,
            report=tuple(self.report),
            client_names=client_names,
            custom_tools=frozenset(custom_names),
            headers=headers or {},
        )

    def _record_adaptation(self, adaptation: Adaptation) -> None:
        if adaptation.path:
            self.report.append(adaptation)


class BaseRenderContext(ReportingContext):
    """The rules that several dialects share."""

    @property
    def reasoning_path(self) -> str:
        """The path of the client's field that requests reasoning."""
        field_paths, reasoning = self.request.client_paths, self.request.reasoning
        if reasoning is not None and reasoning.mode is None and reasoning.visible is None:
            return field_paths.get("effort") or field_paths.get("reasoning") or "reasoning"
        return field_paths.get("reasoning") or field_paths.get("effort") or "reasoning"

    @property
    def default_max_tokens(self) -> int:
        """The output limit to send if the client set none and the target requires one."""
        is_agent = self.request.stream and bool(self.request.tools)
        return self.traits.agent_max_output if is_agent else self.traits.default_max_output

    def user_id(self, user_id: str) -> str:
        """The end user's id to send: its hash where it is too long or is structured.

        Claude Code's id, which is JSON, is never sent unchanged; only the hashing of an
        unstructured id is reported.
        """
        sent_user_id = shorten_user_id(user_id, USER_LIMIT)
        if sent_user_id != user_id and not is_json_id(user_id):
            self.approximate(
                self.request.client_path("user_id"), LONG_USER_REASON, after=sent_user_id
            )
        return sent_user_id

    def sent_instructions(self) -> list[Text]:
        """The instructions, without Claude Code's attribution block, which is reported.

        Only api.anthropic.com uses the block, and it changes with each version, which would
        invalidate every prompt cache.
        """
        instructions: list[Text] = []
        for part in self.request.instructions:
            if part.text.startswith(_BILLING_HEADER_PREFIX):
                self.drop(part.path, "attribution block: only used by api.anthropic.com")
            else:
                instructions.append(part)
        return instructions

    def merge_system_turns(self, *, in_results: bool = False) -> None:
        """Move system messages after the first turn into user turns as text, and report that."""
        self.request, report = merge_system_turns(self.request, in_results=in_results)
        for adaptation in report:
            self._record_adaptation(adaptation)

    def send_instructions_as_user(self, message: dict[str, Any]) -> None:
        """Send instructions without any turn as the user's message, and report that."""
        message["role"] = "user"
        reason = "the instructions are sent as a user message: the target requires one"
        self.approximate(
            self.request.instructions[0].path if self.request.instructions else "", reason
        )

    def report_placeholder(self) -> None:
        """Report that a user's message with PLACEHOLDER_TEXT is inserted before all others."""
        turns, instructions = self.request.turns, self.request.instructions
        if turns or not instructions:
            reason = "a placeholder user turn is inserted before the leading assistant turn"
            field = (turns[0].path.partition("[")[0] if turns else "") or "messages"
            self.approximate(f"{field}[0]" if turns else field, reason)
            return
        reason = (
            "a placeholder user turn is inserted: the target requires one besides the instructions"
        )
        self.default(instructions[0].path, reason, after=PLACEHOLDER_TEXT)

    def clamp_max_tokens(self, minimum: int) -> int | None:
        """The output limit to send, between `minimum` and the model's own limit."""
        requested_tokens, model_limit = self.request.max_output, self.traits.max_output
        if requested_tokens is None:
            return None
        max_tokens = max(
            minimum, requested_tokens if model_limit is None else min(requested_tokens, model_limit)
        )
        if max_tokens != requested_tokens:
            bound = "the model's output limit" if max_tokens < requested_tokens else "the minimum"
            reason = f"{requested_tokens} clamped to {bound} of {max_tokens}"
            self.approximate(
                self.request.client_path("max_output"),
                reason,
                before=requested_tokens,
                after=max_tokens,
            )
        return max_tokens

    def limit_stop_sequences(self, sequences: Sequence[str]) -> list[str]:
        """The stop sequences to send: as many as the target accepts; the others are reported."""
        maximum, path = self.traits.stop_max, self.request.client_path("stop")
        if maximum == 0 and sequences:
            self.drop(path, f"{self.model} does not support stop sequences")
        elif maximum is not None and len(sequences) > maximum:
            reason = f"only the first {maximum} are sent"
            self.approximate(path, reason, before=len(sequences), after=maximum)
        return list(sequences[:maximum])

    def clamp_temperature(self, temperature: float) -> float:
        """The temperature, at most the target's maximum; a change is reported."""
        maximum = self.traits.temperature_max
        if temperature > maximum:
            reason, path = f"{temperature:g} clamped to {maximum:g}", "temperature"
            self.approximate(
                self.request.client_path(path), reason, before=temperature, after=maximum
            )
        return min(temperature, maximum)

    def set_if_supported(
        self, body: dict[str, Any], name: str, value: Any, *, supported: bool, reason: str
    ) -> None:
        """Write a field under its canonical name, or report it if it is not supported."""
        if value is None:
            return
        if supported:
            body[name] = value
        else:
            before = value if not isinstance(value, dict) else None
            self.drop(self.request.client_path(name), reason, before=before)

    def drop_metadata(self, *names: str) -> None:
        """Report fields of the request's metadata that have no equivalent.

        A session key that is part of the end user's id is no field of its own.
        """
        request = self.request
        for name in names:
            if getattr(request.meta, name) in (None, False, {}):
                continue
            path = request.client_path(name)
            if name != "session_key" or path != request.client_path("user_id"):
                self.drop(path, "no equivalent")

    def load_deferred_tools(self) -> list[Tool]:
        """The tools to send to a target without tool search; dropped tools are reported.

        With a search tool in the list, the deferred tools are real and all are sent at once;
        without one, they are placeholders that the client would fill in later, unless the
        tool choice names them.
        """
        tools, choice = self.request.tools, self.request.tool_choice
        has_tool_search = any(
            tool.kind == "server" and "tool_search" in tool.name for tool in tools
        )
        chosen_names = frozenset(choice.names if choice is not None else ())
        sendable: list[Tool] = []
        for tool in tools:
            if tool.defer and not has_tool_search and tool.name not in chosen_names:
                self.drop(tool.path, "defer_loading tool without tool search")
                continue
            if tool.defer:
                self.approximate(
                    f"{tool.path}.defer_loading",
                    ("the upstream has no tool search: sent immediately"),
                )
            sendable.append(tool)
        return sendable

    def filter_allowed_tools(self, tools: Iterable[Tool]) -> list[Tool]:
        """The tools to send to a target without an `allowed` tool choice.

        Reported if it leaves out any.
        """
        choice, offered_tools = self.request.tool_choice, list(tools)
        if choice is None or choice.mode != "allowed":
            return offered_tools
        names = frozenset(choice.names)
        allowed_tools = [tool for tool in offered_tools if tool.name in names]
        if len(allowed_tools) < len(offered_tools):
            self.approximate(self.request.client_path("tool_choice"), ONLY_ALLOWED_SENT)
        return allowed_tools

    def drop_tool_choice(self) -> None:
        """Report a tool choice that requires a tool, where no tools are sent."""
        choice = self.request.tool_choice
        if choice is not None and choice.mode in {"any", "named", "allowed"}:
            self.drop(self.request.client_path("tool_choice"), "no tools are sent")

    def prefill_error(self, path: str) -> GatewayError:
        """The error for a last assistant message, which the target cannot continue."""
        reason = f"{self.model} cannot continue an assistant message; end with a user message"
        return unsupported(path, reason)

    def media_note(self, path: str, media_name: str, reason: str) -> str:
        """The text that replaces media which the target does not accept; this is reported."""
        self.drop(path, f"{reason}; {REPLACED_WITH_NOTE}")
        return render_media_note(media_name, reason)

    def function_choice(self) -> ToolChoice | None:
        """The tool choice for a target that accepts functions only.

        A choice that names a server tool is dropped with the tool and reported; the
        functions are still sent.
        """
        choice = self.request.tool_choice
        if choice is None or choice.mode != "named":
            return choice
        tools = self.request.tools
        if not any(tool.name in choice.names and tool.kind == "server" for tool in tools):
            return choice
        self.drop(self.request.client_path("tool_choice"), "the tool it names is not sent")
        return replace(choice, mode=None)

    def find_web_search(self, tool: Tool) -> WebSearch | None:
        """The web search to request for a server tool; None, reported, if the target has none.

        A search that must stay off the live web (`external_web_access: false`, which Codex
        sends by default) is not replaced by a search that always reads it.
        """
        search = web_search.parse_web_search(tool)
        if search is None or not self.traits.web_search:
            self.drop(tool.path, loss_reason(tool))
            return None
        if not search.live:
            reason = "external_web_access is false; the provider can only search the live web"
            self.drop(tool.path, reason)
            return None
        self.drop_search_losses(tool, search)
        return search

    def drop_search_losses(self, tool: Tool, search: WebSearch) -> None:
        """Report the options of a search that no other provider understands."""
        for field in search.losses:
            self.drop(f"{tool.path}.{field}", "no equivalent")

    def requests_code_execution(self, tool: Tool) -> bool:
        """Whether the target runs code for this server tool; its other options are reported."""
        if not code_execution.is_code_execution(tool) or not self.traits.code_execution:
            return False
        for field, reason in code_execution.tool_losses(tool):
            self.drop(f"{tool.path}.{field}", reason)
        return True

    def drop_cache_marks(self, cache: CacheBreakpoint | None) -> None:
        """Report, once per request, that cache breakpoints are not sent."""
        if cache is not None and not self._cache_drop_reported:
            self._cache_drop_reported = True
            self.drop(
                self.request.client_paths.get("cache", "cache_control"), self._cache_drop_reason()
            )

    def _cache_drop_reason(self) -> str:
        return f"{self.model} caches implicitly"

    def call_arguments(self, call: ToolCall) -> dict[str, Any]:
        """The arguments of a call as an object; a text that is none is sent in one, reported."""
        if call.custom:
            return {"input": call.raw_arguments or ""}
        if call.arguments is None:
            self.approximate(call.path, "the arguments are not a JSON object; sent as `_raw`")
            return {"_raw": call.raw_arguments or ""}
        return call.arguments

    def call_arguments_text(self, call: ToolCall) -> str:
        """The arguments of a call as the JSON of an object, unless the target accepts any text."""
        if call.arguments is None and (call.custom or self.traits.json_arguments):
            return compact_json(self.call_arguments(call))
        return render_arguments(call)

    def drop_signature(self, call: ToolCall) -> None:
        """Report that the opaque state of a call is not sent."""
        if call.signature is not None and is_placeholder(call.signature):
            return
        path = f"{call.path}.{self.request.client_path('signature')}" if call.path else ""
        self.drop(path, "the state belongs to another model")


class DeduplicatingRenderContext(BaseRenderContext):
    """A render context that reports each field once, however often it occurs in the request."""

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self._recorded: set[tuple[str, str]] = set()

    def _record_adaptation(self, adaptation: Adaptation) -> None:
        if adaptation.path and (adaptation.path, adaptation.action) not in self._recorded:
            self._recorded.add((adaptation.path, adaptation.action))
            self.report.append(adaptation)


class ToolNamingRenderContext(BaseRenderContext):
    """A render context for targets whose tool names have at most 64 letters, digits, `_`, `-`.

    `sent_names` maps the client's tool names to those sent.
    """

    _NAME_LIMIT = 64

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        names = tool_names_in(request)
        self.sent_names = assign_tool_names(names, self._NAME_LIMIT) if names else {}

    def sent_name(self, client_name: str) -> str:
        """The tool name to send."""
        sent_name = self.sent_names.get(client_name)
        if sent_name is not None:
            return sent_name
        return assign_tool_names([client_name], self._NAME_LIMIT)[client_name]


class CallIds:
    """Maps the client's call ids to the target's form, consistently across all turns.

    Where two ids map to the same id, the later one in the history is numbered; then only
    its first `prefix_length` characters are used.
    """

    def __init__(self, rule: str, prefix_length: int | None = None) -> None:
        self._rule = rule
        self._prefix_length = prefix_length
        self._ids: dict[str, str] = {}
        self._used_ids: set[str] = set()
        # Prefix of an id -> the last number tried after it.
        self._last_numbers: dict[str, int] = {}

    def upstream_id(self, client_id: str) -> str:
        """The call id to send."""
        sent_id = self._ids.get(client_id)
        if sent_id is None:
            sent_id = render_tool_id(self._rule, client_id)
            if sent_id in self._used_ids:
                sent_id = self._numbered_id(sent_id[: self._prefix_length])
            self._ids[client_id] = sent_id
            self._used_ids.add(sent_id)
        return sent_id

    def _numbered_id(self, prefix: str) -> str:
        number = self._last_numbers.get(prefix, 1) + 1
        while (sent_id := f"{prefix}_{number}") in self._used_ids:
            number += 1
        self._last_numbers[prefix] = number
        return sent_id


def check_supported(request: Request, provider_limit: str) -> None:
    """Reject what the target cannot fulfill in any form.

    `provider_limit` says that a response has one choice. Raises GatewayError for several
    choices, and for a response to continue.
    """
    if request.sampling.n is not None and request.sampling.n > 1:
        raise unsupported(request.client_path("n"), provider_limit)
    if request.previous_response_id is not None:
        path = request.client_path("previous_response_id")
        raise unsupported(path, "the upstream does not store earlier responses")


def prepend_group_descriptions(request: Request) -> Request:
    """The request, each tool's description prefixed with that of its group.

    Every tool gets it, as any of them may be dropped later.
    """
    if not request.tools or all(tool.group_description is None for tool in request.tools):
        return request
    return replace(request, tools=tuple(_with_group_description(tool) for tool in request.tools))


def _with_group_description(tool: Tool) -> Tool:
    if tool.group_description is None:
        return tool
    description = "\n\n".join(filter(None, (tool.group_description, tool.description)))
    return replace(tool, description=description, group_description=None)


def tool_names_in(request: Request) -> list[str]:
    """All tool names: of the offered tools, and of calls to tools no longer offered."""
    names = [tool.name for tool in request.tools]
    for turn in request.turns:
        names += [part.name for part in turn.parts if type(part) is ToolCall]
    return names
