"""The most that a request may use, before anybody knows: tokens and dollars.

An upper bound and not a guess: what is reserved must be enough, or requests at the same
time could pass a limit together. Read from the body's outermost fields, which are decoded
anyway; the rest of the body is parsed only where its size says little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

import msgspec

from gateway.canon.errors import GatewayError
from gateway.providers.profile import Price
from gateway.relay.call import Call
from gateway.relay.facts import estimate
from gateway.routing.limits import UNITS, Want
from gateway.routing.pricing import charged
from gateway.routing.snapshot import ApiKey, Route, Target

# What an answer may have where neither the request nor the model's row says.
OUTPUT_TOKENS = 8192
# JSON of plain words has more bytes to a token than that.
BYTES_PER_TOKEN = 3
# A longer body may be pictures, whose tokens are not in their bytes.
PARSED_BYTES = 128 * 1024
_MILLION = 1_000_000

_CAPS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_NESTED = (("generationConfig", "maxOutputTokens"), ("options", "num_predict"))
_SAYING = frozenset({*_CAPS, *(outer for outer, _ in _NESTED)})
_CHOICES = ("n", "best_of")
_TELLING = _SAYING.union(_CHOICES)
_numbers = msgspec.json.Decoder(int | None)
# Units of dollars for a token of input and one of output.
Rates = tuple[int, int]


def want(call: Call, able: int, rates: Rates) -> Want:
    """What to reserve for a call that targets of such prices may answer.

    `able` is how long their answers may be at most, as `most_output` says.
    """
    size, output = len(call.body), 0
    prompt = size // BYTES_PER_TOKEN + 1
    if call.verb == "generate":
        output = _output(call, able)
        if size > PARSED_BYTES:
            prompt = _parsed(call, prompt)
    return Want(prompt + output, prompt * rates[0] + output * rates[1])


def _parsed(call: Call, by_size: int) -> int:
    """The prompt's tokens at most, by what its parts are."""
    try:
        # By three bytes to a token instead of four.
        return estimate(call) * 4 // BYTES_PER_TOKEN
    except GatewayError:
        return by_size


def most_output(targets: Iterable[Target]) -> int:
    """The longest answer that any of the targets gives, in tokens."""
    able = (target.model.traits.max_output or OUTPUT_TOKENS for target in targets)
    return max(able, default=OUTPUT_TOKENS)


def _output(call: Call, able: int) -> int:
    fields = call.fields
    usual = call.route.default_max_output if call.route is not None else None
    if _TELLING.isdisjoint(fields):  # as most are
        return able if usual is None else usual
    asked = _cap(fields)
    if asked is None:
        asked = able if usual is None else usual
    for name in _CHOICES:
        if name in fields:
            asked *= _number(fields[name]) or 1
    return asked


def _cap(fields: Mapping[str, msgspec.Raw]) -> int | None:
    """The answer's length as the client bounds it."""
    for name in _CAPS:
        if name in fields and (found := _number(fields[name])) is not None:
            return found
    for outer, inner in _NESTED:
        if outer in fields:
            found = _number_in(fields[outer], inner)
            if found is not None:
                return found
    return None


def _number(raw: msgspec.Raw) -> int | None:
    try:
        value = _numbers.decode(raw)
    except msgspec.MsgspecError:
        return None
    return value if value is not None and 0 < value < 2**31 else None


def _number_in(raw: msgspec.Raw, name: str) -> int | None:
    try:
        inner = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return None
    return _number(inner[name]) if name in inner else None


def dearest(
    targets: Iterable[Target], key: ApiKey | None = None, margin: Decimal | None = None
) -> Rates:
    """The highest that is charged for any of the targets, in units of dollars for a token.

    One without a price costs nothing that is known, and so nothing that is counted. Long
    prompts, service tiers, sound and margins (`margin` is the settings') are in it.
    """
    read = write = 0
    own = key.margin if key is not None else None
    for target in targets:
        if target.model.price.input is None:
            continue
        margins = (own, target.model.provider.margin, margin)
        for price in _all_of(target.model.price):
            inputs = (price.input, price.cache_write, price.cache_write_1h, price.input_audio)
            outputs = (price.output, price.reasoning, price.output_audio)
            read = max(read, _units(inputs, margins))
            write = max(write, _units(outputs, margins))
    return read, write


def _all_of(price: Price) -> Iterator[Price]:
    """A price, and those of long prompts and other tiers that may hold in its place."""
    yield price
    for _, other in price.above:
        yield other
    for tier in price.tiers.values():
        yield from _all_of(tier)


def _units(rates: Iterable[Decimal | None], margins: tuple[Decimal | None, ...]) -> int:
    """The highest of the rates, in units of dollars for a token, rounded up."""
    highest = max((rate for rate in rates if rate is not None), default=Decimal(0))
    return -int(-(charged(highest, *margins) or 0) * UNITS // _MILLION)


def all_targets(routes: Iterable[Route]) -> tuple[Target, ...]:
    """The targets of a route and its fallbacks."""
    return tuple(target for route in routes for target in route.targets)
