"""What the provider halves share of one request on its way: its report, tool names, call ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gateway.canon.adaptation import Adaptation, approximated, defaulted, dropped
from gateway.canon.naming import tool_id, tool_names
from gateway.canon.request import Cache, Request, Tool, ToolCall
from gateway.canon.traits import Traits


class BaseJob:
    """The request, the traits of its target, and the report as it grows."""

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report: list[Adaptation] = []
        self._unmarked = False

    @property
    def model(self) -> str:
        """The model's name for a person."""
        return self.traits.model or "the model"

    def drop(self, path: str, why: str, *, before: Any = None) -> None:
        """Report a field that is not sent; nothing for a value the client did not write."""
        self._tell(dropped(path, why, before=before))

    def bend(self, path: str, why: str, *, before: Any = None, after: Any = None) -> None:
        """Report a field that is sent as something near it."""
        self._tell(approximated(path, why, before=before, after=after))

    def supply(self, path: str, why: str, *, after: Any = None) -> None:
        """Report a value that the upstream demands and the client left out."""
        self._tell(defaulted(path, why, after=after))

    def _tell(self, item: Adaptation) -> None:
        if item.path:
            self.report.append(item)

    def limit(self, least: int) -> int | None:
        """The most tokens to ask for, between `least` and the model's own limit."""
        wanted, most = self.request.max_output, self.traits.max_output
        if wanted is None:
            return None
        sent = max(least, wanted if most is None else min(wanted, most))
        if sent != wanted:
            bound = "the model's output limit" if sent < wanted else "the least that is accepted"
            why = f"{wanted} clamped to {bound}, {sent}"
            self.bend(self.request.path("max_output"), why, before=wanted, after=sent)
        return sent

    def allowed(self, tools: Iterable[Tool]) -> list[Tool]:
        """The tools to send to who has no word for a choice of some of them; that is reported."""
        choice = self.request.tool_choice
        if choice is None or choice.mode != "allowed":
            return list(tools)
        why = "only the allowed tools are sent; the list changes, so prompt caches miss"
        self.bend(self.request.path("tool_choice"), why)
        return [tool for tool in tools if tool.name in choice.names]

    def unmark(self, cache: Cache | None) -> None:
        """Report, once for all of them, that cache marks are not sent."""
        if cache is not None and not self._unmarked:
            self._unmarked = True
            self.drop(self.request.at.get("cache", "cache_control"), self._why_unmarked())

    def _why_unmarked(self) -> str:
        return f"{self.model} caches implicitly"

    def unsign(self, call: ToolCall) -> None:
        """Report that the opaque state of a call is not sent."""
        path = f"{call.at}.{self.request.path('signature')}" if call.at else ""
        self.drop(path, "the state belongs to another model")


class OnceJob(BaseJob):
    """One that tells of each field once, however often it stands in the request."""

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self._told: set[tuple[str, str]] = set()

    def _tell(self, item: Adaptation) -> None:
        if item.path and (item.path, item.action) not in self._told:
            self._told.add((item.path, item.action))
            self.report.append(item)


class NamingJob(BaseJob):
    """One whose target takes tool names of at most 64 plain characters.

    `names` maps the client's tool names to those sent.
    """

    _NAME_LIMIT = 64

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.names = tool_names(names_in(request), self._NAME_LIMIT)

    def name(self, client_name: str) -> str:
        """The tool name to send."""
        sent = self.names.get(client_name)
        if sent is not None:
            return sent
        return tool_names([client_name], self._NAME_LIMIT)[client_name]


class CallIds:
    """The call ids of one request in a target's form: the same for the same id in every turn.

    Where two ids would come out alike, the later one in the history is numbered; `room` is
    how much of it then stays before the number.
    """

    def __init__(self, rule: str, room: int | None = None) -> None:
        self._rule = rule
        self._room = room
        self._ids: dict[str, str] = {}
        # Each id sent, and how many others were made from it.
        self._taken: dict[str, int] = {}

    def sent(self, client_id: str) -> str:
        """The call id to send."""
        sent = self._ids.get(client_id)
        if sent is None:
            plain = sent = tool_id(self._rule, client_id)
            count = self._taken.get(plain, 0)
            while sent in self._taken:
                count += 1
                sent = f"{plain[: self._room]}_{count + 1}"
            self._ids[client_id] = sent
            self._taken |= {plain: count, sent: 0}
        return sent


def names_in(request: Request) -> Iterator[str]:
    """All tool names: those on offer, and those of calls to tools no longer offered."""
    yield from (tool.name for tool in request.tools)
    for turn in request.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))
