"""Generates a history for the request log: a busy month, in bulk.

The rows are written like live ones (`store.write`), so that they have every index and
realistic variety; only their full-text documents are generated directly.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection, transaction

from gateway import store
from gateway.fulltext import index_text
from gateway.models import RequestLog, UnindexedRequest
from gateway.relay.exchange.log_record import Attempt, LogRecord

BATCH_ROWS = 5000
SPAN_S = 30 * 86400.0

# provider, dialect, model, share of the traffic
TARGETS = (
    ("openai", "openai_chat", "gpt-mini", 24),
    ("openai", "openai_chat", "gpt-nano", 14),
    ("anthropic", "anthropic_messages", "claude-sonnet", 22),
    ("anthropic", "anthropic_messages", "claude-haiku", 9),
    ("deepseek", "openai_chat", "deepseek-chat", 12),
    ("gemini", "openai_chat", "gemini-flash", 8),
    ("ollama", "openai_chat", "llama3.3:8b", 7),
    ("mistral", "openai_chat", "mistral-small", 3),
    ("groq", "openai_chat", "llama-70b", 1),
)
ROUTES = ("smart-default", "cheap", "claude-sonnet-4-5", "claude-haiku-4-5", "gpt-mini", "vision")
KEYS = tuple(f"sk-dgm-{name}" for name in ("mira", "batch", "agents", "ci", "notebook", "bot"))
# status, outcome, error kind, per mille
FAILURES = (
    (429, "error", "rate_limit", 14),
    (400, "error", "invalid_request", 8),
    (499, "client_closed", "", 7),
    (502, "error", "upstream_error", 4),
    (504, "error", "timeout", 2),
    (200, "cut", "upstream_error", 2),
    (503, "error", "overloaded", 1),
)
END_USERS = 2000
COMMON_TERMS = (
    "the",
    "a",
    "of",
    "to",
    "in",
    "and",
    "please",
    "list",
    "show",
    "explain",
    "file",
    "test",
)
RARE_TERMS = tuple(f"{a}{b}" for a in ("quartz", "lumen", "basil", "otter") for b in range(250))


def seed(count: int, *, until: float, span_s: float = SPAN_S, draw: int = 1) -> Iterator[int]:
    """Write `count` rows that end at `until` (unix seconds); yield the number written so far."""
    random_ = random.Random(draw)  # noqa: S311 - an example, not a secret
    step = span_s / max(count, 1)
    written_count = 0
    while written_count < count:
        size = min(BATCH_ROWS, count - written_count)
        first = until - span_s + written_count * step
        _write_records(
            [_random_record(random_, written_count + n, first + n * step) for n in range(size)],
            random_,
        )
        written_count += size
        yield written_count


def _write_records(records: list[LogRecord], random_: random.Random) -> None:
    with transaction.atomic():
        last_pk = RequestLog.objects.newest_pk()
        store.write(records)
        ids = RequestLog.objects.newer_than_row(last_pk).order_by("pk").values_list("pk", flat=True)
        rows = [(pk, index_text(_random_text(random_))) for pk in ids]
        value = "to_tsvector('simple', %s)" if connection.vendor == "postgresql" else "%s"
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO gateway_requesttext (rowid, document) VALUES (%s, {value})",  # noqa: S608
                rows,
            )
        UnindexedRequest.objects.filter(pk__gt=last_pk).delete()


def _random_text(random_: random.Random) -> str:
    terms = random_.choices(COMMON_TERMS, k=12)
    terms.append(RARE_TERMS[int(random_.random() ** 3 * len(RARE_TERMS))])
    return " ".join(terms)


def _random_record(random_: random.Random, number: int, timestamp: float) -> LogRecord:
    target = random_.choices(TARGETS, weights=_WEIGHTS)[0]
    record = _successful_record(random_, number, timestamp, target)
    roll = random_.random() * 1000
    for status, outcome, kind, share in FAILURES:
        roll -= share
        if roll < 0:
            return _failed_record(record, status, outcome, kind)
    return record


_WEIGHTS = [share for *_, share in TARGETS]


def _successful_record(
    random_: random.Random, number: int, timestamp: float, target: Any
) -> LogRecord:
    provider, dialect, model, _ = target
    first = 150 + random_.expovariate(1 / 450)
    tokens_in, tokens_out = int(random_.expovariate(1 / 4000)) + 20, random_.randrange(20, 900)
    duration = first + tokens_out * random_.uniform(6, 16)
    label = f"{provider}/{model}"
    claude = random_.random() < 0.4
    session = f"session-{number // 40}-{random_.randrange(3)}" if claude else ""
    cached_tokens = int(tokens_in * 0.8) if claude else 0
    attempt = Attempt(
        target=label,
        provider=provider,
        model=model,
        dialect=dialect,
        started_ms=1.0,
        first_byte_ms=first,
        ended_ms=duration,
        status=200,
    )
    return LogRecord(
        id=f"req_seed{number:08d}",
        started_at=timestamp,
        endpoint="/v1/messages" if claude else "/v1/chat/completions",
        client_dialect="anthropic_messages" if claude else "openai_chat",
        upstream_dialect=dialect,
        key_prefix=random_.choice(KEYS),
        route=(route := random_.choice(ROUTES)),
        requested_model=route,
        provider=provider,
        model=model,
        stream=claude,
        passthrough=(dialect == "anthropic_messages") == claude,
        status=200,
        finish="stop",
        duration_ms=round(duration, 2),
        first_token_ms=round(first, 2),
        overhead_ms=1.2,
        input_tokens=tokens_in - cached_tokens,
        cache_read_tokens=cached_tokens,
        output_tokens=tokens_out,
        usage_source="reported",
        cost_usd=Decimal(tokens_in + 4 * tokens_out) / Decimal(1_000_000),
        price_source="list",
        attempts=[attempt],
        session=session,
        end_user=f"user-{number * 7919 % END_USERS}" if number % 3 == 0 else "",
        user_agent="claude-cli/2.1" if claude else "openai-python/3.52",
        client_ip="127.0.0.1",
        bodies_omitted="off",
    )


def _failed_record(record: LogRecord, status: int, outcome: str, kind: str) -> LogRecord:
    attempt = msgspec.structs.replace(
        record.attempts[0], status=status, error_kind=kind or None, error=kind or None
    )
    return msgspec.structs.replace(
        record,
        status=status,
        outcome=outcome,
        error_kind=kind,
        error=f"the upstream said: {kind}" if kind else "",
        finish="",
        first_token_ms=None,
        output_tokens=0,
        cost_usd=None,
        attempts=[attempt],
    )
