"""Rules of Anthropic's models, whichever API calls them."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from gateway.canon.errors import invalid
from gateway.canon.object_schema import merge_into_object
from gateway.canon.request import ReasoningConfig, Request, Tool
from gateway.canon.schema import (
    count_parameters,
    is_enforceable,
    restrict_to_anthropic,
    with_description,
    without_meta_keywords,
)
from gateway.canon.traits import Traits
from gateway.dialects.shared.effort import BUDGET_BY_EFFORT, next_lower_effort
from gateway.dialects.shared.fields import join_path, strings
from gateway.dialects.shared.render_context import CallIds, ToolNamingRenderContext

Json = dict[str, Any]

MAX_CACHE_BREAKPOINTS = 4
MIN_BUDGET = 1024
# What Claude compiles in one request, with its output schema; more is a 400 ("Too many strict
# tools", "Schemas contains too many optional parameters"; platform.claude.com, structured outputs,
# 2026-08; camel-ai/camel#4171).
_MAX_STRICT_TOOLS, _MAX_OPTIONAL_PARAMETERS, _MAX_UNION_PARAMETERS = 20, 24, 16
# How much reasoning the client sees -> `thinking.display`.
DISPLAY_BY_VISIBILITY = {"none": "omitted", "summary": "summarized", "raw": "summarized"}
# Why a response has none of the reasoning that was requested.
REASONING_SKIPPED = (
    "no reasoning in this response: the reasoning before the last tool calls is missing"
)

# Anthropic reads betas from a header, so they must not contain what ends it or separates them.
_BETA = re.compile(r"[A-Za-z0-9._-]+")


def parse_betas(obj: Json, key: str, path: str = "") -> tuple[str, ...]:
    """The names of betas in a field of a body; empty if absent. Raises GatewayError (400)."""
    betas = strings(obj, key, path)
    if not all(map(_BETA.fullmatch, betas)):
        field_path = join_path(path, key)
        raise invalid(f"{field_path} must be an array of names of betas", field_path)
    return betas


class ClaudeRenderContext(ToolNamingRenderContext):
    """The state of rendering one request for an API that serves Claude.

    Attributes:
        hints: sentences for the model in place of fields that the target does not support.
        effort_override: an effort of a later turn that applies to the whole request.
    """

    # The object of the body that holds the effort.
    _EFFORT_OBJECT: ClassVar[str]

    def __init__(self, request: Request, traits: Traits, call_ids: CallIds) -> None:
        super().__init__(request, traits)
        self.hints: list[str] = []
        self.effort_override: str | None = None
        self._strict_tools = 0
        # Optional and union parameters of the output schema and of the strict tools so far.
        self._compiled_parameters: tuple[int, int] | None = None
        # The call id to send; equal ids stay equal in every turn.
        self.call_id = call_ids.upstream_id

    def _cache_drop_reason(self) -> str:
        caches = (
            "caches implicitly"
            if self.traits.cache == "implicit"
            else "does not support cache breakpoints"
        )
        return f"{self.model} {caches}"

    def effective_reasoning_config(self) -> ReasoningConfig | None:
        """The reasoning for the complete request; the effort of a later turn overrides it."""
        reasoning = self.request.reasoning
        effort = self.effort_override or (reasoning.effort if reasoning else None)
        if effort == "none":
            return replace(reasoning or ReasoningConfig(), mode="off", effort=None)
        if self.effort_override is None:
            return reasoning
        reasoning = reasoning or ReasoningConfig()
        return replace(reasoning, effort=effort, effort_covers_output=True)

    def select_effort(self, effort: str) -> str:
        """The effort itself, the provider's value for it, or the next weaker supported one."""
        efforts, sent_effort = self.traits.efforts, self.traits.effort_map.get(effort)
        if effort in efforts or (sent_effort is not None and effort == "minimal"):
            return sent_effort or effort
        sent_effort = sent_effort or next_lower_effort(effort, efforts)
        reason = f"{self.model} supports {', '.join(efforts)}"
        path = self.request.client_path("effort")
        self.approximate(path, reason, before=effort, after=sent_effort)
        return sent_effort

    def render_effort(self, body: Json, effort: str | None) -> None:
        """Write the effort, if there is one and the model supports any."""
        if effort is not None and self.traits.efforts:
            body.setdefault(self._EFFORT_OBJECT, {})["effort"] = self.select_effort(effort)
        elif effort is not None:
            reason = f"{self.model} does not support a reasoning effort"
            self.drop(self.request.client_path("effort"), reason)

    def render_effort_without_reasoning(self, body: Json, reasoning: ReasoningConfig) -> None:
        """Write an effort that is for the whole response, where reasoning is off."""
        effort = reasoning.effort if reasoning.effort_covers_output else None
        # The API refuses the two strongest efforts without thinking.
        if effort in {"xhigh", "max"}:
            path = self.request.client_path("effort")
            self.approximate(path, "limited to high without thinking", after="high")
            effort = "high"
        self.render_effort(body, effort)

    def add_json_hint(self) -> None:
        """Request JSON in the instructions, as the API has no JSON mode."""
        self.hints.append("Answer only with one JSON object.")
        path = self.request.client_path("format")
        self.approximate(path, "the upstream has no JSON mode: sent as an instruction")

    def enforceable_schema(self, schema: Json, unenforceable_reason: str) -> Json | None:
        """The schema that the API enforces; None if it is described in the instructions instead."""
        if self.traits.structured != "schema":
            self._add_schema_hint(schema, "the upstream does not enforce a schema")
            return None
        if not is_enforceable(schema):
            self._add_schema_hint(schema, unenforceable_reason)
            return None
        strict_schema, changed_keywords = restrict_to_anthropic(schema)
        if not _is_compilable(count_parameters(strict_schema)):
            self._add_schema_hint(schema, "too many optional or union fields to be enforced")
            return None
        if changed_keywords:
            reason = f"{'/'.join(changed_keywords)} moved to descriptions"
            self.approximate(self.request.client_path("schema"), reason)
        return strict_schema

    def _add_schema_hint(self, schema: Json, reason: str) -> None:
        described_schema = with_description(
            without_meta_keywords(schema), self.request.output.description
        )
        schema_text = msgspec.json.encode(described_schema).decode()
        self.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema_text}")
        path = self.request.client_path("schema")
        self.approximate(path, f"{reason}: sent as an instruction")

    def tool_schema(self, tool: Tool) -> Json:
        """The tool's schema with an object without alternatives as its root."""
        schema, changed_keywords = merge_into_object(tool.schema)
        if changed_keywords:
            self.approximate(tool.path, changed_keywords)
        return schema

    def strict_tool_schema(self, tool: Tool, schema: Json, outside_reason: str) -> Json | None:
        """The schema for a strict tool; None, reported, if it cannot be enforced unchanged."""
        path = self.part_field(tool.path, "tool_strict")
        if not self.traits.strict_tools:
            self.drop(path, "the upstream does not support strict tools")
            return None
        strict_schema, changed_keywords = restrict_to_anthropic(schema)
        if changed_keywords or not is_enforceable(schema):
            self.approximate(path, outside_reason, before=True, after=False)
            return None
        if not self._compiles_tool(strict_schema):
            reason = "the request has more strict tools, optional or union parameters than accepted"
            self.approximate(path, reason, before=True, after=False)
            return None
        return strict_schema

    def _compiles_tool(self, strict_schema: Json) -> bool:
        """Whether Claude compiles one more strict tool; if so, it counts."""
        if self._compiled_parameters is None:
            self._compiled_parameters = self._count_output_parameters()
        sums = zip(self._compiled_parameters, count_parameters(strict_schema), strict=True)
        optional, unions = (compiled + added for compiled, added in sums)
        if self._strict_tools == _MAX_STRICT_TOOLS or not _is_compilable((optional, unions)):
            return False
        self._strict_tools += 1
        self._compiled_parameters = optional, unions
        return True

    def _count_output_parameters(self) -> tuple[int, int]:
        """The optional and union parameters of the output schema, if it is enforced."""
        schema = self.request.output.schema
        if schema is None or self.traits.structured != "schema" or not is_enforceable(schema):
            return 0, 0
        counts = count_parameters(restrict_to_anthropic(schema)[0])
        return counts if _is_compilable(counts) else (0, 0)


def _is_compilable(parameters: tuple[int, int]) -> bool:
    """Whether these numbers of optional and union parameters are within the limits."""
    optional, unions = parameters
    return optional <= _MAX_OPTIONAL_PARAMETERS and unions <= _MAX_UNION_PARAMETERS


def requested_budget(reasoning: ReasoningConfig) -> int | None:
    """The tokens of reasoning that a request asks for, by its budget or its effort."""
    if reasoning.mode == "budget":
        return reasoning.budget
    return BUDGET_BY_EFFORT.get(
        reasoning.effort or ("high" if reasoning.mode == "auto" else "medium")
    )


def report_budget(
    context: ClaudeRenderContext, reasoning: ReasoningConfig, sent_budget: int, limit: str
) -> None:
    """Report a budget that the request did not ask for; `limit` names the API's output limit."""
    budget = requested_budget(reasoning)
    if reasoning.mode == "auto" and reasoning.effort is None:
        reason = f"{context.model} accepts a token budget"
        context.approximate(context.reasoning_path, reason, before="adaptive", after=sent_budget)
    elif sent_budget != budget:
        name = "budget" if reasoning.mode == "budget" else "effort"
        reason = f"must be at least {MIN_BUDGET} tokens and less than {limit}"
        context.approximate(
            context.request.client_path(name), reason, before=budget, after=sent_budget
        )


def budget_below(limit: int, budget: int) -> int | None:
    """The budget for reasoning below the output limit; None if it leaves no room."""
    if budget < limit:
        return budget
    return None if limit < 2 * MIN_BUDGET else max(MIN_BUDGET, limit - MIN_BUDGET)
