"""What a forwarded call used, as its answer says, and what that cost.

Tokens where the answer counts them; seconds, characters and searches where the price is by
those. What has no price is unknown, never free.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gateway.canon.response import Usage
from gateway.providers.profile import Price
from gateway.providers.unit_prices import UnitPrice

_MILLION = Decimal(1_000_000)
_HOUR_S = Decimal(3600)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was used; None where nobody said.

    `usage` has all tokens; the others say how many of them were of a kind: pictures and
    sound in, pictures out. `seconds` of sound, `characters` of text to be spoken.
    """

    usage: Usage | None = None
    input_image: int = 0
    input_audio: int = 0
    output_image: int = 0
    seconds: Decimal | None = None
    characters: int | None = None


class _Details(msgspec.Struct):
    image_tokens: int | None = None
    audio_tokens: int | None = None
    text_tokens: int | None = None
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


class _Billed(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    tokens: _Billed | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None
    duration: float | None = None
    meta: _Meta | None = None


_decoder = msgspec.json.Decoder(_Answer)


def read(family: str, data: bytes) -> Measured | None:
    """What an answer, or an event of one, says of it; None where it says nothing.

    All but the counts is skipped, pictures in base64 too.
    """
    try:
        answer = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if answer.usage is not None:
        return _counted(family, answer.usage)
    if answer.duration is not None and answer.duration >= 0:
        return Measured(seconds=Decimal(str(answer.duration)))
    tokens = answer.meta.tokens if answer.meta is not None else None
    if tokens is not None and tokens.input_tokens is not None:
        return Measured(usage=Usage(input=max(0, int(tokens.input_tokens)), output=0))
    return None


def _counted(family: str, told: _Usage) -> Measured:
    seconds = Decimal(str(told.seconds)) if told.seconds is not None else None
    into = _first(told.input_tokens, told.prompt_tokens)
    out = _first(told.output_tokens, told.completion_tokens)
    if into is None and family in {"rerank", "moderations"}:
        into, out = told.total_tokens, 0
    if into is None and out is None:
        return Measured(seconds=seconds)
    inner = told.input_tokens_details or told.input_token_details or _Details()
    made = told.output_tokens_details
    cached = max(0, inner.cached_tokens or 0)
    usage = Usage(
        input=max(0, into - cached) if into is not None else None,
        cache_read=cached or None,
        output=max(0, out) if out is not None else None,
        provider_cost=told.cost,
    )
    images = family.startswith("images/")
    pictures = made.image_tokens if made is not None else (out if images else 0)
    return Measured(
        usage=usage,
        input_image=max(0, inner.image_tokens or 0),
        input_audio=max(0, inner.audio_tokens or 0),
        output_image=max(0, pictures or 0),
        seconds=seconds,
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def cost(found: Measured, price: Price, units: UnitPrice) -> tuple[Decimal | None, str]:
    """US dollars and who said so; None and empty where a count or its price is unknown."""
    if found.usage is not None and (told := found.usage.provider_cost) is not None:
        return Decimal(str(told)), "provider"
    if found.usage is not None:
        usd = _by_tokens(found, found.usage, price, units)
        return usd, (price.source if usd is not None else "")
    for count, rate, per in (
        (found.seconds, units.audio_hour, _HOUR_S),
        (found.characters, units.characters, _MILLION),
    ):
        if count is not None and rate is not None:
            return Decimal(count) * rate / per, units.source
    return None, ""


def _by_tokens(found: Measured, usage: Usage, price: Price, units: UnitPrice) -> Decimal | None:
    """A kind of token without a price of its own is billed as text is."""
    if usage.input is None or usage.output is None:
        return None
    # Which of the cached tokens were pictures is not told: they count as text.
    pictures = min(found.input_image, usage.input)
    sound = min(found.input_audio, usage.input - pictures)
    drawn = min(found.output_image, usage.output)
    lines = (
        (usage.input - pictures - sound, price.input),
        (pictures, units.input_image or price.input),
        (sound, units.input_audio or price.input),
        (usage.cache_read or 0, price.cache_read),
        (usage.output - drawn, price.output),
        (drawn, units.output_image or price.output),
    )
    total = Decimal(0)
    for count, rate in lines:
        if count <= 0:
            continue
        if rate is None:
            return None
        total += count * rate
    return total / _MILLION


def described(kind: str, data: bytes) -> dict[str, Any]:
    """What the log has of an answer that is a file: its content type and length."""
    return {"content_type": kind, "bytes": len(data)}
