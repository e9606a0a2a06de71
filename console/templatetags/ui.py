"""Icons, logos, and formatting of numbers and times."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from gateway.providers.catalog import PRESETS

register = template.Library()

UNKNOWN = "—"
# Smaller amounts have two significant digits instead of two decimals.
_SMALL_USD = Decimal("0.1")
_MINUTE_S = 60


@register.simple_tag
def icon(name: str, size: str = "", label: str = "") -> SafeString:
    """A Lucide icon; hidden from readers unless it has a label."""
    href = f"{static('vendor/icons/icons.svg')}#{name}"
    classes = f"i {size}".strip()
    if label:
        return format_html(
            '<svg class="{}" role="img" aria-label="{}"><use href="{}"/></svg>',
            classes,
            label,
            href,
        )
    return format_html('<svg class="{}" aria-hidden="true"><use href="{}"/></svg>', classes, href)


@register.simple_tag
def logo(preset: str) -> SafeString:
    """The logo of a provider preset; a plug icon if it has none."""
    row = PRESETS.get(preset)
    name = (row.logo or row.name) if row is not None else "custom"
    href = f"{static('vendor/logos/logos.svg')}#{name}"
    return format_html('<svg class="logo" aria-hidden="true"><use href="{}"/></svg>', href)


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds, as seconds from one second on: `24 ms`, `0.71 s`, `3 min 4 s`."""
    if value is None:
        return UNKNOWN
    if value < 100:
        return f"{number_format(value, 0 if value >= 10 else 1)} ms"
    seconds = value / 1000
    if seconds < 100:
        return f"{number_format(seconds, 2 if seconds < 10 else 1)} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


@register.filter
def seconds(value: float | None) -> str:
    """Seconds formatted like `ms`; from one minute on only the largest unit."""
    if value is None or value < _MINUTE_S:
        return ms(None if value is None else value * 1000)
    moment = timezone.now()
    return timesince(moment - dt.timedelta(seconds=value), moment, depth=1)


@register.filter
def usd(value: Decimal | float | str | None) -> str:
    """US dollars with as many digits as needed; None is "unknown", never 0."""
    if value is None or value == "":
        return _("unknown")
    amount = Decimal(str(value))
    if amount == 0:
        return "$0"
    sign, amount = "-" if amount < 0 else "", abs(amount)
    if amount >= _SMALL_USD:
        return f"{sign}${number_format(_rounded(amount, 2), 2, force_grouping=True)}"
    digits = min(8, 1 - amount.adjusted())
    return f"{sign}${number_format(_rounded(amount, digits), digits)}"


@register.filter
def more_usd(value: Decimal | None) -> str:
    """A difference in US dollars with its sign."""
    return f"+{usd(value)}" if value is not None and value > 0 else usd(value)


def _rounded(amount: Decimal, digits: int) -> Decimal:
    """Round an amount; `number_format` would truncate it."""
    return amount.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


@register.filter
def tokens(value: int | None) -> str:
    """A count of tokens, shortened: `991`, `18.4k`, `2.1M`."""
    if value is None:
        return UNKNOWN
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if value >= limit:
            short = value / (1000 if unit == "k" else limit)
            return f"{number_format(short, 0 if short >= 100 else 1)}{unit}"
    return count(value)


@register.filter
def count(value: int | None) -> str:
    """A whole number with the thousands apart."""
    return UNKNOWN if value is None else number_format(value, 0, force_grouping=True)


@register.filter
def percent(value: float | None) -> str:
    """A share from 0 to 1 as a percentage."""
    if value is None:
        return UNKNOWN
    return f"{number_format(value * 100, 1 if 0 < value < 0.1 else 0)} %"


@register.filter
def ago(moment: dt.datetime | None) -> SafeString | str:
    """How long ago, with the exact time as the title."""
    if moment is None:
        return _("never")
    elapsed = timezone.now() - moment
    text = (
        _("just now")
        if elapsed < dt.timedelta(minutes=1)
        else _("%(time)s ago") % {"time": timesince(moment, depth=1)}
    )
    return _time(moment, text)


@register.filter
def timestamp(moment: dt.datetime | None) -> SafeString | str:
    """Day and time, to the second."""
    if moment is None:
        return UNKNOWN
    local = timezone.localtime(moment)
    return _time(moment, f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M:%S}")


@register.filter
def clock(moment: dt.datetime) -> SafeString:
    """The time of day, to the second; the date is the title."""
    return _time(moment, f"{timezone.localtime(moment):%H:%M:%S}")


def _time(moment: dt.datetime, text: str) -> SafeString:
    title = f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), title, text)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """The value of a key that is itself a variable."""
    return mapping.get(key) if hasattr(mapping, "get") else None
