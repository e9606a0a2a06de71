"""Hedge losers: attempts that were abandoned for a faster one, each with its own tokens and cost.

A row's own tokens and cost are those of the attempt that won. Totals by provider, key or team
include both; a hedge loser does not count as a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from gateway.models import RequestLog
from gateway.relay.exchange.log_record import HEDGE_LOSER, Attempt


def hedge_losers(attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """The hedge losers among a row's attempts that used tokens or cost something."""
    for attempt in attempts:
        if attempt.error_kind == HEDGE_LOSER and (
            attempt.cost_usd is not None or attempt.input_tokens
        ):
            yield attempt


def hedge_losers_in(stored_attempts: list[dict[str, Any]]) -> list[Attempt]:
    """The hedge losers among attempts as the log's column stores them."""
    losers = [attempt for attempt in stored_attempts if attempt.get("error_kind") == HEDGE_LOSER]
    return list(hedge_losers(msgspec.convert(losers, list[Attempt]))) if losers else []


def hedge_losers_of(rows: QuerySet[RequestLog]) -> Iterator[Attempt]:
    """The hedge losers of some rows of the log; rows without any are not read."""
    candidates = rows.annotate(attempts_text=Cast("attempts", TextField())).filter(
        attempts_text__contains=f'"{HEDGE_LOSER}"'
    )
    for stored_attempts in candidates.values_list("attempts", flat=True).iterator():
        yield from hedge_losers_in(stored_attempts)


def token_counts(attempt: Attempt) -> tuple[int, int, int, int]:
    """Input tokens (uncached, cache reads, cache writes) and output tokens."""
    return (
        attempt.input_tokens or 0,
        attempt.cache_read_tokens or 0,
        attempt.cache_write_tokens or 0,
        attempt.output_tokens or 0,
    )
