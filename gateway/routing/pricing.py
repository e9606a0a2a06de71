"""Cost of a call, from its tokens and a price; pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from gateway.canon.response import Usage
from gateway.providers.profile import NO_TIER_PRICE, Price

TOKENS_PER_MTOK = Decimal(1_000_000)
# Gemini's counts of a response's tokens by modality.
GEMINI_OUTPUT = "candidatesTokensDetails"
# Names of the standard service tier; None is a response that names no tier.
STANDARD_TIERS = frozenset({None, "", "auto", "default", "standard", "standard_only", "on_demand"})


def cost(usage: Usage, price: Price) -> Decimal | None:
    """What the call cost, in US dollars; None if any price or count it needs is unknown.

    The counts of input and output are required. Cached input is billed at
    `price.cache_read`, never also at `price.input`, and cache writes likewise; a
    provider that does not count them includes them in its input, at the input price. Tokens
    without a price make the whole cost unknown: an estimate from another price would look
    like a bill. Reasoning is part of output, and audio of input and output, unless they have
    a price of their own. A long prompt is billed by `price.above`. A negative count is a
    provider's mistake and counts as 0. `usage.provider_cost`, the provider's own charge, is
    not considered here; the caller decides whether to prefer it.
    """
    if usage.input is None or usage.output is None:
        return None
    if price.above:
        price = _price_for_prompt(usage, price)
    if price.input is None or price.output is None:
        return None
    cache_write_tokens = max(usage.cache_write or 0, 0)
    long_lived = min(max(usage.cache_write_1h or 0, 0), cache_write_tokens)
    lines: tuple[tuple[int, Decimal | None], ...] = (
        (usage.input, price.input),
        (usage.cache_read or 0, price.cache_read),
        (cache_write_tokens - long_lived, price.cache_write),
        (long_lived, price.cache_write_1h),
        (usage.output, price.output),
    )
    if not (price.reasoning is price.input_audio is price.output_audio is None):
        # Reasoning or audio tokens have a price of their own.
        lines = (*_special_lines(usage, price), *lines[1:4])
    total = Decimal(0)
    for tokens, per_million in lines:
        if tokens <= 0:
            continue
        if per_million is None:
            return None
        total += tokens * per_million
    return total / TOKENS_PER_MTOK


def tier_price(price: Price, tier: str | None) -> Price:
    """The price in a service tier.

    A tier without a known price is billed at the standard price, and `source` reports it:
    with an unknown cost, requests in that tier would bypass every budget.
    """
    if tier in STANDARD_TIERS or price.input is None:
        return price
    assert tier is not None
    special_price = price.tiers.get(tier)
    if special_price is not None:
        return special_price
    source = f"{price.source}; {NO_TIER_PRICE} for the tier {tier[:20]}"
    return msgspec.structs.replace(price, source=source)


def charge_of(usd: Decimal | None, *markups: Decimal | None) -> Decimal | None:
    """The charge for a call that cost `usd`: times the first markup that is set."""
    if usd is None:
        return None
    for markup in markups:
        if markup is not None:
            return usd * markup
    return usd


def _price_for_prompt(usage: Usage, price: Price) -> Price:
    prompt = usage.prompt_tokens or 0
    for tokens, long_prompt_price in reversed(price.above):
        if prompt > tokens:
            return long_prompt_price
    return price


def _special_lines(usage: Usage, price: Price) -> tuple[tuple[int, Decimal | None], ...]:
    """The lines of input and output, with reasoning and audio on lines of their own."""
    input_tokens, output_tokens = max(usage.input or 0, 0), max(usage.output or 0, 0)
    audio_input, audio_output = audio_tokens(usage.native)
    audio_input, audio_output = min(audio_input, input_tokens), min(audio_output, output_tokens)
    reasoning_tokens = min(max(usage.reasoning or 0, 0), output_tokens - audio_output)
    return (
        (input_tokens - audio_input, price.input),
        (audio_input, price.input if price.input_audio is None else price.input_audio),
        (output_tokens - audio_output - reasoning_tokens, price.output),
        (audio_output, price.output if price.output_audio is None else price.output_audio),
        (reasoning_tokens, price.output if price.reasoning is None else price.reasoning),
    )


def audio_tokens(native: dict[str, Any]) -> tuple[int, int]:
    """Audio tokens in the prompt and in the response, from the provider's own counts.

    Reads OpenAI's names (`*_tokens_details`) and Gemini's (`*TokensDetails`); 0 if neither
    reports any. Cached audio is not counted separately.
    """
    return (
        _openai_audio_tokens(native, "prompt_tokens_details", "input_tokens_details")
        or _gemini_tokens(native, "promptTokensDetails", "AUDIO"),
        _openai_audio_tokens(native, "completion_tokens_details", "output_tokens_details")
        or _gemini_tokens(native, GEMINI_OUTPUT, "AUDIO"),
    )


def image_surcharge(
    usage: Usage, price: Price, standard_price: Price, image_price: Decimal | None
) -> Decimal:
    """What images in the output cost beyond the price of text; 0 without a price for them.

    `image_price` is per million tokens in the standard tier; other tiers change it like the
    output price.
    """
    if image_price is None or not price.output or not standard_price.output:
        return Decimal(0)
    tokens = min(_gemini_tokens(usage.native, GEMINI_OUTPUT, "IMAGE"), max(usage.output or 0, 0))
    per_million = image_price * price.output / standard_price.output - price.output
    return tokens * per_million / TOKENS_PER_MTOK


def _openai_audio_tokens(native: dict[str, Any], *names: str) -> int:
    for name in names:
        details = native.get(name)
        count = details.get("audio_tokens") if isinstance(details, dict) else None
        if type(count) is int and count > 0:
            return count
    return 0


def _gemini_tokens(native: dict[str, Any], name: str, modality: str) -> int:
    rows = native.get(name)
    counts = [
        row.get("tokenCount")
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and row.get("modality") == modality
    ]
    return sum(count for count in counts if type(count) is int and count > 0)
