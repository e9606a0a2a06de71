"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.canon.adaptation import Adaptation, approximated, defaulted, dropped
from gateway.canon.naming import tool_id, tool_names
from gateway.canon.request import Cache, Request, ToolCall
from gateway.canon.traits import Traits
from gateway.dialects.bedrock_converse.names import Json

_NAME_LIMIT = 64
_MOST_MARKS = 4


class Job:
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        names: the client's tool names -> those sent.
        hints: sentences for the model that stand for fields the target does not know.
        effort: an effort of a later turn that has to hold for the whole request.
        more: the model's own fields.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report: list[Adaptation] = []
        self.names = tool_names(_names(request), _NAME_LIMIT)
        self.hints: list[str] = []
        self.effort: str | None = None
        self.more: Json = {}
        self._ids: dict[str, str] = {}
        # Each id sent, and how many others were made from it.
        self._taken: dict[str, int] = {}
        self._titles: set[str] = set()
        self._unmarked = False

    @property
    def model(self) -> str:
        """The model's name for a person."""
        return self.traits.model or "the model"

    def drop(self, path: str, why: str) -> None:
        """Report a field that is not sent; nothing for a value the client did not write."""
        if path:
            self.report.append(dropped(path, why))

    def bend(self, path: str, why: str, *, before: object = None, after: object = None) -> None:
        """Report a field that is sent as something near it."""
        if path:
            self.report.append(approximated(path, why, before=before, after=after))

    def supply(self, path: str, why: str, *, after: object = None) -> None:
        """Report a value that the upstream demands and the client left out."""
        self.report.append(defaulted(path, why, after=after))

    def name(self, client_name: str) -> str:
        """The tool name to send."""
        sent = self.names.get(client_name)
        return sent if sent is not None else tool_names([client_name], _NAME_LIMIT)[client_name]

    def call_id(self, client_id: str) -> str:
        """The call id to send: the same for the same id in every turn.

        Where two ids would come out alike, the later one in the history is numbered.
        """
        sent = self._ids.get(client_id)
        if sent is None:
            plain = sent = tool_id("bedrock64", client_id)
            count = self._taken.get(plain, 0)
            while sent in self._taken:
                count += 1
                sent = f"{plain[:60]}_{count + 1}"
            self._ids[client_id] = sent
            self._taken |= {plain: count, sent: 0}
        return sent

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
            self._unmark()
            return
        point: Json = {"type": "default"}
        if cache.ttl in {"5m", "1h"}:
            point["ttl"] = cache.ttl
        blocks.append({"cachePoint": point})

    def _unmark(self) -> None:
        """Report, once for all of them, that cache marks are not sent."""
        if not self._unmarked:
            self._unmarked = True
            caches = "caches implicitly" if self.traits.cache == "implicit" else "takes no marks"
            self.drop(self.request.at.get("cache", "cache_control"), f"{self.model} {caches}")

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


def _names(request: Request) -> Iterator[str]:
    """All tool names: those on offer, and those of calls to tools no longer offered."""
    yield from (tool.name for tool in request.tools)
    for turn in request.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))
