"""The types that a passthrough completion request must have."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.dialects.shared.passthrough_schema import passthrough_checker

_NonNegativeInt = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_BoundedFloat = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed."""

    prompt: str | list[Any]
    suffix: str | None = None
    max_tokens: _NonNegativeInt | None = None
    n: _NonNegativeInt | None = None
    best_of: _NonNegativeInt | None = None
    logprobs: _NonNegativeInt | None = None
    temperature: _BoundedFloat | None = None
    top_p: _BoundedFloat | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None


check = passthrough_checker(PassthroughSchema)
