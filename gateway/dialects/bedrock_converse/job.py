"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from gateway.canon.request import Cache, Request
from gateway.canon.traits import Traits
from gateway.dialects.bedrock_converse.names import Json
from gateway.dialects.job import CallIds, NamingJob

# What stays of a call id that gets a number.
_ROOM = 60
_MOST_MARKS = 4


class Job(NamingJob):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        hints: sentences for the model that stand for fields the target does not know.
        effort: an effort of a later turn that has to hold for the whole request.
        more: the model's own fields.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.hints: list[str] = []
        self.effort: str | None = None
        self.more: Json = {}
        self._ids = CallIds("bedrock64", _ROOM)
        self._titles: set[str] = set()

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn."""
        return self._ids.sent(client_id)

    def title(self, wanted: str) -> str:
        """A document's name that no other document of the request has."""
        sent, count = wanted, 1
        while sent in self._titles:
            count += 1
            sent = f"{wanted[:190]} ({count})"
        self._titles.add(sent)
        return sent

    def mark(self, blocks: list[Json], cache: Cache | None) -> None:
        """Put a cache mark after what stands in the list, where the target takes marks."""
        if cache is None or not blocks:
            return
        if self.traits.cache != "cachePoint":
            self.unmark(cache)
            return
        point: Json = {"type": "default"}
        if cache.ttl in {"5m", "1h"}:
            point["ttl"] = cache.ttl
        blocks.append({"cachePoint": point})

    def _why_unmarked(self) -> str:
        caches = "caches implicitly" if self.traits.cache == "implicit" else "takes no marks"
        return f"{self.model} {caches}"

    def limit_marks(self, body: Json) -> None:
        """Keep the last four marks in prompt order: the longest prefixes save the most."""
        tools = body.get("toolConfig", {}).get("tools", [])
        contents = [message["content"] for message in body["messages"]]
        lists = [tools, body.get("system", []), *contents]
        for blocks in lists:
            # What stood before a mark may have been left out.
            blocks[:] = [
                item
                for before, item in zip([{"cachePoint": {}}, *blocks], blocks, strict=False)
                if not ("cachePoint" in item and "cachePoint" in before)
            ]
        marks = [id(item) for blocks in lists for item in blocks if "cachePoint" in item]
        surplus = set(marks[:-_MOST_MARKS])
        if not surplus:
            return
        for blocks in lists:
            blocks[:] = [item for item in blocks if id(item) not in surplus]
        path = self.request.at.get("cache", "cache_control")
        self.bend(path, f"only the last {_MOST_MARKS} cache marks are sent")
