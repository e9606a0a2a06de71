"""Compares the requests of a session, each with the turn before it, and prices what was lost.

Worked out when a person looks, over the newest requests only, and never on the way of a
request. A session may hold several conversations at once (an agent and its sub-agents):
each request is compared with the one that it goes on from, or with none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from console.prompt_cache.prefix import Piece, differing, pieces, split
from gateway.models import RequestLog
from gateway.providers.profile import Price
from gateway.relay.entry import Bodies

Kind = Literal[
    "target", "order", "tool", "system", "message", "marks", "unmarked", "expired", "missed"
]
# How many of a session's newest requests are read, and how many bytes of bodies in all.
MOST_ROWS = 60
MOST_BYTES = 48 * 1024 * 1024
# How many turns back the one it goes on from may be.
_BACK = 8
# Less than that is no loss: caches count in steps, and begin at some hundreds.
_LEAST_LOST = 1024
_SHARE = 0.1
# How long a cache lives unused, as providers say (Anthropic: 5 minutes unless marked for an
# hour; OpenAI: 5 to 10 minutes; 2026).
_LIVES_S = 300
_MILLION = Decimal(1_000_000)

Bodied = Callable[[int], Bodies | None]
Priced = Callable[[RequestLog], Price]


class Turn(msgspec.Struct, frozen=True):
    """A request, and the pieces of its prompt."""

    row: RequestLog
    pieces: list[Piece]
    opening: frozenset[str]

    @property
    def prompt(self) -> int:
        """All tokens of the prompt."""
        row = self.row
        parts = (row.input_tokens, row.cache_read_tokens, row.cache_write_tokens)
        return sum(part or 0 for part in parts)

    @property
    def target(self) -> tuple[str, str]:
        """Who answered."""
        return self.row.provider, self.row.model


class Break(msgspec.Struct, frozen=True, kw_only=True):
    """One turn that the cache did not serve as it could have.

    Attributes:
        row: the request.
        before: the one it goes on from.
        kind: why; `missed` is that nothing in the prompt says why.
        part: `tools`, `system` or `messages`, and `place` and `name` where it changed.
        lead, old, new, rest: the text around the change, what stood there, what does now.
        expected: tokens that the turn before had in its prompt, all of which could be cached.
        cached: tokens that were read from the cache; None where the provider does not say.
        lost: those that were paid in full instead.
        usd: what that cost beyond reading them from the cache; None where a price is unknown.
        idle_s: seconds since the turn before.
    """

    row: RequestLog
    before: RequestLog
    kind: Kind
    part: str = ""
    place: str = ""
    name: str = ""
    lead: str = ""
    old: str = ""
    new: str = ""
    rest: str = ""
    expected: int = 0
    cached: int | None = None
    lost: int | None = None
    usd: Decimal | None = None
    idle_s: float = 0.0
    reason: str = ""


def breaks(rows: Iterable[RequestLog], bodied: Bodied, priced: Priced) -> list[Break]:
    """Where a session lost its cache, oldest first; `rows` are its requests, oldest first."""
    turns: list[Turn] = []
    found: list[Break] = []
    for turn in _turns(list(rows)[-MOST_ROWS:], bodied):
        before = _goes_on_from(turn, turns)
        if before is not None and (broken := _compared(before, turn, priced)) is not None:
            found.append(broken)
        turns.append(turn)
    return found


def _turns(rows: list[RequestLog], bodied: Bodied) -> list[Turn]:
    """Those that an upstream answered and whose bodies are kept, the newest first to be read."""
    found, left = [], MOST_BYTES
    for row in reversed(rows):
        if not row.provider or row.cache in ("hit", "semantic") or row.status >= 400:
            continue
        bodies = bodied(row.pk)
        data = (bodies.upstream_request or bodies.client_request) if bodies is not None else None
        if data is None or "upstream_request" in (bodies.truncated if bodies else ()):
            continue
        left -= len(data)
        if left < 0:
            break
        said = pieces(_json(data))
        opening = [piece.text for piece in said if piece.part == "messages"][:3]
        found.append(Turn(row, said, frozenset(opening)))
    found.reverse()
    return found


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _goes_on_from(turn: Turn, earlier: list[Turn]) -> Turn | None:
    """The turn whose prompt this one goes on with; None for the first of a conversation."""
    best: tuple[int, int] | None = None
    chosen = None
    for number, other in enumerate(earlier[-_BACK:]):
        if other.row.requested_model != turn.row.requested_model or not other.pieces:
            continue
        alike = split(other.pieces, turn.pieces)
        whole = sum(len(piece.text) for piece in other.pieces)
        kin = not other.opening.isdisjoint(turn.opening) or alike.size * 2 >= whole
        if kin and len(turn.pieces) >= len(other.pieces) - 1:
            rank = (alike.size, number)
            if best is None or rank > best:
                best, chosen = rank, other
    return chosen


def _compared(before: Turn, turn: Turn, priced: Priced) -> Break | None:
    expected = min(before.prompt, turn.prompt)
    cached = turn.row.cache_read_tokens
    lost = None if cached is None else max(0, expected - cached)
    if lost is not None and lost < max(_LEAST_LOST, expected * _SHARE):
        return None
    seen = _change(before, turn)
    if lost is None and seen["kind"] in ("missed", "expired", "unmarked"):
        return None
    usd = None if lost is None else _extra(turn.row, lost, priced(turn.row))
    return Break(
        row=turn.row,
        before=before.row,
        expected=expected,
        cached=cached,
        lost=lost,
        usd=usd,
        idle_s=_idle(before, turn),
        **seen,
    )


def _change(before: Turn, turn: Turn) -> dict[str, Any]:
    """What changed, the cause that lies furthest to the front first."""
    if before.target != turn.target:
        return {
            "kind": "target",
            "old": "/".join(before.target),
            "new": "/".join(turn.target),
            "reason": _switched(turn.row),
        }
    at = split(before.pieces, turn.pieces).pieces
    if at < len(before.pieces):
        return _difference(before.pieces, turn.pieces, at)
    was, now = (any(piece.marked for piece in t.pieces) for t in (before, turn))
    if was and not now:
        return {"kind": "marks"}
    if turn.row.upstream_dialect == "anthropic_messages" and not now:
        return {"kind": "unmarked"}
    return {"kind": "expired" if _idle(before, turn) > _LIVES_S else "missed"}


def _difference(before: list[Piece], after: list[Piece], at: int) -> dict[str, Any]:
    old = before[at]
    new = after[at] if at < len(after) else None
    if old.part == "tools" or (new is not None and new.part == "tools"):
        return _tools(before, after, old, new)
    lead, gone, come, rest = differing(old.text, new.text if new is not None else "")
    kind: Kind = "system" if old.part == "system" else "message"
    told = {"kind": kind, "part": old.part, "place": (new or old).place, "name": old.name}
    return {**told, "lead": lead, "old": gone, "new": come, "rest": rest}


def _tools(
    before: list[Piece], after: list[Piece], old: Piece, new: Piece | None
) -> dict[str, Any]:
    """Of tools it matters whether they are the same in another order."""
    was = [piece for piece in before if piece.part == "tools"]
    now = [piece for piece in after if piece.part == "tools"]
    place = (new or old).place
    if sorted(p.text for p in was) == sorted(p.text for p in now):
        names = (", ".join(p.name for p in those)[:240] for those in (was, now))
        return {"kind": "order", "part": "tools", "place": place} | dict(
            zip(("old", "new"), names, strict=True)
        )
    held, asked = {p.name for p in was}, {p.name for p in now}
    told: dict[str, Any] = {"kind": "tool", "part": "tools", "place": place}
    if held != asked:
        gone, come = sorted(held - asked), sorted(asked - held)
        return told | {"old": ", ".join(gone)[:240], "new": ", ".join(come)[:240]}
    lead, gone_text, come_text, rest = differing(old.text, new.text if new is not None else "")
    words = {"lead": lead, "old": gone_text, "new": come_text, "rest": rest}
    return told | {"name": old.name} | words


def _switched(row: RequestLog) -> str:
    """The failure for which another target was asked; empty if there was none."""
    for attempt in row.attempts:
        if attempt.get("error_kind"):
            return f"{attempt.get('target', '')}: {attempt['error_kind']}"[:200]
    return ""


def _idle(before: Turn, turn: Turn) -> float:
    return (turn.row.started_at - before.row.started_at).total_seconds()


def _extra(row: RequestLog, lost: int, price: Price) -> Decimal | None:
    """What those tokens cost beyond being read from the cache."""
    written = min(lost, max(row.cache_write_tokens or 0, 0))
    lines = ((written, price.cache_write), (lost - written, price.input))
    if price.cache_read is None or any(count and rate is None for count, rate in lines):
        return None
    paid = sum((count * (rate or 0) for count, rate in lines), Decimal(0))
    return max(Decimal(0), paid - lost * price.cache_read) / _MILLION
