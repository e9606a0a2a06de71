"""Icons, logos, and formatting of numbers and times."""

from __future__ import annotations

import datetime as dt
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.models import RequestLog
from gateway.providers.catalog import PRESETS

register = template.Library()

UNKNOWN_TEXT = "—"
# Smaller amounts have two significant digits instead of two decimals.
_SMALL_USD = Decimal("0.1")
_MINUTE_S = 60
_OUTCOMES: dict[str, Promise] = {
    "ok": gettext_lazy("succeeded"),
    "error": gettext_lazy("failed"),
    "cut": gettext_lazy("stream interrupted"),
    "client_closed": gettext_lazy("client disconnected"),
}
_CODE = re.compile(r"`([^`\n]+)`")


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
def with_code(text: str | None) -> SafeString:
    """A message as HTML, with text between backticks in `<code>`."""
    parts = enumerate(_CODE.split(text or ""))
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", part) if index % 2 else part,) for index, part in parts),
    )


@register.filter
def ms(value: float | None) -> str:
    """Milliseconds, as seconds from 0.1 s on: `24 ms`, `0.71 s`, `3 min 4 s`, `2 h 5 min`."""
    if value is None:
        return UNKNOWN_TEXT
    if value < 99.5:
        return f"{_format_number(value, 0 if value >= 9.95 else 1)} ms"
    seconds = value / 1000
    if seconds < 99.95:
        return f"{_format_number(seconds, 2 if seconds < 9.995 else 1)} s"
    minutes, whole_seconds = divmod(int(seconds + 0.5), 60)
    if minutes < 60:
        return f"{minutes} min {whole_seconds} s"
    return f"{minutes // 60} h {minutes % 60} min"


@register.filter
def seconds(value: float | None) -> str:
    """Seconds formatted like `ms`; from one minute on only the largest unit."""
    if value is None or value < _MINUTE_S:
        return ms(None if value is None else value * 1000)
    moment = timezone.now()
    return timesince(moment - dt.timedelta(seconds=value), moment, depth=1)


@register.filter
def usd(value: Decimal | float | str | None) -> str:
    """US dollars: two decimals from $0.10 on, otherwise two significant digits.

    None is "unknown", never 0.
    """
    if value is None or value == "":
        return _("unknown")
    amount = Decimal(str(value))
    if amount == 0:
        return "$0"
    sign, amount = "-" if amount < 0 else "", abs(amount)
    if amount >= _SMALL_USD:
        return f"{sign}${_format_number(amount, 2)}"
    return f"{sign}${_format_number(amount, min(8, 1 - amount.adjusted()))}"


@register.filter
def request_cost(row: RequestLog) -> str:
    """Cost of a logged request; a failed one that nothing was computed for has none."""
    no_cost = row.cost_usd is None and (not row.provider or row.outcome == "error")
    return UNKNOWN_TEXT if no_cost else usd(row.cost_usd)


@register.filter
def more_usd(value: Decimal | None) -> str:
    """A difference in US dollars with its sign."""
    return f"+{usd(value)}" if value is not None and value > 0 else usd(value)


def _format_number(value: Decimal | float, digits: int) -> str:
    """A rounded number with thousands separators; `number_format` would truncate it."""
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return number_format(rounded, digits, force_grouping=True)


@register.filter
def tokens(value: int | None) -> str:
    """A count of tokens, shortened: `991`, `18.4k`, `2.1M`."""
    if value is None:
        return UNKNOWN_TEXT
    for limit, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if value >= (limit if unit == "k" else limit * 0.9995):
            short_value = value / (1000 if unit == "k" else limit)
            return f"{_format_number(short_value, 0 if short_value >= 99.95 else 1)}{unit}"
    return count(value)


@register.filter
def token_pair(prompt: int | None, output: int | None) -> str:
    """The tokens of the prompt and of the response: `18.4k → 240`."""
    if prompt is None and output is None:
        return UNKNOWN_TEXT
    return f"{tokens(prompt)} → {tokens(output)}"


@register.filter
def count(value: int | None) -> str:
    """A whole number with thousands separators: `12,345`."""
    return UNKNOWN_TEXT if value is None else number_format(value, 0, force_grouping=True)


@register.filter
def percent(value: float | None) -> str:
    """A share from 0 to 1 as a percentage."""
    if value is None:
        return UNKNOWN_TEXT
    return f"{_format_number(value * 100, 1 if 0 < value < 0.1 else 0)} %"


@register.filter
def more_percent(value: float | None) -> str:
    """A relative difference as a percentage with its sign: 0.25 is `+25 %`."""
    if value is None:
        return UNKNOWN_TEXT
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{percent(abs(value))}"


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
    return _time_element(moment, text)


_DAY = "j M Y"


@register.filter
def day(value: dt.date | None) -> str:
    """A date, or the local date of a moment: `22 Nov 2026`."""
    if isinstance(value, dt.datetime):
        value = timezone.localtime(value)
    return UNKNOWN_TEXT if value is None else date_format(value, _DAY)


@register.filter
def date_time(moment: dt.datetime | None) -> str:
    """Day and time to the minute: `22 Nov 2026, 14:05`."""
    return (
        UNKNOWN_TEXT if moment is None else date_format(timezone.localtime(moment), f"{_DAY}, H:i")
    )


@register.filter
def date_time_zone(moment: dt.datetime) -> str:
    """Day, time to the minute, and time zone: `22 Nov 2026, 14:05 CET`."""
    return date_format(timezone.localtime(moment), f"{_DAY}, H:i T")


@register.filter
def timestamp(moment: dt.datetime | None) -> SafeString | str:
    """Day and time to the second: `22 Nov 2026, 14:05:06`."""
    if moment is None:
        return UNKNOWN_TEXT
    return _time_element(moment, date_format(timezone.localtime(moment), f"{_DAY}, H:i:s"))


@register.filter
def clock(moment: dt.datetime) -> SafeString:
    """The time of day, to the second; the date is the title."""
    return _time_element(moment, f"{timezone.localtime(moment):%H:%M:%S}")


def _time_element(moment: dt.datetime, text: str) -> SafeString:
    title = date_format(timezone.localtime(moment), f"{_DAY}, H:i:s e")
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), title, text)


@register.filter
def outcome(value: str) -> str | Promise:
    """The outcome of a request, as text."""
    return _OUTCOMES.get(value, value)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """The value of a key that is itself a variable."""
    return mapping.get(key) if hasattr(mapping, "get") else None
