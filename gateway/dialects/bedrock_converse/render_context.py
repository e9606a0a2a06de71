"""The state of rendering one request: its target, and the report."""

from __future__ import annotations

from gateway.canon.request import CacheBreakpoint, Request
from gateway.canon.traits import Traits
from gateway.dialects.bedrock_converse.names import Json
from gateway.dialects.shared.render_context import CallIds, ToolNamingRenderContext

# How much of a call id is kept before an appended number.
_NUMBERED_ID_PREFIX_LENGTH = 60
_MAX_CACHE_BREAKPOINTS = 4


class RenderContext(ToolNamingRenderContext):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        hints: sentences for the model that stand for fields the target does not know.
        effort_override: an effort of a later turn that applies to the whole request.
        model_fields: `additionalModelRequestFields`.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.hints: list[str] = []
        self.effort_override: str | None = None
        self.model_fields: Json = {}
        self._ids = CallIds("bedrock64", _NUMBERED_ID_PREFIX_LENGTH)
        self._titles: set[str] = set()
        # Title prefix -> the last number tried after it.
        self._last_numbers: dict[str, int] = {}

    def call_id(self, client_id: str) -> str:
        """The call id to send; equal ids stay equal in every turn."""
        return self._ids.upstream_id(client_id)

    def unique_title(self, requested_title: str) -> str:
        """A document's name that no other document of the request has."""
        sent_title, prefix = requested_title, requested_title[:190]
        if sent_title in self._titles:
            number = self._last_numbers.get(prefix, 1) + 1
            while (sent_title := f"{prefix} ({number})") in self._titles:
                number += 1
            self._last_numbers[prefix] = number
        self._titles.add(sent_title)
        return sent_title

    def add_cache_breakpoint(self, blocks: list[Json], cache: CacheBreakpoint | None) -> None:
        """Appends a cache breakpoint to the blocks, if the target supports it."""
        if cache is None or not blocks:
            return
        if self.traits.cache != "cachePoint":
            self.drop_cache_marks(cache)
            return
        cache_point: Json = {"type": "default"}
        if cache.ttl in {"5m", "1h"}:
            cache_point["ttl"] = cache.ttl
        blocks.append({"cachePoint": cache_point})

    def _cache_drop_reason(self) -> str:
        caches = "caches implicitly" if self.traits.cache == "implicit" else "takes no marks"
        return f"{self.model} {caches}"

    def limit_cache_breakpoints(self, body: Json) -> None:
        """Keeps the last four cache breakpoints: the longest prefixes save the most."""
        tools = body.get("toolConfig", {}).get("tools", [])
        contents = [message["content"] for message in body["messages"]]
        block_lists = [tools, body.get("system", []), *contents]
        for blocks in block_lists:
            # Blocks before a cache breakpoint may have been dropped.
            blocks[:] = [
                item
                for preceding, item in zip([{"cachePoint": {}}, *blocks], blocks, strict=False)
                if not ("cachePoint" in item and "cachePoint" in preceding)
            ]
        breakpoint_ids = [
            id(item) for blocks in block_lists for item in blocks if "cachePoint" in item
        ]
        surplus_ids = set(breakpoint_ids[:-_MAX_CACHE_BREAKPOINTS])
        if not surplus_ids:
            return
        for blocks in block_lists:
            blocks[:] = [item for item in blocks if id(item) not in surplus_ids]
        path = self.request.client_paths.get("cache", "cache_control")
        self.approximate(path, f"only the last {_MAX_CACHE_BREAKPOINTS} cache marks are sent")
