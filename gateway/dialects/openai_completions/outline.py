"""What must hold of a completion request that passes through unread."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.dialects.outline import checker

_Count = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_Share = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Outline(msgspec.Struct):
    """The fields whose types are fixed."""

    prompt: str | list[Any]
    suffix: str | None = None
    max_tokens: _Count | None = None
    n: _Count | None = None
    best_of: _Count | None = None
    logprobs: _Count | None = None
    temperature: _Share | None = None
    top_p: _Share | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None


check = checker(Outline)
