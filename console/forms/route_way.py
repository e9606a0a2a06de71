"""How a route retries, rests, hedges, repeats and checks: as typed, and as it is meant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from gateway.routing.course import CLASSES
from gateway.routing.document import Document
from gateway.routing.hours import hours
from gateway.routing.snapshot import LEAST_CHECK_S
from gateway.store.compile import MAX_TAG, MAX_TAGS

Errors = dict[str, str]

# What of a route is counted by the class of a failure.
TIMES = ("retry", "allowed")
# Numbers of a route's way, and what they usually are; a share is typed in percent.
NUMBERS = {
    "backoff_s": "0.25",
    "max_wait_s": "2",
    "failures": "3",
    "hedge_after_s": "",
    "shadow_share": "0",
    "check_s": "",
}


@dataclass(slots=True)
class WayDraft:
    """All of it as typed: `counts` by `retry:<class>` and `allowed:<class>`, `on` by class."""

    numbers: dict[str, str] = field(default_factory=lambda: dict(NUMBERS))
    counts: dict[str, str] = field(default_factory=dict)
    on: dict[str, list[str]] = field(default_factory=dict)
    retry_first: bool = False
    able: bool = False
    tag_match: str = "any"
    shadow: str = ""


def way_draft(document: Document) -> WayDraft:
    """The draft that says what the document says."""
    numbers = {
        name: "" if (value := getattr(document, name)) is None else f"{value:.10g}"
        for name in NUMBERS
    }
    numbers["shadow_share"] = f"{document.shadow_share * 100:.10g}"
    return WayDraft(
        numbers=numbers,
        counts={
            f"{what}:{name}": str(times)
            for what in TIMES
            for name, times in getattr(document, what).items()
        },
        on={name: list(routes) for name, routes in document.fallbacks_on.items()},
        retry_first=document.retry_first,
        able=document.able,
        tag_match=document.tag_match,
        shadow=document.shadow,
    )


def sent_way(data: QueryDict) -> WayDraft:
    """The draft as it was sent. Numbers that were not sent are as usual."""
    counts = {
        f"{what}:{name}": text
        for what in TIMES
        for name in CLASSES
        if (text := data.get(f"{what}-{name}", "").strip())
    }
    on = {name: list(dict.fromkeys(data.getlist(f"on-{name}"))) for name in CLASSES}
    return WayDraft(
        numbers={name: data.get(name, usual).strip() for name, usual in NUMBERS.items()},
        counts=counts,
        on={name: [r for r in routes if r] for name, routes in on.items() if any(routes)},
        retry_first=data.get("retry_first") == "1",
        able=data.get("able") == "1",
        tag_match="all" if data.get("tag_match") == "all" else "any",
        shadow=data.get("shadow", "").strip(),
    )


def way_values(way: WayDraft, errors: Errors) -> dict[str, Any]:
    """The document's fields; what can not be read is told in `errors`."""

    def told(name: str, least: float, most: float, *, whole: bool = False) -> float | None:
        text = way.numbers.get(name, NUMBERS[name])
        return typed_number(errors, name, text, least=least, most=most, whole=whole)

    counts: dict[str, dict[str, int]] = {what: {} for what in TIMES}
    for key, text in way.counts.items():
        what, _colon, name = key.partition(":")
        found = typed_number(errors, f"{what}-{name}", text, whole=True, most=100)
        if found is not None:
            counts[what][name] = int(found)
    share = told("shadow_share", 0, 100) or 0.0
    if share and not way.shadow:
        errors["shadow"] = _("choose the route on which the requests are repeated")
    return {
        **counts,
        "backoff_s": told("backoff_s", 0, 60) or 0.0,
        "max_wait_s": told("max_wait_s", 0, 60) or 0.0,
        "failures": int(told("failures", 1, 100, whole=True) or 3),
        "hedge_after_s": told("hedge_after_s", 0.01, 600),
        "shadow": way.shadow,
        "shadow_share": round(share / 100, 6),
        "check_s": told("check_s", LEAST_CHECK_S, 86_400),
        "fallbacks_on": {name: tuple(routes) for name, routes in way.on.items()},
        "retry_first": way.retry_first,
        "able": way.able,
        "tag_match": way.tag_match,
    }


def typed_hours(text: str, name: str, errors: Errors) -> str:
    """Hours as typed; empty, and told in `errors`, where they can not be read."""
    if not text:
        return ""
    try:
        hours(text)
    except ValueError as error:
        errors[name] = str(error)
        return ""
    return text


def typed_tags(text: str) -> tuple[str, ...]:
    """Tags as typed, apart by commas."""
    found = (tag.strip()[:MAX_TAG] for tag in text.split(","))
    return tuple(dict.fromkeys(tag for tag in found if tag))[:MAX_TAGS]


def typed_number(
    errors: Errors,
    name: str,
    text: str,
    *,
    whole: bool = False,
    least: float = 0,
    most: float = 1e9,
) -> float | None:
    """A number as typed; a comma may stand for the point, an empty text for none."""
    plain = text.replace(" ", "").replace(",", "" if whole else ".").removesuffix("%")
    if not plain:
        return None
    try:
        found = float(plain)
    except ValueError:
        found = float("nan")
    if not least <= found <= most or (whole and found != int(found)):
        errors[name] = _("a number from %(least)g to %(most)g") % {"least": least, "most": most}
        return None
    return found
