"""What must hold of a request for vectors that passes through unread."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.dialects.outline import checker


class Outline(msgspec.Struct):
    """The fields whose types are fixed."""

    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str | None = None
    user: str | None = None


check = checker(Outline)
