"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from typing import Any

from gateway.canon.adaptation import Adaptation, approximated, dropped
from gateway.canon.request import Cache, Request
from gateway.canon.traits import Traits


class Job:
    """The request, the traits of its target, and the report as it grows.

    `hints` are sentences for the model that stand for fields which the target does not know.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        self.request = request
        self.traits = traits
        self.report: list[Adaptation] = []
        self.hints: list[str] = []
        self._unmarked = False
        self._told: set[tuple[str, str]] = set()

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

    def _tell(self, item: Adaptation) -> None:
        if item.path and (item.path, item.action) not in self._told:
            self._told.add((item.path, item.action))
            self.report.append(item)

    def unmark(self, cache: Cache | None) -> None:
        """Report, once for all of them, that cache marks are not sent."""
        if cache is not None and not self._unmarked:
            self._unmarked = True
            path = self.request.at.get("cache", "cache_control")
            self.drop(path, f"{self.model} caches implicitly")
