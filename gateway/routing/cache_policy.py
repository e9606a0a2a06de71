"""Whether and how a route caches responses, as one value that a row stores as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

# LiteLLM's default where a file has no ttl (its in-process cache; docs.litellm.ai, 2026-11).
TTL_S = 600
MAX_TTL_S = 30 * 86_400
MAX_BYTES = 1024 * 1024

Scope = Literal["key", "team", "route"]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL_S)]


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a route caches responses. A route without a policy caches none.

    Attributes:
        ttl_s: how long a response may be served from the cache, in seconds.
        scope: who shares a cached response: the requesting `key`, its `team`, or every key
            of the `route`. A key without a team is a scope of its own.
        namespace: separates cached responses from those of other namespaces.
        dialects: whether a cached response also serves the same request in another dialect,
            or complete instead of streamed (`all`), or only in the `same` form. With `same`,
            a request that is passed through is not parsed for its cache key.
        deterministic: cache only requests with temperature 0.
        opt_in: cache only requests with `cache: {"use-cache": true}`.
        verbs: what is cached: responses (`generate`), embeddings (`embed`), or both.
        max_bytes: a larger response is not cached.
        single_flight: of equal concurrent requests in a process only the first is sent; the
            others wait for its response.
        semantic: the route that computes the embedding of a prompt; empty: only equal
            requests match.
        threshold: minimum cosine similarity of two prompts in semantic caching.
    """

    ttl_s: Seconds = TTL_S
    scope: Scope = "key"
    namespace: Annotated[str, msgspec.Meta(max_length=100)] = ""
    dialects: Literal["all", "same"] = "all"
    deterministic: bool = False
    opt_in: bool = False
    verbs: tuple[Literal["generate", "embed"], ...] = ("generate", "embed")
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=64 * 1024 * 1024)] = MAX_BYTES
    single_flight: bool = False
    semantic: str = ""
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95


def parse_cache_policy(value: Any) -> CachePolicy | None:
    """The policy in a row's JSON; None if it is empty. Raises ValueError naming the field."""
    if value in ({}, None):
        return None
    try:
        return msgspec.convert(value, CachePolicy)
    except msgspec.ValidationError as error:
        raise ValueError(f"cache: {error}") from None
