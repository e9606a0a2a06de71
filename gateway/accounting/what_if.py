"""Estimates the cost that the usage of a period would have had on other models.

    find_candidate(name, snapshot)      -> Candidate       a model and its price
    what_if(since, until, candidates)   -> Comparison      lines by route and model, and totals

Computed from the hourly roll-ups, with these assumptions:

- The other model would have used the same number of tokens. Tokenizers differ, and so does the
  length of answers and of reasoning.
- The same share of the prompt would have been read from and written to the prompt cache. A model
  without a price for cache reads or writes is assumed to have no such cache: those tokens are
  billed as input. Cache writes are priced at the five-minute lifetime.
- The roll-ups have no single requests: a price for long prompts applies to a line if its average
  prompt is that long. Service tiers, batches and audio are priced as standard text.

Health checks are left out. Responses from the response cache cost nothing on either model; they
are left out as far back as the log reaches. Markups are not included.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from gateway.canon.response import Usage
from gateway.models import RequestLog, Route, UsageHour
from gateway.providers.catalog import PRESETS
from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.routing.pricing import cost
from gateway.routing.snapshot import Snapshot
from gateway.usage_querysets import Totals, sum_totals

MAX_CANDIDATES = 5
MAX_DAYS = 366
_TOKENS = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
# (route, provider, model)
Name = tuple[str, str, str]


class Candidate(msgspec.Struct, frozen=True):
    """A model to compare with; `name` is `provider/model`."""

    name: str
    price: Price

    @property
    def has_prices(self) -> bool:
        """Whether input and output have a known price."""
        return self.price.input is not None and self.price.output is not None

    @property
    def bills_cache_reads_as_input(self) -> bool:
        """Whether cached input is billed as input, as no price for cache reads is known."""
        return self.price.cache_read is None


class WhatIfLine(msgspec.Struct, frozen=True):
    """Usage of a route and model, and its cost on each candidate; None if a price is unknown."""

    route: str
    provider: str
    model: str
    totals: Totals
    estimates: tuple[Decimal | None, ...]

    @property
    def label(self) -> str:
        """`provider/model`; empty if no target answered."""
        return "/".join(filter(None, (self.provider, self.model)))


class Comparison(msgspec.Struct, frozen=True):
    """The lines, most expensive first, and their totals."""

    candidates: tuple[Candidate, ...]
    lines: list[WhatIfLine]
    totals: Totals
    estimates: tuple[Decimal | None, ...]

    @property
    def differences(self) -> tuple[Decimal | None, ...]:
        """Estimate minus actual cost; None if one of them is not known completely."""
        actual_cost = self.totals.cost
        if actual_cost is None or self.totals.unpriced_requests:
            return (None,) * len(self.candidates)
        return tuple(None if usd is None else usd - actual_cost for usd in self.estimates)


def find_candidate(name: str, snapshot: Snapshot) -> Candidate | None:
    """The model of this name: a registered one, or one in the price list of a provider or preset.

    None if there is no such model.
    """
    registered_model = snapshot.models.get(name)
    if registered_model is not None:
        return Candidate(name, registered_model.price)
    provider_name, _, model = name.partition("/")
    provider = snapshot.providers.get(provider_name)
    preset = provider.preset if provider is not None else provider_name
    if not model or preset not in PRESETS:
        return None
    price = price_for(preset, model)
    return Candidate(name, price) if price != Price() else None


def what_if(since: dt.datetime, until: dt.datetime, candidates: Sequence[Candidate]) -> Comparison:
    """The usage of whole hours from `since` to before `until`, on each of the candidates."""
    usage_rows = UsageHour.objects.in_range(since, until).by_target_without_checks()
    cached_totals = _cached_responses(since, until)
    lines = [
        _what_if_line(name, _subtract_totals(totals, cached_totals.get(name)), candidates)
        for name, totals in usage_rows.items()
    ]
    lines = [line for line in lines if line.totals.tokens or line.totals.cost_units]
    lines.sort(key=lambda line: (-line.totals.cost_units, -line.totals.tokens, line.route))
    estimates = tuple(
        _sum_known(line.estimates[index] for line in lines) for index in range(len(candidates))
    )
    totals = sum_totals(line.totals for line in lines)
    return Comparison(tuple(candidates), lines, totals, estimates)


def estimate(totals: Totals, price: Price) -> Decimal | None:
    """Estimated cost of these tokens at this price; None if a price is unknown."""
    price = _price_of_average(totals, price)
    uncached_tokens, cache_read_tokens, cache_write_tokens = (
        totals.input_tokens,
        totals.cache_read_tokens,
        totals.cache_write_tokens,
    )
    if price.cache_read is None:
        uncached_tokens, cache_read_tokens = uncached_tokens + cache_read_tokens, 0
    if price.cache_write is None:
        uncached_tokens, cache_write_tokens = uncached_tokens + cache_write_tokens, 0
    usage = Usage(
        input=uncached_tokens,
        cache_read=cache_read_tokens,
        cache_write=cache_write_tokens,
        output=totals.output_tokens,
        reasoning=totals.reasoning_tokens,
    )
    return cost(usage, price)


def _price_of_average(totals: Totals, price: Price) -> Price:
    """The price for the average prompt, without prices of longer ones."""
    average = totals.prompt_tokens / totals.requests if totals.requests else 0
    tier_price = next(
        (long_price for tokens, long_price in reversed(price.above) if average > tokens), price
    )
    return msgspec.structs.replace(tier_price, above=())


def _what_if_line(name: Name, totals: Totals, candidates: Iterable[Candidate]) -> WhatIfLine:
    return WhatIfLine(*name, totals, tuple(estimate(totals, each.price) for each in candidates))


def _sum_known(amounts: Iterable[Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    for usd in amounts:
        if usd is None:
            return None
        total += usd
    return total


def _cached_responses(since: dt.datetime, until: dt.datetime) -> dict[Name, Totals]:
    """Requests and tokens that the response cache served; of routes that have one."""
    routes = [row.name for row in Route.objects.all() if row.cache]
    if not routes:
        return {}
    rows = RequestLog.objects.started_between(since, until).served_from_cache(routes)
    return {
        (row["route"], row["provider"], row["model"]): Totals(
            requests=row["requests"],
            priced_requests=row["requests"],
            **{name: int(row[name]) for name in _TOKENS},
        )
        for row in rows
    }


def _subtract_totals(totals: Totals, part: Totals | None) -> Totals:
    if part is None:
        return totals
    names = ("requests", "priced_requests", *_TOKENS)
    remaining_counts = {name: max(0, getattr(totals, name) - getattr(part, name)) for name in names}
    return msgspec.structs.replace(totals, **remaining_counts)
