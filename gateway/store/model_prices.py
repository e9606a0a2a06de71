"""What an operator says of a model's prices, laid over its list price.

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
from gateway.providers.batch_prices import times
from gateway.providers.profile import RATES, Price
from gateway.store.compile import InvalidField

MOST_TIERS = 20
_MOST_NAME = 20


def price_value(listed: Price, row: Model) -> Price:
    """The list price with what the row says in its place. Raises ValueError."""
    own = {name: value for name in RATES if (value := getattr(row, f"price_{name}")) is not None}
    if any(value < 0 for value in own.values()):
        raise InvalidField("prices", "a price must not be negative")
    if not own and row.price_above is None and not row.price_tiers:
        return listed
    rest = any(getattr(listed, name) is not None for name in RATES if name not in own)
    source = f"set here, else {listed.source}" if rest else "set here"
    if not own:
        source = listed.source
    found = msgspec.structs.replace(listed, **own, source=source)
    # Who sets the price of a prompt has set that of a long one too, unless he says another.
    given = [] if row.price_above is None else row.price_above
    if row.price_above is not None or {"input", "output"} & own.keys():
        found = msgspec.structs.replace(found, above=above_value(given, found))
    return msgspec.structs.replace(found, tiers=tiers_value(row.price_tiers or {}, found))


def above_value(given: Any, base: Price) -> tuple[tuple[int, Price], ...]:
    """Prices of long prompts; what one does not say is as `base`. Raises ValueError."""
    if not isinstance(given, list):
        raise _invalid("prices.above", "it must be a list")
    found: dict[int, Price] = {}
    for number, item in enumerate(given):
        place = f"prices.above[{number}]"
        if not isinstance(item, Mapping):
            raise _invalid(place, "it must be an object with `tokens` and prices")
        rates = dict(item)
        tokens = rates.pop("tokens", None)
        if type(tokens) is not int or tokens < 1 or tokens in found:
            raise _invalid(f"{place}.tokens", "it must be a whole number above 0, each one once")
        told = {name: getattr(base, name) for name in RATES} | _rates(rates, place)
        found[tokens] = Price(**told, source=base.source)
    return tuple(sorted(found.items(), key=lambda pair: pair[0]))


def tiers_value(given: Any, base: Price) -> dict[str, Price]:
    """Prices of service tiers, from factors or prices. Raises ValueError."""
    if not isinstance(given, Mapping) or len(given) > MOST_TIERS:
        raise _invalid("prices.tiers", f"it must be an object of at most {MOST_TIERS} tiers")
    found = {}
    for name, told in given.items():
        place = f"prices.tiers.{name}"
        if not isinstance(name, str) or not 0 < len(name) <= _MOST_NAME:
            raise _invalid("prices.tiers", f"a name has 1 to {_MOST_NAME} characters")
        source = f"{base.source}; tier {name}"
        if isinstance(told, Mapping):
            rates = {rate: getattr(base, rate) for rate in RATES} | _rates(told, place)
            found[name] = Price(**rates, source=source)
        else:
            found[name] = times(base, _number(told, place), source)
    return found


def _rates(given: Mapping[str, Any], place: str) -> dict[str, Decimal]:
    for name in given:
        if name not in RATES:
            raise _invalid(f"{place}.{name}", f"there is no such price; {', '.join(RATES)}")
    return {n: _number(v, f"{place}.{n}") for n, v in given.items() if v is not None}


def _number(value: Any, place: str) -> Decimal:
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        found = Decimal(str(value))
    except InvalidOperation:
        raise _invalid(place, "it must be a number") from None
    if not found.is_finite() or not 0 <= found < 10**8:
        raise _invalid(place, "it must be a number that is not negative")
    return found


def _invalid(field: str, why: str) -> InvalidField:
    return InvalidField(field, f"{field}: {why}")
