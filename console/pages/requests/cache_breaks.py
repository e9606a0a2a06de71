"""Messages for the prompt cache breaks of a session."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from django.utils.translation import gettext as _

from console.pages.requests.sessions import Session
from console.prompt_cache.cache_breaks import MAX_ROWS, CacheBreak, find_cache_breaks
from gateway import store
from gateway.models import Model, Provider, RequestLog
from gateway.providers.prices import price_for
from gateway.providers.profile import Price
from gateway.relay.exchange.log_record import Bodies
from gateway.store.model_prices import price_value

_TIME = re.compile(r"\d{4}-\d\d|\d{1,2}:\d\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b", re.I)


class Finding(NamedTuple):
    """One cache break: what happened and how to avoid it."""

    cache_break: CacheBreak
    title: str
    advice: str


class CacheBreakReport(NamedTuple):
    """The cache breaks of a session and their total cost, as far as known."""

    findings: list[Finding]
    usd: Decimal | None
    request_count: int


def cache_break_report(session: Session) -> CacheBreakReport:
    """Find the cache breaks in the latest requests of a session."""
    rows = [step.row for step in session.steps]
    prices: dict[tuple[str, str], Price] = {}

    def price_of(row: RequestLog) -> Price:
        name = (row.provider, row.model)
        if name not in prices:
            prices[name] = _current_price(*name)
        return prices[name]

    findings = [
        Finding(cache_break, *_describe_break(cache_break))
        for cache_break in find_cache_breaks(rows, _load_bodies, price_of)
    ]
    costs = [
        finding.cache_break.extra_usd
        for finding in findings
        if finding.cache_break.extra_usd is not None
    ]
    return CacheBreakReport(
        findings, sum(costs, Decimal(0)) if costs else None, min(len(rows), MAX_ROWS)
    )


def _load_bodies(pk: int) -> Bodies | None:
    try:
        return store.load_bodies(pk)
    except ValueError:
        return None


def _current_price(provider: str, name: str) -> Price:
    """The current price of a model by its name in the log."""
    rows = Model.objects.select_related("provider").filter(provider__name=provider, name=name)
    model = rows.first()
    try:
        if model is not None:
            return price_value(price_for(model.provider.preset, name), model)
    except ValueError:
        return Price()
    preset = Provider.objects.filter(name=provider).values_list("preset", flat=True).first()
    return price_for(preset or "", name)


def _describe_break(cache_break: CacheBreak) -> tuple[str, str]:
    """Title and advice."""
    match cache_break.kind:
        case "target":
            return (
                _("Served by another model: %(new)s instead of %(old)s")
                % {"new": cache_break.new_text, "old": cache_break.old_text},
                _(
                    "Each model has its own cache. The `sticky` strategy keeps a session "
                    "on one target."
                )
                if not cache_break.reason
                else _("A fallback served it (%(reason)s). Each model has its own cache.")
                % {"reason": cache_break.reason},
            )
        case "order":
            return (
                _("The order of the tools changed"),
                _("Tools come first in the prompt. Send them in a stable order."),
            )
        case "tool":
            return (
                _("The tools changed"),
                _(
                    "Tools come first in the prompt, so all that follows misses the cache. Keep "
                    "the list unchanged during a session."
                ),
            )
        case "system":
            return _("The system prompt changed"), _advice_for_break(cache_break)
        case "message":
            return _("An earlier message changed"), _advice_for_break(cache_break)
        case "breakpoints_removed":
            return (
                _("The cache breakpoints are missing"),
                _("The previous turn had `cache_control`, this one has none."),
            )
        case "no_breakpoint":
            return (
                _("No cache breakpoints"),
                _("This provider caches only content marked with `cache_control`."),
            )
        case "expired":
            minutes = round(cache_break.idle_s / 60)
            return (
                _("The cache had expired"),
                _(
                    "The prompt is unchanged, but %(n)d minutes had passed. Caches expire after "
                    "about 5 minutes unless their TTL is set to an hour."
                )
                % {"n": minutes},
            )
    return (
        _("The provider did not use its cache"),
        _(
            "The prompt extends the previous one without changes. The provider evicted its cache "
            "or routed the request to another machine."
        ),
    )


def _advice_for_break(cache_break: CacheBreak) -> str:
    changed_text = f"{cache_break.old_text} {cache_break.new_text} {cache_break.prefix_text[-20:]}"
    if _TIME.search(changed_text):
        return _(
            "It contains a date or time. Move it to the end, into the last message, "
            "so that the prefix stays the same."
        )
    return _(
        "Everything after this change misses the cache. Move changing content as close to "
        "the end as possible."
    )
