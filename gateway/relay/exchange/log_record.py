"""One finished request as the journal carries it to the store."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gateway.relay.exchange.stored_response import StoredResponse

# The `error_kind` of an attempt that was given up because another target was faster.
HEDGE_LOSER = "cancelled"


class Attempt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One call of one target.

    Times are milliseconds since the request arrived. `error_kind` is None for the
    attempt that answered; `skipped` says why a candidate was not called at all. Tokens and
    dollars are those of one that is LOST, which are not the request's own. The bytes
    are those of bodies, and known for calls that are passed on unread.
    """

    target: str
    provider: str
    model: str
    dialect: str
    started_ms: float = 0.0
    first_byte_ms: float | None = None
    ended_ms: float | None = None
    status: int | None = None
    error_kind: str | None = None
    error: str | None = None
    upstream_id: str | None = None
    skipped: str | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    usage_source: str = ""
    cost_usd: Decimal | None = None
    price_source: str = ""
    charged_usd: Decimal | None = None
    sent_bytes: int | None = None
    received_bytes: int | None = None


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A piece of a stream as it came: milliseconds since the request, and how many bytes."""

    received_ms: float
    size: int


class Bodies(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went over the four wires, secrets masked; None where not stored.

    `upstream_response` and `client_response` of a stream are its bytes joined;
    the chunk lists say how to cut them and when each piece came. `same_response`
    marks a passthrough: the client got the upstream's bytes, which alone are held.
    `truncated` names the bodies that were cut at the limit.
    """

    client_request: bytes | None = None
    upstream_request: bytes | None = None
    upstream_response: bytes | None = None
    client_response: bytes | None = None
    upstream_chunks: list[Chunk] = []
    client_chunks: list[Chunk] = []
    client_headers: dict[str, str] = {}
    upstream_headers: dict[str, str] = {}
    response_headers: dict[str, str] = {}
    same_response: bool = False
    truncated: list[str] = []


class LogRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The row of the request log, and apart from it the bodies.

    Attributes:
        id: the gateway's own id of the request; unique, so a replay is idempotent.
        client_request_id: the id that the client chose, which may be any other request's too.
        started_at: unix seconds.
        status: the HTTP status the client saw (499: it left before one).
        outcome: `ok`, `error`, `cut` (a stream broke), `client_closed`.
        duration_ms, first_token_ms, overhead_ms: whole time, time to the first
            content, and the gateway's own part (whole minus waiting for upstream).
        chunk_gap_ms: mean time between the chunks of a stream; None with fewer than two.
        prompt_tokens ... reasoning_tokens: None means unknown.
        usage_source: `reported`, how it was counted here (`usage_estimate`), or empty.
        cost_usd: what the provider charges; None means unknown, never 0.
        charged_usd: what is charged for it: the same times the margin that holds.
        service_tier: in which it was served, where the answer or else the request says so.
        tags: those of the request and of its key.
        adaptations: rows of `canon.adaptation.adaptation_rows`.
        session: what groups requests of one conversation, where a client says so.
        variant: the label of the target that answered, where a route compares some.
        shadow_of: the request that this one repeats, unseen by its client.
        bodies_omitted: why `bodies` is None: `off` (a switch), `rejected` (before its key and
            route were known), `pressure` (the queue was full), `size` (too large for the
            journal's file); empty where the reason is unknown.
        cache: `hit`, `semantic`, `miss` or `bypass` where the route keeps answers, else empty.
        cache_age_s: seconds since a kept answer was made.
        cache_similarity: how alike the question was to the one that a `semantic` answer was for.
        stored_response: the response to store, where a client may refer to it by its id.
        saved_usd: what a kept answer cost when it was made; None means unknown.
    """

    id: str
    started_at: float
    client_request_id: str = ""
    endpoint: str = ""
    client_dialect: str = ""
    upstream_dialect: str = ""
    key_id: int | None = None
    key_prefix: str = ""
    route: str = ""
    requested_model: str = ""
    provider: str = ""
    model: str = ""
    target_id: int | None = None
    stream: bool = False
    passthrough: bool = False
    status: int = 0
    outcome: str = "ok"
    error_kind: str = ""
    error: str = ""
    finish: str = ""
    duration_ms: float = 0.0
    first_token_ms: float | None = None
    overhead_ms: float | None = None
    chunk_gap_ms: float | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_source: str = ""
    cost_usd: Decimal | None = None
    price_source: str = ""
    charged_usd: Decimal | None = None
    service_tier: str = ""
    tags: list[str] = []
    attempts: list[Attempt] = []
    adaptations: list[dict[str, Any]] = []
    session: str = ""
    user_agent: str = ""
    client_ip: str = ""
    upstream_id: str = ""
    bodies_omitted: str = ""
    variant: str = ""
    shadow_of: str = ""
    cache: str = ""
    cache_age_s: float | None = None
    cache_similarity: float | None = None
    saved_usd: Decimal | None = None
    bodies: Bodies | None = None
    stored_response: StoredResponse | None = None
