"""Compares each request of a session with its previous turn and prices cache misses.

Computed when the page is opened, for the newest requests only. A session may interleave
several conversations (an agent and its sub-agents): each request is compared with the
request that it continues, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from console.prompt_cache.prefix import Segment, common_prefix, prompt_segments, text_difference
from gateway.canon.json_values import decode_or_none
from gateway.models import RequestLog
from gateway.providers.profile import Price
from gateway.relay.exchange.log_record import Bodies
from gateway.routing.pricing import TOKENS_PER_MTOK

Kind = Literal[
    "target",
    "order",
    "tool",
    "system",
    "message",
    "breakpoints_removed",
    "no_breakpoint",
    "expired",
    "missed",
]
# Number of newest requests of a session that are read, and total bytes of their bodies.
MAX_ROWS = 60
MAX_BYTES = 48 * 1024 * 1024
# How many turns back the previous turn may be.
_MAX_TURN_DISTANCE = 8
# Smaller misses are ignored: caches count in blocks and have a minimum size.
_MIN_MISSED_TOKENS = 1024
_MIN_MISSED_SHARE = 0.1
# Lifetime of an unused cache entry (Anthropic: 5 minutes, or an hour on request; OpenAI: 5 to
# 10 minutes; 2026).
_CACHE_LIFETIME_S = 300

LoadBodies = Callable[[int], Bodies | None]
LookUpPrice = Callable[[RequestLog], Price]


class Turn(msgspec.Struct, frozen=True):
    """A request and the segments of its prompt."""

    row: RequestLog
    segments: list[Segment]
    opening_texts: frozenset[str]

    @property
    def prompt_tokens(self) -> int:
        """Number of prompt tokens, including cached ones."""
        return self.row.prompt_tokens or 0

    @property
    def target(self) -> tuple[str, str]:
        """Provider and model that answered."""
        return self.row.provider, self.row.model


class CacheBreak(msgspec.Struct, frozen=True, kw_only=True):
    """One turn that the cache did not serve as it could have.

    Attributes:
        row: the request.
        previous_row: the request that it continues.
        kind: the cause; `missed` if nothing in the prompt explains it.
        part: `tools`, `system` or `messages`; `path` and `name` say where it changed.
        prefix_text, old_text, new_text, suffix_text: the change and the text around it.
        expected_tokens: prompt tokens of the previous turn, all of which could be cached.
        cached_tokens: tokens read from the cache; None if the provider does not report them.
        missed_tokens: those that were billed in full instead.
        extra_usd: what that cost beyond reading them from the cache; None without a price.
        idle_s: seconds since the turn before.
    """

    row: RequestLog
    previous_row: RequestLog
    kind: Kind
    part: str = ""
    path: str = ""
    name: str = ""
    prefix_text: str = ""
    old_text: str = ""
    new_text: str = ""
    suffix_text: str = ""
    expected_tokens: int = 0
    cached_tokens: int | None = None
    missed_tokens: int | None = None
    extra_usd: Decimal | None = None
    idle_s: float = 0.0
    reason: str = ""


def find_cache_breaks(
    rows: Iterable[RequestLog], load_bodies: LoadBodies, look_up_price: LookUpPrice
) -> list[CacheBreak]:
    """Cache breaks of a session, oldest first; `rows` are its requests, oldest first."""
    turns: list[Turn] = []
    breaks: list[CacheBreak] = []
    for turn in _load_turns(list(rows)[-MAX_ROWS:], load_bodies):
        previous_turn = _previous_turn(turn, turns)
        if (
            previous_turn is not None
            and (cache_break := _find_break(previous_turn, turn, look_up_price)) is not None
        ):
            breaks.append(cache_break)
        turns.append(turn)
    return breaks


def _load_turns(rows: list[RequestLog], load_bodies: LoadBodies) -> list[Turn]:
    """Turns that an upstream answered and whose bodies are stored; reads the newest first."""
    turns, remaining_bytes = [], MAX_BYTES
    for row in reversed(rows):
        if not row.provider or row.cache in ("hit", "semantic") or row.status >= 400:
            continue
        bodies = load_bodies(row.pk)
        data = (bodies.upstream_request or bodies.client_request) if bodies is not None else None
        if data is None or "upstream_request" in (bodies.truncated if bodies else ()):
            continue
        remaining_bytes -= len(data)
        if remaining_bytes < 0:
            break
        segments = prompt_segments(decode_or_none(data))
        opening_texts = [segment.text for segment in segments if segment.part == "messages"][:3]
        turns.append(Turn(row, segments, frozenset(opening_texts)))
    turns.reverse()
    return turns


def _previous_turn(turn: Turn, earlier_turns: list[Turn]) -> Turn | None:
    """The turn that this one continues; None for the first of a conversation."""
    best_rank: tuple[int, int] | None = None
    best_turn = None
    for number, candidate in enumerate(earlier_turns[-_MAX_TURN_DISTANCE:]):
        if candidate.row.requested_model != turn.row.requested_model or not candidate.segments:
            continue
        shared_prefix = common_prefix(candidate.segments, turn.segments)
        candidate_size = sum(len(segment.text) for segment in candidate.segments)
        is_related = (
            not candidate.opening_texts.isdisjoint(turn.opening_texts)
            or shared_prefix.size * 2 >= candidate_size
        )
        if is_related and len(turn.segments) >= len(candidate.segments) - 1:
            rank = (shared_prefix.size, number)
            if best_rank is None or rank > best_rank:
                best_rank, best_turn = rank, candidate
    return best_turn


def _find_break(previous_turn: Turn, turn: Turn, look_up_price: LookUpPrice) -> CacheBreak | None:
    expected_tokens = min(previous_turn.prompt_tokens, turn.prompt_tokens)
    cached_tokens = turn.row.cache_read_tokens
    missed_tokens = None if cached_tokens is None else max(0, expected_tokens - cached_tokens)
    if missed_tokens is not None and missed_tokens < max(
        _MIN_MISSED_TOKENS, expected_tokens * _MIN_MISSED_SHARE
    ):
        return None
    change = _find_change(previous_turn, turn)
    if missed_tokens is None and change["kind"] in ("missed", "expired", "no_breakpoint"):
        return None
    extra_usd = (
        None
        if missed_tokens is None
        else _extra_cost(turn.row, missed_tokens, look_up_price(turn.row))
    )
    return CacheBreak(
        row=turn.row,
        previous_row=previous_turn.row,
        expected_tokens=expected_tokens,
        cached_tokens=cached_tokens,
        missed_tokens=missed_tokens,
        extra_usd=extra_usd,
        idle_s=_idle_seconds(previous_turn, turn),
        **change,
    )


def _find_change(previous_turn: Turn, turn: Turn) -> dict[str, Any]:
    """The first change in the prompt, or another reason for the miss."""
    if previous_turn.target != turn.target:
        return {
            "kind": "target",
            "old_text": "/".join(previous_turn.target),
            "new_text": "/".join(turn.target),
            "reason": _fallback_reason(turn.row),
        }
    index = common_prefix(previous_turn.segments, turn.segments).segments
    if index < len(previous_turn.segments):
        return _describe_difference(previous_turn.segments, turn.segments, index)
    had_breakpoint, has_breakpoint = (
        any(segment.has_breakpoint for segment in t.segments) for t in (previous_turn, turn)
    )
    if had_breakpoint and not has_breakpoint:
        return {"kind": "breakpoints_removed"}
    if turn.row.upstream_dialect == "anthropic_messages" and not has_breakpoint:
        return {"kind": "no_breakpoint"}
    return {
        "kind": "expired" if _idle_seconds(previous_turn, turn) > _CACHE_LIFETIME_S else "missed"
    }


def _describe_difference(
    old_segments: list[Segment], new_segments: list[Segment], index: int
) -> dict[str, Any]:
    old_segment = old_segments[index]
    new_segment = new_segments[index] if index < len(new_segments) else None
    if old_segment.part == "tools" or (new_segment is not None and new_segment.part == "tools"):
        return _describe_tool_change(old_segments, new_segments, old_segment, new_segment)
    prefix_text, old_text, new_text, suffix_text = text_difference(
        old_segment.text, new_segment.text if new_segment is not None else ""
    )
    kind: Kind = "system" if old_segment.part == "system" else "message"
    location = {
        "kind": kind,
        "part": old_segment.part,
        "path": (new_segment or old_segment).path,
        "name": old_segment.name,
    }
    return {
        **location,
        "prefix_text": prefix_text,
        "old_text": old_text,
        "new_text": new_text,
        "suffix_text": suffix_text,
    }


def _describe_tool_change(
    old_segments: list[Segment],
    new_segments: list[Segment],
    old_segment: Segment,
    new_segment: Segment | None,
) -> dict[str, Any]:
    """Describe reordered, added, removed or changed tools."""
    old_tools = [segment for segment in old_segments if segment.part == "tools"]
    new_tools = [segment for segment in new_segments if segment.part == "tools"]
    path = (new_segment or old_segment).path
    if sorted(p.text for p in old_tools) == sorted(p.text for p in new_tools):
        names = (", ".join(p.name for p in tools)[:240] for tools in (old_tools, new_tools))
        return {"kind": "order", "part": "tools", "path": path} | dict(
            zip(("old_text", "new_text"), names, strict=True)
        )
    old_names, new_names = {p.name for p in old_tools}, {p.name for p in new_tools}
    change: dict[str, Any] = {"kind": "tool", "part": "tools", "path": path}
    if old_names != new_names:
        removed_names, added_names = sorted(old_names - new_names), sorted(new_names - old_names)
        return change | {
            "old_text": ", ".join(removed_names)[:240],
            "new_text": ", ".join(added_names)[:240],
        }
    prefix_text, old_text, new_text, suffix_text = text_difference(
        old_segment.text, new_segment.text if new_segment is not None else ""
    )
    excerpt = {
        "prefix_text": prefix_text,
        "old_text": old_text,
        "new_text": new_text,
        "suffix_text": suffix_text,
    }
    return change | {"name": old_segment.name} | excerpt


def _fallback_reason(row: RequestLog) -> str:
    """The failure that caused a fallback; empty if there was none."""
    for attempt in row.attempts:
        if attempt.get("error_kind"):
            return f"{attempt.get('target', '')}: {attempt['error_kind']}"[:200]
    return ""


def _idle_seconds(previous_turn: Turn, turn: Turn) -> float:
    return (turn.row.started_at - previous_turn.row.started_at).total_seconds()


def _extra_cost(row: RequestLog, missed_tokens: int, price: Price) -> Decimal | None:
    """Extra cost of the missed tokens compared with reading them from the cache."""
    written_tokens = min(missed_tokens, max(row.cache_write_tokens or 0, 0))
    lines = ((written_tokens, price.cache_write), (missed_tokens - written_tokens, price.input))
    if price.cache_read is None or any(count and rate is None for count, rate in lines):
        return None
    actual_cost = sum((count * (rate or 0) for count, rate in lines), Decimal(0))
    return max(Decimal(0), actual_cost - missed_tokens * price.cache_read) / TOKENS_PER_MTOK
