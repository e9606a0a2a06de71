"""Names of the dialect, and the state of rendering one request for a provider."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import Adaptation, AdaptationReport
from gateway.canon.naming import assign_tool_names, render_tool_id
from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.openai_cache import render_openai_breakpoint
from gateway.dialects.shared.render_context import BaseRenderContext, tool_names_in

NAME = "openai_responses"
# The endpoint that only providers of this dialect support.
COMPACT = "/v1/responses/compact"
Json = dict[str, Any]


# Separates namespace and tool where both form one name. Tool names cannot contain it, so
# the name can be split again.
NAMESPACE_SEPARATOR = "/"

# A tool search that the client executes is a function for other providers. The separator
# distinguishes it from a client's own function.
TOOL_SEARCH = "tool_search"
CLIENT_TOOL_SEARCH = f"{TOOL_SEARCH}{NAMESPACE_SEPARATOR}find"

# `include` values that the gateway handles itself.
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"

# The kind of the state in a reasoning item.
STATE_KIND = "encrypted_content"

# canonical field -> its path in this dialect, where the names differ.
FIELD_PATHS: dict[str, str] = {
    "citations": "annotations",
    "turns": "input",
    "max_output": "max_output_tokens",
    "parallel": "parallel_tool_calls",
    "logprobs": "include",
    "effort": "reasoning.effort",
    "reasoning": "reasoning",
    "visible": "reasoning.summary",
    "format": "text.format",
    "schema": "text.format.schema",
    "name": "text.format.name",
    "description": "text.format.description",
    "strict": "text.format.strict",
    "verbosity": "text.verbosity",
    "user_id": "safety_identifier",
    "session_key": "prompt_cache_key",
    "cache": "prompt_cache_breakpoint",
    "tool_schema": "parameters",
    "tool_id": "call_id",
    "detail": "detail",
    "title": "filename",
}
# Objects whose unknown fields are stored in `extra` under a dotted key.
NESTED_FIELDS = ("reasoning", "text")

# Type of a text part -> the field with its text.
TEXT_FIELDS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}


def join_name(namespace: str | None, name: str) -> str:
    """The combined name of a namespace and its tool."""
    return f"{namespace}{NAMESPACE_SEPARATOR}{name}" if namespace else name


def split_name(name: str) -> tuple[str, str]:
    """`(namespace, name)`; the namespace is empty for a tool without one."""
    namespace, _, inner = name.rpartition(NAMESPACE_SEPARATOR)
    return namespace, inner


def is_client_tool_search(item: Json) -> bool:
    """Whether the client executes this tool search, its call or its result."""
    return item.get("execution") == "client"


_NAME_LIMIT = 64


class ResponsesRenderContext(BaseRenderContext):
    """The request, the traits of its target, and the adaptations reported so far.

    Attributes:
        native: whether client and target use OpenAI's own form of this dialect: absent fields
            are intentional, and namespaces stay unchanged.
        sent_names: the client's tool names -> those sent.
        hints: instructions to the model in place of fields that the target lacks.
        all_in_items: whether the instructions must be sent as an item.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        self.native = request.client_paths.get("turns") == "input" and not traits.built_in_tools
        super().__init__(request, traits, keep_groups=self.native)
        self.report: AdaptationReport = AdaptationReport(self.report)
        self.hints: list[str] = []
        self.all_in_items = False
        self.sent_names = self._map_names(tool_names_in(request))

    def _map_names(self, client_names: list[str]) -> dict[str, str]:
        """Names to send; names with a namespace stay unchanged for a client that uses them."""
        unchanged_names = {
            name: name for name in client_names if self.native and NAMESPACE_SEPARATOR in name
        }
        return (
            assign_tool_names(
                (name for name in client_names if name not in unchanged_names), _NAME_LIMIT
            )
            | unchanged_names
        )

    def _record_adaptation(self, adaptation: Adaptation) -> None:
        if adaptation.path:
            self.report.add(adaptation)

    def sent_name(self, client_name: str) -> Json:
        """The fields that name a tool: `name` and, for a tool in a namespace, `namespace`."""
        sent_name = self.sent_names.get(client_name, client_name)
        namespace, name = split_name(sent_name)
        return {"name": name, "namespace": namespace} if namespace else {"name": name}

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        return render_tool_id(self.traits.tool_id_rule, client_id)

    def with_cache_breakpoint(self, part: Json, cache: CacheBreakpoint | None) -> Json:
        """The part with its cache breakpoint, where the target supports them."""
        if cache is None:
            return part
        if self.traits.cache == "breakpoints":
            part["prompt_cache_breakpoint"] = render_openai_breakpoint(cache)
        else:
            self.drop_cache_marks(cache)
        return part

    def _cache_drop_reason(self) -> str:
        if self.traits.cache == "implicit":
            return f"{self.model} caches implicitly"
        return f"{self.model} does not support cache breakpoints here"
