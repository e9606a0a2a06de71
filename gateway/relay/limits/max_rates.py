"""The maximum use of a request, known before the call: tokens and dollars.

An upper bound and not an estimate: the reservation must suffice, or concurrent requests could
exceed a limit together. It uses the body's top-level fields, which are decoded anyway; the
rest of the body is parsed only if its size is a poor measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import msgspec

from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.providers.profile import Price
from gateway.providers.unit_prices import unit_price_for
from gateway.relay.exchange.call import Exchange
from gateway.relay.exchange.request_features import estimate_tokens
from gateway.routing.limits import UNITS, Estimate
from gateway.routing.pricing import TOKENS_PER_MTOK, charge_of
from gateway.routing.snapshot import ApiKey, Route, Target

# Maximum output if neither the request nor the model has a limit.
OUTPUT_TOKENS = 8192
# A lower bound: JSON of plain text has more bytes per token.
BYTES_PER_TOKEN = 3
# A longer body may contain images, whose tokens do not depend on their bytes.
PARSED_BYTES = 128 * 1024

# The first fields of all paths in `Dialect.output_limits`, and those that multiply the output.
_LIMIT_FIELDS = frozenset(path[0] for d in DIALECTS.values() for path in d.output_limits)
_CHOICES = ("n", "best_of")
_CONFIGS = ("generationConfig", "generation_config")
_CANDIDATE_COUNTS = ("candidateCount", "candidate_count")
_CHOICE_COUNTS = frozenset({"n", *_CONFIGS})
_OUTPUT_FIELDS = _LIMIT_FIELDS.union(_CHOICES)
_int_decoder = msgspec.json.Decoder(int | None)
# Units of dollars per token of input and of output.
Rates = tuple[int, int]


def estimate_usage(exchange: Exchange, model_max_output: int, rates: Rates) -> Estimate:
    """The amount to reserve for a call, at the given rates.

    `model_max_output` is the maximum output of the models, from `max_output_tokens`.
    """
    size, output = len(exchange.body), 0
    prompt = size // BYTES_PER_TOKEN + 1
    if exchange.verb == "generate":
        output = _max_output(exchange, model_max_output)
        if size > PARSED_BYTES:
            prompt = _estimate_prompt(exchange, prompt)
        if not _CHOICE_COUNTS.isdisjoint(exchange.fields):
            # Each choice may be a call of its own, which is billed its prompt.
            prompt *= requested_choices(exchange.fields)
            output *= _candidate_count(exchange.fields)
    return Estimate(prompt + output, prompt * rates[0] + output * rates[1])


def _estimate_prompt(exchange: Exchange, size_estimate: int) -> int:
    """The maximum tokens of the prompt, by its parts."""
    try:
        # At three bytes per token instead of four.
        return estimate_tokens(exchange) * 4 // BYTES_PER_TOKEN
    except GatewayError:
        return size_estimate


def max_output_tokens(targets: Iterable[Target]) -> int:
    """The maximum output of any of the targets, in tokens."""
    output_limits = (target.model.traits.max_output or OUTPUT_TOKENS for target in targets)
    return max(output_limits, default=OUTPUT_TOKENS)


def _max_output(exchange: Exchange, model_max_output: int) -> int:
    fields = exchange.fields
    route_default = exchange.route.default_max_output if exchange.route is not None else None
    if _OUTPUT_FIELDS.isdisjoint(fields):  # the common case
        return model_max_output if route_default is None else route_default
    max_tokens = _requested_max_tokens(fields, exchange.dialect.output_limits)
    if max_tokens is None:
        max_tokens = model_max_output if route_default is None else route_default
    for name in _CHOICES:
        if name in fields:
            max_tokens *= _positive_int(fields[name]) or 1
    return max_tokens


def requested_choices(fields: Mapping[str, msgspec.Raw]) -> int:
    """The choices that a request of any API asks for, by its top-level fields."""
    choices = (_positive_int(fields["n"]) or 1) if "n" in fields else 1
    return max(choices, _candidate_count(fields))


def _candidate_count(fields: Mapping[str, msgspec.Raw]) -> int:
    """The choices that a request of Google's API asks for."""
    counts = [
        _nested_positive_int(fields[config], name) or 1
        for config in _CONFIGS
        if config in fields
        for name in _CANDIDATE_COUNTS
    ]
    return max(counts, default=1)


def _requested_max_tokens(
    fields: Mapping[str, msgspec.Raw], paths: tuple[tuple[str, ...], ...]
) -> int | None:
    """The output limit in the request; None without one.

    The highest of several, because providers may ignore one; limits of other APIs do not count.
    """
    limits = [
        _positive_int(fields[path[0]])
        if len(path) == 1
        else _nested_positive_int(fields[path[0]], path[1])
        for path in paths
        if path[0] in fields
    ]
    return max((limit for limit in limits if limit is not None), default=None)


def _positive_int(raw: msgspec.Raw) -> int | None:
    try:
        value = _int_decoder.decode(raw)
    except msgspec.MsgspecError:
        return None
    return value if value is not None and 0 < value < 2**31 else None


def _nested_positive_int(raw: msgspec.Raw, name: str) -> int | None:
    try:
        inner = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return None
    return _positive_int(inner[name]) if name in inner else None


def max_rates(
    targets: Iterable[Target], key: ApiKey | None = None, markup: Decimal | None = None
) -> Rates:
    """The highest charge of any of the targets, in units of dollars per token.

    A target without a price has no known cost and does not count. Includes long prompts,
    service tiers, audio, images and markups (`markup` is the one in the settings).
    """
    max_input_rate = max_output_rate = 0
    key_markup = key.markup if key is not None else None
    for target in targets:
        if target.model.price.input is None:
            continue
        provider = target.model.provider
        image_rate = unit_price_for(provider.preset, target.model.name).output_image
        markups = (key_markup, provider.markup, markup)
        for price in _price_variants(target.model.price):
            inputs = (price.input, price.cache_write, price.cache_write_1h, price.input_audio)
            outputs = (price.output, price.reasoning, price.output_audio, image_rate)
            max_input_rate = max(max_input_rate, _max_units_per_token(inputs, markups))
            max_output_rate = max(max_output_rate, _max_units_per_token(outputs, markups))
    return max_input_rate, max_output_rate


def _price_variants(price: Price) -> Iterator[Price]:
    """A price, and those of long prompts and service tiers that may replace it."""
    yield price
    for _, long_prompt_price in price.above:
        yield long_prompt_price
    for tier in price.tiers.values():
        yield from _price_variants(tier)


def _max_units_per_token(
    rates: Iterable[Decimal | None], markups: tuple[Decimal | None, ...]
) -> int:
    """The highest of the rates with its markup, in units of dollars per token, rounded up."""
    max_rate = max((rate for rate in rates if rate is not None), default=Decimal(0))
    return -int(-(charge_of(max_rate, *markups) or 0) * UNITS // TOKENS_PER_MTOK)


def all_targets(routes: Iterable[Route]) -> tuple[Target, ...]:
    """The targets of several routes."""
    return tuple(target for route in routes for target in route.targets)
