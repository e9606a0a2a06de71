"""Prices that an operator sets for a model, as overrides of its list price.

price_input ...   a column for each kind of token
price_above       prices of longer prompts: [{"tokens": 200000, "input": "6", ...}]
price_tiers       by service tier: a factor ("0.5"), or prices ({"input": "1", ...})
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from gateway.models import Model
from gateway.providers.batch_prices import multiply_price
from gateway.providers.profile import RATES, Price
from gateway.store.field_values import InvalidField

MAX_TIERS = 20
_MAX_TIER_NAME = 20


def price_value(list_price: Price, row: Model) -> Price:
    """The list price with the row's overrides. Raises ValueError."""
    row_rates = {
        name: value for name in RATES if (value := getattr(row, f"price_{name}")) is not None
    }
    if any(value < 0 for value in row_rates.values()):
        raise InvalidField("prices", "a price must not be negative")
    if not row_rates and row.price_above is None and not row.price_tiers:
        return list_price
    uses_list_price = any(
        getattr(list_price, name) is not None for name in RATES if name not in row_rates
    )
    source = f"custom, otherwise {list_price.source}" if uses_list_price else "custom"
    if not row_rates:
        source = list_price.source
    price = msgspec.structs.replace(list_price, **row_rates, source=source)
    # An override of the input or output price also discards the listed prices of long prompts.
    long_prompts = [] if row.price_above is None else row.price_above
    if row.price_above is not None or {"input", "output"} & row_rates.keys():
        price = msgspec.structs.replace(price, above=above_value(long_prompts, price))
    return msgspec.structs.replace(price, tiers=tiers_value(row.price_tiers or {}, price))


def above_value(value: Any, base: Price) -> tuple[tuple[int, Price], ...]:
    """Prices of long prompts; missing rates default to `base`. Raises ValueError."""
    if not isinstance(value, list):
        raise _invalid_field("prices.above", "it must be a list")
    prices: dict[int, Price] = {}
    for index, price_fields in enumerate(value):
        path = f"prices.above[{index}]"
        if not isinstance(price_fields, Mapping):
            raise _invalid_field(path, "it must be an object with `tokens` and prices")
        rates = dict(price_fields)
        tokens = rates.pop("tokens", None)
        if type(tokens) is not int or tokens < 1 or tokens in prices:
            raise _invalid_field(
                f"{path}.tokens", "it must be a whole number above 0 that is not used twice"
            )
        merged_rates = {name: getattr(base, name) for name in RATES} | _parse_rates(rates, path)
        prices[tokens] = Price(**merged_rates, source=base.source)
    return tuple(sorted(prices.items(), key=lambda pair: pair[0]))


def tiers_value(value: Any, base: Price) -> dict[str, Price]:
    """Prices of service tiers, from factors or prices. Raises ValueError."""
    if not isinstance(value, Mapping) or len(value) > MAX_TIERS:
        raise _invalid_field("prices.tiers", f"it must be an object of at most {MAX_TIERS} tiers")
    prices = {}
    for name, tier_value in value.items():
        path = f"prices.tiers.{name}"
        if not isinstance(name, str) or not 0 < len(name) <= _MAX_TIER_NAME:
            raise _invalid_field(
                "prices.tiers", f"a name must have 1 to {_MAX_TIER_NAME} characters"
            )
        source = f"{base.source}; tier {name}"
        if isinstance(tier_value, Mapping):
            rates = {rate: getattr(base, rate) for rate in RATES} | _parse_rates(tier_value, path)
            prices[name] = Price(**rates, source=source)
        else:
            prices[name] = multiply_price(base, _parse_number(tier_value, path), source)
    return prices


def _parse_rates(values: Mapping[str, Any], path: str) -> dict[str, Decimal]:
    for name in values:
        if name not in RATES:
            raise _invalid_field(
                f"{path}.{name}", f"there is no such price; the prices are {', '.join(RATES)}"
            )
    return {n: _parse_number(v, f"{path}.{n}") for n, v in values.items() if v is not None}


def _parse_number(value: Any, path: str) -> Decimal:
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation:
        raise _invalid_field(path, "it must be a number") from None
    if not number.is_finite() or not 0 <= number < 10**8:
        raise _invalid_field(path, "it must be a number that is not negative")
    return number


def _invalid_field(field: str, reason: str) -> InvalidField:
    return InvalidField(field, reason, label=field)
