"""The log record of one request, as the journal passes it to the store."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gateway.canon.response import sum_prompt_tokens
from gateway.relay.exchange.guard_state import GuardrailResult
from gateway.relay.exchange.stored_response import StoredResponse

# The `error_kind` of an attempt that was cancelled because another target was faster.
HEDGE_LOSER = "hedge_loser"


class SearchRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One web search that the gateway ran; `error` is set if it failed."""

    query: str
    results: int = 0
    duration_ms: float = 0.0
    error: str = ""


class UpstreamCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One of several upstream calls of an attempt: a round of searches, or one of `n` choices.

    Its tokens and its cost are part of the request's own. `searches` followed its response.
    """

    started_ms: float = 0.0
    ended_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    searches: list[SearchRecord] = []


class Attempt(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One call of one target.

    Times are milliseconds since the request arrived. `error_kind` is None for the
    attempt that succeeded; `skipped` is why a candidate was not called at all. Tokens and
    dollars are set only for a hedge loser, and are not part of the request's own.
    `sent_bytes` and `received_bytes` are body sizes, known for passthrough calls. `span_id` is
    the span that the upstream got as its parent, where spans are recorded. `calls` are its
    upstream calls where it needed several; empty for a single one.
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
    span_id: str = ""
    calls: list[UpstreamCall] = []


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One chunk of a stream: milliseconds since the request arrived, and its size in bytes."""

    received_ms: float
    size: int


class Bodies(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The four bodies of a request, secrets masked; None if not stored.

    `upstream_response` and `client_response` of a stream are its bytes joined;
    the chunk lists have the size and time of each chunk. `same_response`
    marks a passthrough: the client got the upstream's bytes, which are stored only once.
    `truncated` lists the bodies that were cut at the limit.

    `shared_ends` is how many bytes at the start and at the end of `upstream_request` are the
    same in `client_request` and left out: a passed request differs in little but the model's
    name, and an agent's has a hundred kilobytes. `restored` has all of them.
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
    shared_ends: tuple[int, int] = (0, 0)

    def restored(self) -> Bodies:
        """The bodies with the whole upstream request."""
        start, end = self.shared_ends
        client, upstream = self.client_request, self.upstream_request
        if not (start or end) or client is None or upstream is None:
            return self
        restored_body = client[:start] + upstream + client[len(client) - end :]
        return msgspec.structs.replace(self, upstream_request=restored_body, shared_ends=(0, 0))


class LogRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The row of the request log, and its bodies.

    Attributes:
        id: the gateway's own id of the request; unique, so a replay is idempotent.
        client_request_id: the id that the client sent, which need not be unique.
        started_at: unix seconds.
        status: the HTTP status sent to the client (499: it disconnected before one).
        outcome: `ok`, `error`, `cut` (a stream broke off), `client_closed`.
        duration_ms, first_token_ms, overhead_ms: total time, time to the first
            content, and the gateway's own part: the time to the first byte without waiting
            for upstreams and without the pauses before retries.
        chunk_gap_ms: mean time between the chunks of a stream; None with fewer than two.
        input_tokens ... reasoning_tokens: None means unknown.
        usage_source: `reported`, how it was estimated (`usage_estimate`), or empty.
        cost_usd: what the provider charges; None means unknown, never 0.
        charged_usd: what is charged for it: the cost times the markup.
        service_tier: the service tier in the response, else in the request; empty if unknown.
        tags: tags of the request and of its key.
        adaptations: rows of `canon.adaptation.adaptation_rows`.
        session: id shared by the requests of one conversation; empty if none was sent.
        end_user: the end user that the client names; empty if it names none.
        variant: the `variant` label of the target that responded; empty without one.
        shadow_of: the request that this one repeats as shadow traffic.
        bodies_omitted: why `bodies` is None: `off` (a setting), `rejected` (before a route
            was selected), `pressure` (the queue was full), `size` (too large for the journal's
            file); empty if the reason is unknown.
        cache: `hit`, `semantic`, `miss` or `bypass` on a route with a cache, else empty.
        cache_age_s: age of the cached response in seconds.
        cache_similarity: similarity of the two prompts on a `semantic` hit.
        stored_response: the response to store for retrieval by its id.
        saved_usd: the original cost of a cached response; None means unknown.
        guardrails: results of the guardrails, in the order in which they ran.
        trace_id, span_id, parent_span_id: the request's span, where spans are recorded; else
            the trace and the span of the client's `traceparent`, and no `span_id`.
        response_id: the id of the response in the Responses API, if the gateway created it.
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
    end_user: str = ""
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
    guardrails: list[GuardrailResult] = []
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    response_id: str = ""
    bodies: Bodies | None = None
    stored_response: StoredResponse | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """All tokens of the prompt, cached and written ones included; None if none is known."""
        return sum_prompt_tokens(self.input_tokens, self.cache_read_tokens, self.cache_write_tokens)
