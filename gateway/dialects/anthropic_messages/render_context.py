"""The state of rendering one request: its target, and the report."""

from __future__ import annotations

from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.shared.render_context import CallIds, ToolNamingRenderContext

_MAX_CACHE_BREAKPOINTS = 4


class RenderContext(ToolNamingRenderContext):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        same_dialect: whether the client uses this dialect too: what it omitted it omitted
            on purpose, and its own values have the same meaning here.
        hints: sentences for the model that stand for fields the target does not know.
        effort_override: an effort of a later turn that applies to the whole request.
        requires_older_version: whether something is sent that only the older version of the
            API accepts.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.same_dialect = request.version is not None
        self.hints: list[str] = []
        self.effort_override: str | None = None
        self.requires_older_version = False
        self._ids = CallIds(traits.tool_id_rule)
        self._blocks_with_breakpoint: list[Json] = []

    def call_id(self, client_id: str) -> str:
        """The call id to send; equal ids stay equal in every turn."""
        return self._ids.upstream_id(client_id)

    def add_cache_breakpoint(self, block: Json, cache: CacheBreakpoint | None) -> Json:
        """Adds the cache breakpoint to the block, if the target supports it."""
        if cache is None:
            return block
        if self.traits.cache == "cache_control":
            block["cache_control"] = render_cache_control(cache)
            self._blocks_with_breakpoint.append(block)
        else:
            self.drop_cache_marks(cache)
        return block

    def _cache_drop_reason(self) -> str:
        caches = "caches implicitly" if self.traits.cache == "implicit" else "takes no marks"
        return f"{self.model} {caches}"

    def limit_cache_breakpoints(self, limit: int = _MAX_CACHE_BREAKPOINTS) -> None:
        """Keeps the last `limit` cache breakpoints: the longest prefixes save the most."""
        surplus = self._blocks_with_breakpoint[: max(0, len(self._blocks_with_breakpoint) - limit)]
        for block in surplus:
            del block["cache_control"]
        if surplus:
            path = self.request.client_paths.get("cache", "cache_control")
            self.approximate(path, f"only the last {limit} cache marks are sent")


def render_cache_control(cache: CacheBreakpoint) -> Json:
    """A `cache_control`; a lifetime that the dialect does not know is left out."""
    if cache.ttl in {"5m", "1h"}:
        return {"type": "ephemeral", "ttl": cache.ttl}
    return {"type": "ephemeral"}
