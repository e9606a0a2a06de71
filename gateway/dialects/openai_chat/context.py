"""The state of rendering one request for a Chat provider."""

from __future__ import annotations

from typing import Any

from gateway.canon.naming import assign_tool_name, assign_tool_names, render_tool_id
from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.openai_cache import parse_openai_breakpoint, render_openai_breakpoint
from gateway.dialects.shared.render_context import DeduplicatingRenderContext

NAME_LIMIT = 64
# OpenAI's limit for call ids is shorter in Chat than in Responses.
_CHAT_ID_RULES = {"any64": "any40"}


class ChatRenderContext(DeduplicatingRenderContext):
    """The request, the traits of its target, and the adaptations reported so far.

    `sent_names` maps the client's tool names to the names sent; `hints` are instructions
    to the model in place of fields that the target does not support.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        names = [tool.name for tool in request.tools]
        self.sent_names = assign_tool_names(names, NAME_LIMIT) if names else {}
        self._used_names = set(self.sent_names.values())
        self.hints: list[str] = []

    def sent_name(self, client_name: str) -> str:
        """The tool name to send, also for a tool of the history that is no longer offered."""
        sent_name = self.sent_names.get(client_name)
        if sent_name is None:
            sent_name = assign_tool_name(client_name, NAME_LIMIT, self._used_names)
            self._used_names.add(sent_name)
            self.sent_names[client_name] = sent_name
        return sent_name

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        rule = self.traits.tool_id_rule
        return render_tool_id(_CHAT_ID_RULES.get(rule, rule), client_id)

    def with_cache_breakpoint(
        self, part: dict[str, Any], cache: CacheBreakpoint | None
    ) -> dict[str, Any]:
        """The part with its cache breakpoint, where the target supports them."""
        if cache is None:
            return part
        if self.traits.cache == "breakpoints":
            part["prompt_cache_breakpoint"] = render_openai_breakpoint(cache)
        elif self.traits.cache == "cache_control":
            part["cache_control"] = cache_control(cache)
        else:
            self.drop_cache_marks(cache)
        return part

    def _cache_drop_reason(self) -> str:
        model = self.traits.model or "the upstream"
        if self.traits.cache == "implicit":
            return f"{model} caches implicitly"
        return f"{model} does not support cache breakpoints here"


def cache_control(cache: CacheBreakpoint) -> dict[str, str]:
    """OpenRouter's `cache_control`, which is Anthropic's."""
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl else {"type": "ephemeral"}


def parse_cache_breakpoint(part: dict[str, Any]) -> CacheBreakpoint | None:
    """The cache breakpoint of a client's part, in either form."""
    cache_control_field = part.get("cache_control")
    if isinstance(cache_control_field, dict):
        ttl = cache_control_field.get("ttl")
        return CacheBreakpoint(ttl=ttl if isinstance(ttl, str) else None)
    return parse_openai_breakpoint(part)
