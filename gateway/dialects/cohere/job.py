"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.naming import tool_names
from gateway.canon.request import Cache, Request, ToolCall
from gateway.canon.traits import Traits
from gateway.dialects.cohere.names import Json

_NAME_LIMIT = 64


class Job:
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        names: the client's tool names -> those sent.
        documents: what the model may cite, as it was found among the turns.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report: list[Adaptation] = []
        self.names = tool_names(_names(request), _NAME_LIMIT)
        self.documents: list[Json] = []
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

    def name(self, client_name: str) -> str:
        """The tool name to send."""
        sent = self.names.get(client_name)
        return sent if sent is not None else tool_names([client_name], _NAME_LIMIT)[client_name]

    def unmark(self, cache: Cache | None) -> None:
        """Report, once for all of them, that cache marks are not sent."""
        if cache is not None and not self._unmarked:
            self._unmarked = True
            path = self.request.at.get("cache", "cache_control")
            self.drop(path, f"{self.model} caches implicitly")


def _names(request: Request) -> Iterator[str]:
    """All tool names: those on offer, and those of calls to tools no longer offered."""
    yield from (tool.name for tool in request.tools)
    for turn in request.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))
