"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from typing import Any

from gateway.canon.naming import tool_id, tool_names
from gateway.canon.request import Cache, Request
from gateway.canon.traits import Traits
from gateway.dialects.job import OnceJob

NAME_LIMIT = 64
# A cache mark's lifetime <-> that of an OpenAI breakpoint.
BREAKPOINT_TTL = {"5m": "30m", "1h": "12h"}


class Job(OnceJob):
    """The request, the traits of its target, and the report as it grows.

    `names` maps the client's tool names to those sent; `hints` are sentences for
    the model that stand for fields which the target does not know.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.names = tool_names((tool.name for tool in request.tools), NAME_LIMIT)
        self.hints: list[str] = []

    def name(self, client_name: str) -> str:
        """The tool name to send. A call in the history may name a tool no longer offered."""
        sent = self.names.get(client_name)
        if sent is None:
            sent = tool_names((*self.names, client_name), NAME_LIMIT)[client_name]
            self.names[client_name] = sent
        return sent

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        return tool_id(self.traits.tool_id_rule, client_id)

    def mark(self, part: dict[str, Any], cache: Cache | None) -> dict[str, Any]:
        """The part with its cache mark in the target's words, if it has any."""
        if cache is None:
            return part
        if self.traits.cache == "breakpoints":
            part["prompt_cache_breakpoint"] = breakpoint_of(cache)
        elif self.traits.cache == "cache_control":
            part["cache_control"] = cache_control_of(cache)
        else:
            self.unmark(cache)
        return part

    def _why_unmarked(self) -> str:
        model = self.traits.model or "the upstream"
        if self.traits.cache == "implicit":
            return f"{model} caches implicitly"
        return f"{model} takes no cache marks here"


def breakpoint_of(cache: Cache) -> dict[str, str]:
    """An OpenAI `prompt_cache_breakpoint`."""
    ttl = BREAKPOINT_TTL.get(cache.ttl or "")
    return {"mode": "explicit", "ttl": ttl} if ttl else {"mode": "explicit"}


def cache_control_of(cache: Cache) -> dict[str, str]:
    """OpenRouter's `cache_control`, which is Anthropic's."""
    return {"type": "ephemeral", "ttl": cache.ttl} if cache.ttl else {"type": "ephemeral"}


def cache_in(part: dict[str, Any]) -> Cache | None:
    """The cache mark of a client's part, in either form."""
    control = part.get("cache_control")
    if isinstance(control, dict):
        ttl = control.get("ttl")
        return Cache(ttl=ttl if isinstance(ttl, str) else None)
    point = part.get("prompt_cache_breakpoint")
    if isinstance(point, dict):
        ttl = next((k for k, v in BREAKPOINT_TTL.items() if v == point.get("ttl")), None)
        return Cache(ttl=ttl)
    return None
