"""Values of client spans, and the limits of one request that sends them."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

# Size of one request after decompression, and the number of its items.
MAX_BYTES = 8 * 1024 * 1024
MAX_ITEMS = 10_000
MAX_NAME_CHARS = 200
MAX_ERROR_CHARS = 2000
MAX_ID_CHARS = 64
MAX_SESSION_CHARS = 128
# Attributes of one span: how many, and the length of each as JSON.
MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_CHARS = 1000
# Rejected items that an error message names.
MAX_NAMED = 10

Kind = Literal["agent", "generation", "tool", "handoff", "guardrail", "custom"]
KINDS: tuple[Kind, ...] = ("agent", "generation", "tool", "handoff", "guardrail", "custom")
_ID = re.compile(rf"[A-Za-z0-9_\-]{{1,{MAX_ID_CHARS}}}")


class ClientSpan(msgspec.Struct, kw_only=True):
    """One span of a client.

    Attributes:
        parent_id: empty for the root of a trace.
        started_at: unix seconds; `ended_at` is None for a span that has not ended.
        error: empty unless it failed; a failed span without a message has `error`.
        model: the model that a generation requested; empty if unknown.
        response_id: the id of the response of a generation; empty if unknown.
        input_tokens, output_tokens: None means unknown.
        attributes: attributes that describe the span, without content.
        content: inputs, outputs and other text of users, by name.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str = ""
    kind: Kind = "custom"
    started_at: float
    ended_at: float | None = None
    error: str = ""
    model: str = ""
    response_id: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    session: str = ""
    attributes: dict[str, Any] = {}
    content: dict[str, Any] = {}


class ClientTrace(msgspec.Struct, kw_only=True):
    """Metadata of a trace; empty fields are unknown.

    Attributes:
        session: id that the traces of one conversation share.
        source: the format in which it arrived, `agents_sdk` or `otlp`.
    """

    trace_id: str
    name: str = ""
    session: str = ""
    source: str = ""


class Rejection(msgspec.Struct, frozen=True):
    """An item that is not stored: its path in the request, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ParsedSpans(msgspec.Struct, kw_only=True):
    """The valid items of one request, and the rejected ones."""

    traces: dict[str, ClientTrace] = {}
    spans: list[ClientSpan] = []
    rejections: list[Rejection] = []

    def trace(self, trace_id: str, source: str) -> ClientTrace:
        """The trace with this id, added if it is new."""
        trace = self.traces.get(trace_id)
        if trace is None:
            trace = self.traces[trace_id] = ClientTrace(trace_id=trace_id, source=source)
        return trace


class SpanBatch(msgspec.Struct, kw_only=True):
    """Spans to store from one request, without secrets, and the key that sent them.

    `packed` has the content of each span as JSON: None for a span without content, empty where
    it is not stored.
    """

    traces: list[ClientTrace]
    spans: list[ClientSpan]
    packed: list[bytes | None]
    key_id: int = 0
    key_prefix: str = ""


class InvalidItem(ValueError):
    """An item of a request is invalid: `path` within the item, and why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


class TooManyValues(ValueError):
    """A request has more attributes than are converted."""

    def __init__(self) -> None:
        super().__init__(
            "too many attributes in one request; set a smaller batch size in the exporter"
        )


class TooManyItems(ValueError):
    """A request has more than MAX_ITEMS items."""

    def __init__(self) -> None:
        super().__init__(
            f"more than {MAX_ITEMS} spans in one request; set a smaller batch size in the exporter"
        )


class MalformedBody(ValueError):
    """The body is not in the format of the endpoint; says what is wrong."""


def describe_rejections(rejections: list[Rejection]) -> str:
    """A text with the first MAX_NAMED rejected items, and the number of others."""
    rejected_items = "; ".join(map(str, rejections[:MAX_NAMED]))
    return (
        rejected_items
        if len(rejections) <= MAX_NAMED
        else f"{rejected_items}; and {len(rejections) - MAX_NAMED} more"
    )


def check_id(value: Any, path: str) -> str:
    """An id of a trace or span. Raises InvalidItem."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        format_hint = f"1 to {MAX_ID_CHARS} letters, digits, `_` or `-`"
        raise InvalidItem(path, f"must be an id of {format_hint}")
    return value


def truncate_text(value: Any, limit: int) -> str:
    """A value as text of at most `limit` characters; empty if it is not a string."""
    return value[:limit] if isinstance(value, str) else ""


def token_count(value: Any) -> int | None:
    """The value as a number of tokens; None if it is not an integer from 0 to the maximum."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        return None
    return value


def bounded_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """The first MAX_ATTRIBUTES attributes; long values become their beginning as text."""
    result: dict[str, Any] = {}
    for name, value in attributes.items():
        if len(result) == MAX_ATTRIBUTES:
            break
        result[name[:MAX_NAME_CHARS]] = _bounded_value(value)
    return result


def _bounded_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)[:MAX_ATTRIBUTE_CHARS]
    if isinstance(value, str):
        return value[:MAX_ATTRIBUTE_CHARS]
    encoded_value = msgspec.json.encode(value).decode()
    return (
        value if len(encoded_value) <= MAX_ATTRIBUTE_CHARS else encoded_value[:MAX_ATTRIBUTE_CHARS]
    )
