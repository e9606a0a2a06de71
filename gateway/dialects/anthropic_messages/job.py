"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from gateway.canon.request import Cache, Request
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.job import CallIds, NamingJob

_MOST_MARKS = 4


class Job(NamingJob):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        native: whether the client speaks this dialect too: what it left out it left out
            on purpose, and its own values mean here what they meant there.
        hints: sentences for the model that stand for fields the target does not know.
        effort: an effort of a later turn that has to hold for the whole request.
        older: whether something is sent that only the older version of the API takes.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.native = request.version is not None
        self.hints: list[str] = []
        self.effort: str | None = None
        self.older = False
        self._ids = CallIds(traits.tool_id_rule)
        self._marked: list[Json] = []

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        return self._ids.sent(client_id)

    def mark(self, block: Json, cache: Cache | None) -> Json:
        """The block with its cache mark, where the target takes marks."""
        if cache is None:
            return block
        if self.traits.cache == "cache_control":
            block["cache_control"] = cache_out(cache)
            self._marked.append(block)
        else:
            self.unmark(cache)
        return block

    def _why_unmarked(self) -> str:
        caches = "caches implicitly" if self.traits.cache == "implicit" else "takes no marks"
        return f"{self.model} {caches}"

    def limit_marks(self, free: int = _MOST_MARKS) -> None:
        """Keep the last `free` marks in prompt order: the longest prefixes save the most."""
        surplus = self._marked[: max(0, len(self._marked) - free)]
        for block in surplus:
            del block["cache_control"]
        if surplus:
            path = self.request.at.get("cache", "cache_control")
            self.bend(path, f"only the last {free} cache marks are sent")


def cache_out(cache: Cache) -> Json:
    """A `cache_control`; a lifetime that the dialect does not know is left out."""
    if cache.ttl in {"5m", "1h"}:
        return {"type": "ephemeral", "ttl": cache.ttl}
    return {"type": "ephemeral"}
