"""HTTP headers as ASGI has them: pairs of bytes, with names in lower case."""

from __future__ import annotations

Header = tuple[bytes, bytes]
JSON_HEADER: Header = (b"content-type", b"application/json")
