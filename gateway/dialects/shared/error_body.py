"""Bodies of error responses that are not in a known API's format."""

from __future__ import annotations


def plain_error_message(body: bytes, status: int | None) -> str:
    """The message for a body without a known message field: its text, or a description."""
    text = body[:500].decode("utf-8", "replace").strip()
    number = f" {status}" if status is not None else ""
    if not text:
        return f"the upstream responded{number} without an error message"
    if text.startswith("<"):
        return f"the upstream responded{number} with an HTML page instead of an API response"
    return text
