"""What the answers of a run came to, collected from its events.

The same events feed the page, this, and by it the summary, the export and the score:
what is counted is what was shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

Json = dict[str, Any]
Key = tuple[int | None, str, int]


class Called(msgspec.Struct, kw_only=True):
    """A tool call as it came: `arguments` is text and need not be JSON."""

    id: str
    name: str
    arguments: str = ""
    result: str | None = None


class Take(msgspec.Struct, kw_only=True):
    """One answer: of a column, in the n-th repetition, to a case of a matrix (or None)."""

    col: str
    n: int
    case: int | None = None
    model: str = ""
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[Called] = []
    attempts: list[Json] = []
    verdicts: dict[str, Json] = {}
    usage: Json = {}
    end: Json | None = None
    # Whether a call came after the last text: the next one is a paragraph of its own.
    parted: bool = False

    @property
    def ok(self) -> bool:
        """Whether it ended well and no verdict is against it."""
        ended = self.end is not None and self.end.get("status") == "ok"
        return ended and all(verdict.get("ok") is not False for verdict in self.verdicts.values())

    @property
    def failed(self) -> bool:
        """Whether it ended, and not well; an answer that a person stopped is neither."""
        if self.end is None or self.end.get("status") == "stopped":
            return False
        return not self.ok

    def verdict(self, what: str) -> bool | None:
        """What a verdict said; None where there was none."""
        found = self.verdicts.get(what)
        return None if found is None else bool(found.get("ok"))

    def apply(self, kind: str, data: Json) -> None:
        """Take in one event."""
        match kind:
            case "start":
                self.model = data.get("model") or ""
            case "attempt":
                self.attempts.append(data)
            case "delta":
                self._delta(data["kind"], data["text"])
            case "call":
                self.parted = True
                self.calls.append(Called(id=data["id"], name=data["name"]))
            case "call_delta":
                if self.calls:
                    self.calls[-1].arguments += data["text"]
            case "result":
                self._result(data)
            case "verdict":
                self.verdicts[data["what"]] = data
            case "usage":
                self.usage = data
            case "end":
                self.end = data
            case _:
                pass

    def _delta(self, field: str, text: str) -> None:
        if field == "text":
            if self.parted and self.text:
                self.text += "\n\n"
            self.parted = False
        setattr(self, field, getattr(self, field) + text)

    def _result(self, data: Json) -> None:
        for call in self.calls:
            if call.id == data["id"] and call.result is None:
                call.result = data["content"]
                return


class Takes:
    """All answers of a run, in the order in which they began."""

    def __init__(self) -> None:
        self.all: dict[Key, Take] = {}

    def apply(self, kind: str, data: Json) -> None:
        """Take in one event of the run."""
        if "col" not in data:
            return
        key = (data.get("case"), data["col"], data.get("n", 1))
        take = self.all.get(key)
        if take is None:
            take = self.all[key] = Take(case=key[0], col=key[1], n=key[2])
        take.apply(kind, data)

    def of(self, col: str) -> list[Take]:
        """The answers of one column."""
        return [take for take in self.all.values() if take.col == col]


def collected(events: Iterable[tuple[str, Json]]) -> Takes:
    """The answers in a stream of events."""
    takes = Takes()
    for kind, data in events:
        takes.apply(kind, data)
    return takes
