"""The types that a passthrough embeddings request must have."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.shared.passthrough_schema import passthrough_checker


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed."""

    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


check = passthrough_checker(PassthroughSchema)
