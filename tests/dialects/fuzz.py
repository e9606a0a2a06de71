"""Hostile input of a dialect as Hypothesis strategies; `test_fuzz` sends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st

from gateway.canon.traits import Traits
from gateway.dialects.base import Dialect, ResponseContext
from gateway.framing.sse import Frame

Strategy = st.SearchStrategy[Any]
_NO_NAME = st.just("")
CONTEXT = ResponseContext(id="1", created=1700000000, model="up", include_usage=True)


@dataclass(frozen=True, kw_only=True)
class FuzzInput:
    """What a provider or a client of a dialect may send, more or less in its form.

    Attributes:
        traits: the target, for rendering requests and parsing responses.
        values: any JSON.
        streams: the frames of a provider's stream.
        responses: a provider's complete response.
        requests: a client's request body.
        embed_requests: a client's request for embeddings; None without any.
        context: the context of the client's renderer.
    """

    dialect: Dialect
    traits: Traits
    values: Strategy
    streams: Strategy
    responses: Strategy
    requests: Strategy
    embed_requests: Strategy | None = None
    context: ResponseContext = CONTEXT


def json_values(keys: Sequence[str], words: Sequence[str] = ("", "x")) -> Strategy:
    """Draw JSON with these keys and strings at any depth."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(words)
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(keys), inner, max_size=5)
        ),
        max_leaves=25,
    )


def frames_of(values: Strategy, names: Strategy = _NO_NAME) -> Strategy:
    """Draw frames with one of these values, or with any bytes."""
    data = values.map(msgspec.json.encode) | st.binary(max_size=40)
    return st.builds(Frame, names, data)
