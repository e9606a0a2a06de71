"""The request log as JSON: keyset pages, filters and full-text search; bodies separately."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import msgspec
from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.errors import HttpError

from gateway import store
from gateway.api.auth import BodyReader, Reader, may_read_request_bodies
from gateway.api.pages import MAX_ID, page_of_rows
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Bodies
from gateway.store.field_values import in_utc

router = Router(tags=["requests"])


# `RequestLog.bodies_omitted` -> the reason as text.
NO_BODIES = {
    "off": "body logging was off for its key, its route or the gateway",
    "rejected": "the gateway rejected the request before it selected a route",
    "pressure": "the log queue was full, and bodies are dropped before rows",
    "size": "the process ended before writing them, and they were too large for the journal file",
    "": "they were never recorded, or have been deleted since",
}


class Filters(Schema):
    """Filters of the list. `cursor` is the `next` of the previous page; `q` searches bodies."""

    cursor: int | None = None
    limit: int = 50
    route: str | None = None
    key: str | None = None
    provider: str | None = None
    model: str | None = None
    status: str | None = None
    outcome: str | None = None
    error_kind: str | None = None
    session: str | None = None
    end_user: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    q: str | None = None


class ScoreOut(Schema):
    """A score of a request: a number from 0 to 1, a comment, or both.

    `feedback` is the score that thumbs up (1) and thumbs down (0) set.
    """

    id: int
    name: str
    value: float | None
    comment: str
    scored_by: str
    updated_at: dt.datetime


class RequestOut(Schema):
    """A row of the log. Null means unknown, never 0; durations are in milliseconds.

    `overhead_ms` is the gateway's own time until the first byte, excluding provider time and the
    pauses before retries.
    """

    id: int
    request_id: str
    client_request_id: str
    trace_id: str
    started_at: dt.datetime
    endpoint: str
    client_dialect: str
    upstream_dialect: str
    key_id: int | None
    key_prefix: str
    route: str
    requested_model: str
    provider: str
    model: str
    stream: bool
    passthrough: bool
    status: int
    outcome: str
    error_kind: str
    error: str
    finish: str
    duration_ms: float
    first_token_ms: float | None
    overhead_ms: float | None
    input_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    usage_source: str
    cost_usd: Decimal | None
    price_source: str
    charged_usd: Decimal | None
    service_tier: str
    tags: list[str]
    cache: str
    cache_age_s: float | None
    cache_similarity: float | None
    saved_usd: Decimal | None
    attempts: list[dict[str, Any]]
    adaptations: list[dict[str, Any]]
    guardrails: list[dict[str, Any]]
    session: str
    end_user: str
    user_agent: str
    client_ip: str
    upstream_id: str
    scores: list[ScoreOut]


class Page(Schema):
    """Rows, newest first, and the cursor of the next page; None at the end."""

    items: list[RequestOut]
    next: int | None


class BodiesOut(Schema):
    """Client and upstream requests and responses; `reason` explains why there are none."""

    stored: bool
    reason: str = ""
    client_request: str | None = None
    upstream_request: str | None = None
    upstream_response: str | None = None
    client_response: str | None = None
    passthrough_response: bool = False
    upstream_chunks: list[tuple[float, int]] = []
    client_chunks: list[tuple[float, int]] = []
    client_headers: dict[str, str] = {}
    upstream_headers: dict[str, str] = {}
    response_headers: dict[str, str] = {}
    truncated: list[str] = []


@router.get("/requests", auth=Reader(), response=Page)
def list_requests(request: HttpRequest, filters: Query[Filters]) -> dict[str, Any]:
    """A page of the request log. Searching bodies (`q`) requires permission to read them."""
    if filters.q and not may_read_request_bodies(request.auth):  # type: ignore[attr-defined]
        raise HttpError(403, BodyReader.reason)
    columns = filters.dict(exclude={"cursor", "limit", "q", "since", "until"})
    cursor = min(filters.cursor, MAX_ID) if filters.cursor is not None else None
    rows = RequestLog.objects.matching(
        **columns,
        since=filters.since and in_utc(filters.since),
        until=filters.until and in_utc(filters.until),
        text=filters.q,
    ).older_than_row(cursor)
    items, next_cursor = page_of_rows(rows.prefetch_related("scores").newest, filters.limit)
    return {"items": items, "next": next_cursor}


@router.get("/requests/{request_id}", auth=Reader(), response=RequestOut)
def get_request(request: HttpRequest, request_id: str) -> RequestLog:
    """One request by row ID or request ID, or the newest one with a client's own ID."""
    return _find_request(request_id)


@router.get("/requests/{request_id}/bodies", auth=BodyReader(), response=BodiesOut)
def get_bodies(request: HttpRequest, request_id: str) -> dict[str, Any]:
    """Client request, upstream request, upstream response and client response."""
    return bodies_of(_find_request(request_id))


def bodies_of(row: RequestLog) -> dict[str, Any]:
    """The bodies of a request as BodiesOut, or why there are none."""
    try:
        bodies = store.load_bodies(row.pk)
    except ValueError as error:
        return {"stored": False, "reason": str(error)}
    if bodies is None:
        reason = NO_BODIES.get(row.bodies_omitted, NO_BODIES[""])
        return {"stored": False, "reason": f"the bodies of this request are not stored: {reason}"}
    return _bodies_item(bodies)


def _find_request(request_id: str) -> RequestLog:
    row = RequestLog.objects.by_id(request_id)
    if row is None:
        raise HttpError(404, "there is no such request in the log")
    return row


def _bodies_item(bodies: Bodies) -> dict[str, Any]:
    chunks = bodies.upstream_chunks if bodies.same_response else bodies.client_chunks
    return {
        "stored": True,
        **store.body_texts(bodies),
        "passthrough_response": bodies.same_response,
        "upstream_chunks": [msgspec.structs.astuple(chunk) for chunk in bodies.upstream_chunks],
        "client_chunks": [msgspec.structs.astuple(chunk) for chunk in chunks],
        "client_headers": bodies.client_headers,
        "upstream_headers": bodies.upstream_headers,
        "response_headers": bodies.response_headers,
        "truncated": bodies.truncated,
    }
