"""Whether and how a route keeps its answers, as one value that a row holds as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

# LiteLLM's own, where a file says no ttl (its in-process cache; docs.litellm.ai, 2026-11).
TTL_S = 600
MAX_TTL_S = 30 * 86_400
MAX_BYTES = 1024 * 1024

Scope = Literal["key", "team", "route"]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=MAX_TTL_S)]


class CachePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a route keeps answers. A route without one keeps none.

    Attributes:
        ttl_s: how long an answer may be given again.
        scope: who may get it: the `key` that asked, its `team`, or every key of the
            `route`. A key without a team is a scope of its own.
        namespace: keeps answers apart from those of another namespace.
        dialects: whether the same question in another dialect, or whole instead of streamed,
            gets the same answer: in `all`, or only as it was asked, in its `own`. That
            spares the parse of what is kept, where it passes through unread.
        deterministic: only for requests with the temperature 0; else for all, as their
            clients asked a route that keeps answers.
        opt_in: only for requests that say `cache: {"use-cache": true}`.
        verbs: what is kept: answers (`generate`), vectors (`embed`), or both.
        max_bytes: a larger answer is not kept.
        single_flight: of equal requests at the same time in a process only the first is
            sent; the others wait for its answer.
        semantic: the route that makes vectors of questions; empty: only equal questions
            get the same answer.
        threshold: how alike two questions must be for that, as the cosine of their vectors.
    """

    ttl_s: Seconds = TTL_S
    scope: Scope = "key"
    namespace: Annotated[str, msgspec.Meta(max_length=100)] = ""
    dialects: Literal["all", "own"] = "all"
    deterministic: bool = False
    opt_in: bool = False
    verbs: tuple[Literal["generate", "embed"], ...] = ("generate", "embed")
    max_bytes: Annotated[int, msgspec.Meta(ge=1, le=64 * 1024 * 1024)] = MAX_BYTES
    single_flight: bool = False
    semantic: str = ""
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.95


def parse_cache_policy(value: Any) -> CachePolicy | None:
    """What a row's JSON says; None where it is empty. Raises ValueError naming the field."""
    if value in ({}, None):
        return None
    try:
        return msgspec.convert(value, CachePolicy)
    except msgspec.ValidationError as error:
        raise ValueError(f"cache: {error}") from None
