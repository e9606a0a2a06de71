"""Results of the responses of a run, collected from its events.

Page, summary, export and scoreboard all derive from the same events.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

Json = dict[str, Any]
ResponseKey = tuple[str, int]


class ReceivedToolCall(msgspec.Struct, kw_only=True):
    """A received tool call: `arguments` is text and may be invalid JSON."""

    id: str
    name: str
    arguments: str = ""
    result: str | None = None


class ColumnResponse(msgspec.Struct, kw_only=True):
    """One response of a column: repetition `n`."""

    col: str
    n: int
    model: str = ""
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[ReceivedToolCall] = []
    attempts: list[Json] = []
    verdicts: dict[str, Json] = {}
    usage: Json = {}
    end: Json | None = None
    # Whether a tool call followed the last text: the next text starts a new paragraph.
    text_interrupted: bool = False

    @property
    def ok(self) -> bool:
        """Whether the response succeeded and passed all checks."""
        ended = self.end is not None and self.end.get("status") == "ok"
        return ended and all(verdict.get("ok") is not False for verdict in self.verdicts.values())

    @property
    def failed(self) -> bool:
        """Whether the response ended without success; a stopped one is neither ok nor failed."""
        if self.end is None or self.end.get("status") == "stopped":
            return False
        return not self.ok

    def verdict(self, subject: str) -> bool | None:
        """Whether a check passed; None if there was no such check."""
        verdict = self.verdicts.get(subject)
        return None if verdict is None else bool(verdict.get("ok"))

    def apply(self, kind: str, data: Json) -> None:
        """Apply one event."""
        match kind:
            case "start":
                self.model = data.get("model") or ""
            case "attempt":
                self.attempts.append(data)
            case "delta":
                self._append_delta(data["kind"], data["text"])
            case "call":
                self.text_interrupted = True
                self.calls.append(ReceivedToolCall(id=data["id"], name=data["name"]))
            case "call_delta":
                if self.calls:
                    self.calls[-1].arguments += data["text"]
            case "result":
                self._set_call_result(data)
            case "verdict":
                self.verdicts[data["check"]] = data
            case "usage":
                self.usage = data
            case "end":
                self.end = data
            case _:
                pass

    def _append_delta(self, field: str, text: str) -> None:
        if field == "text":
            if self.text_interrupted and self.text:
                self.text += "\n\n"
            self.text_interrupted = False
        setattr(self, field, getattr(self, field) + text)

    def _set_call_result(self, data: Json) -> None:
        for call in self.calls:
            if call.id == data["id"] and call.result is None:
                call.result = data["content"]
                return


class RunResults:
    """All responses of a run, in the order in which they started."""

    def __init__(self) -> None:
        self.by_key: dict[ResponseKey, ColumnResponse] = {}

    def apply(self, kind: str, data: Json) -> None:
        """Apply one event of the run."""
        if "col" not in data:
            return
        key = (data["col"], data.get("n", 1))
        response = self.by_key.get(key)
        if response is None:
            response = self.by_key[key] = ColumnResponse(col=key[0], n=key[1])
        response.apply(kind, data)

    def of_column(self, col: str) -> list[ColumnResponse]:
        """The responses of one column."""
        return [response for response in self.by_key.values() if response.col == col]


def collect_results(events: Iterable[tuple[str, Json]]) -> RunResults:
    """Collect the responses from a stream of events."""
    results = RunResults()
    for kind, data in events:
        results.apply(kind, data)
    return results
