"""Passthrough calls: their state, and the usage and cost that their responses report."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gateway.canon.response import Usage
from gateway.framing.multipart import Part
from gateway.providers.passthrough_catalog import Operation
from gateway.providers.profile import Price
from gateway.providers.unit_prices import UnitPrice
from gateway.relay.exchange.spool import Spool


class PassthroughState:
    """The state of a passthrough call: its operation, form and resource id.

    Attributes:
        operation: the operation; None if the path does not allow the method.
        allowed_methods: the methods of the path, for the 405 response.
        spool: stores the large parts of a form; None for other bodies.
        resource_id: the provider's id of the requested resource; empty if the path has none.
        version: the `v1` or `v2` of the path.
        owner_key_id: the API key that owns the resources; None if every resource is visible.
        form: the parts of a form in order; None for other bodies.
        has_checked_requests: whether the form uploads a file whose batch requests were checked.
        boundary: the multipart boundary of the form.
        query: the query parameters to send upstream.
        rerank_format: the request format of a rerank call.
        logged_body: the upstream request body as it is logged.
        sent_bytes: the size of the upstream request body.
        usage: the usage that the response reports.
    """

    __slots__ = (
        "allowed_methods",
        "boundary",
        "form",
        "has_checked_requests",
        "logged_body",
        "operation",
        "owner_key_id",
        "query",
        "rerank_format",
        "resource_id",
        "sent_bytes",
        "spool",
        "usage",
        "version",
    )

    def __init__(self, operation: Operation | None, allowed_methods: str, version: str) -> None:
        self.operation = operation
        self.allowed_methods = allowed_methods
        self.version = version
        self.spool: Spool | None = None
        self.resource_id = ""
        self.owner_key_id: int | None = None
        self.form: list[Part] | None = None
        self.has_checked_requests = False
        self.boundary = ""
        self.query: tuple[tuple[str, str], ...] = ()
        self.rerank_format = ""
        self.logged_body = b""
        self.sent_bytes = 0
        self.usage: PassthroughUsage | None = None


# --- usage ------------------------------------------------------------------------------
# Tokens if the response reports them; seconds or characters if the price is per unit of those.
# A cost without a known price is unknown, never zero.

_MILLION = Decimal(1_000_000)
_HOUR_S = Decimal(3600)


class PassthroughUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Reported usage; None where it is not reported.

    `usage` has all tokens; `input_image`, `input_audio` and `output_image` are parts of them.
    `seconds` of audio, `characters` of text for speech. `cost` is the cost and its source of a
    session whose responses are priced one by one.
    """

    usage: Usage | None = None
    input_image: int = 0
    input_audio: int = 0
    output_image: int = 0
    seconds: Decimal | None = None
    characters: int | None = None
    cost: tuple[Decimal | None, str] | None = None


class _Details(msgspec.Struct):
    image_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    seconds: float | None = None
    cost: float | None = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _BilledUnits(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    tokens: _BilledUnits | None = None


class _Response(msgspec.Struct):
    usage: _Usage | None = None
    duration: float | None = None
    meta: _Meta | None = None


_decoder = msgspec.json.Decoder(_Response)


def parse_passthrough_usage(family: str, data: bytes) -> PassthroughUsage | None:
    """The usage in a response or in one of its events; None if it has none.

    Everything but the counts is skipped without decoding, including images in base64.
    """
    try:
        response = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if response.usage is not None:
        return _usage_from_counts(family, response.usage)
    if response.duration is not None and response.duration >= 0:
        return PassthroughUsage(seconds=Decimal(str(response.duration)))
    tokens = response.meta.tokens if response.meta is not None else None
    if tokens is not None and tokens.input_tokens is not None:
        return PassthroughUsage(usage=Usage(input=max(0, int(tokens.input_tokens)), output=0))
    return None


def _usage_from_counts(family: str, reported_usage: _Usage) -> PassthroughUsage:
    seconds = Decimal(str(reported_usage.seconds)) if reported_usage.seconds is not None else None
    input_tokens = _first_present(reported_usage.input_tokens, reported_usage.prompt_tokens)
    output_tokens = _first_present(reported_usage.output_tokens, reported_usage.completion_tokens)
    if input_tokens is None and family in {"rerank", "moderations"}:
        input_tokens, output_tokens = reported_usage.total_tokens, 0
    if input_tokens is None and output_tokens is None:
        return PassthroughUsage(seconds=seconds)
    input_details = (
        reported_usage.input_tokens_details or reported_usage.input_token_details or _Details()
    )
    output_details = reported_usage.output_tokens_details
    cached_tokens = max(0, input_details.cached_tokens or 0)
    usage = Usage(
        input=max(0, input_tokens - cached_tokens) if input_tokens is not None else None,
        cache_read=cached_tokens or None,
        output=max(0, output_tokens) if output_tokens is not None else None,
        provider_cost=reported_usage.cost,
    )
    images = family.startswith("images/")
    image_tokens = (
        output_details.image_tokens
        if output_details is not None
        else (output_tokens if images else 0)
    )
    return PassthroughUsage(
        usage=usage,
        input_image=max(0, input_details.image_tokens or 0),
        input_audio=max(0, input_details.audio_tokens or 0),
        output_image=max(0, image_tokens or 0),
        seconds=seconds,
    )


def _first_present(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def passthrough_cost(
    amounts: PassthroughUsage, price: Price, units: UnitPrice
) -> tuple[Decimal | None, str]:
    """The cost in US dollars and its source; None and empty if a count or price is unknown."""
    if amounts.cost is not None:
        return amounts.cost
    if amounts.usage is not None and (provider_cost := amounts.usage.provider_cost) is not None:
        return Decimal(str(provider_cost)), "provider"
    if amounts.usage is not None:
        usd = _token_cost(amounts, amounts.usage, price, units)
        return usd, (price.source if usd is not None else "")
    for count, rate, unit_size in (
        (amounts.seconds, units.audio_hour, _HOUR_S),
        (amounts.characters, units.characters, _MILLION),
    ):
        if count is not None and rate is not None:
            return Decimal(count) * rate / unit_size, units.source
    return None, ""


def _token_cost(
    amounts: PassthroughUsage, usage: Usage, price: Price, units: UnitPrice
) -> Decimal | None:
    """The cost by tokens; a token type without its own price is billed at the text price."""
    if usage.input is None or usage.output is None:
        return None
    # Cached image tokens are not reported separately: they count as text.
    input_images = min(amounts.input_image, usage.input)
    input_audio = min(amounts.input_audio, usage.input - input_images)
    output_images = min(amounts.output_image, usage.output)
    charges = (
        (usage.input - input_images - input_audio, price.input),
        (input_images, units.input_image or price.input),
        (input_audio, units.input_audio or price.input),
        (usage.cache_read or 0, price.cache_read),
        (usage.output - output_images, price.output),
        (output_images, units.output_image or price.output),
    )
    total = Decimal(0)
    for count, rate in charges:
        if count <= 0:
            continue
        if rate is None:
            return None
        total += count * rate
    return total / _MILLION


def describe_file(content_type: str, data: bytes) -> dict[str, Any]:
    """The logged form of a response that is a file: its content type and length."""
    return {"content_type": content_type, "bytes": len(data)}
