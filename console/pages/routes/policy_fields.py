"""Reliability options of a route: retries, cooldown, hedging, shadow traffic, health checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from gateway.routing.active_hours import parse_active_hours
from gateway.routing.candidates import CLASSES
from gateway.routing.route_spec import RouteSpec
from gateway.routing.snapshot import MIN_HEALTH_CHECK_INTERVAL_S
from gateway.store.field_values import MAX_TAG, MAX_TAGS, PROMPT_CACHES

Errors = dict[str, str]

# Options of a route that are counts by error class.
COUNTS_BY_CLASS = ("retries_by_kind", "cooldown_after_by_kind")
# Numeric options and their defaults; a share is entered in percent.
NUMBER_DEFAULTS = {
    "backoff_s": "0.25",
    "max_wait_s": "2",
    "cooldown_after": "3",
    "hedge_after_s": "",
    "shadow_share": "0",
    "health_check_interval_s": "",
}


@dataclass(slots=True)
class PolicyDraft:
    """The options as entered. Keys of `counts` are such as `retries_by_kind:<kind>`."""

    numbers: dict[str, str] = field(default_factory=lambda: dict(NUMBER_DEFAULTS))
    counts: dict[str, str] = field(default_factory=dict)
    fallbacks_by_kind: dict[str, list[str]] = field(default_factory=dict)
    retry_before_fallback: bool = False
    require_capabilities: bool = False
    tag_match: str = "any"
    shadow: str = ""
    prompt_cache: str = ""
    guardrails: list[str] = field(default_factory=list)
    web_search: bool = True


def policy_draft(document: RouteSpec) -> PolicyDraft:
    """The draft of a document's reliability options."""
    numbers = {
        name: "" if (value := getattr(document, name)) is None else f"{value:.10g}"
        for name in NUMBER_DEFAULTS
    }
    numbers["shadow_share"] = f"{document.shadow_share * 100:.10g}"
    return PolicyDraft(
        numbers=numbers,
        counts={
            f"{field_name}:{name}": str(times)
            for field_name in COUNTS_BY_CLASS
            for name, times in getattr(document, field_name).items()
        },
        fallbacks_by_kind={
            name: list(routes) for name, routes in document.fallbacks_by_kind.items()
        },
        retry_before_fallback=document.retry_before_fallback,
        require_capabilities=document.require_capabilities,
        tag_match=document.tag_match,
        shadow=document.shadow,
        prompt_cache=document.prompt_cache,
        guardrails=list(document.guardrails),
        web_search=document.web_search,
    )


def policy_from_form(data: QueryDict) -> PolicyDraft:
    """The draft from form data. Numbers that are missing get their defaults."""
    counts = {
        f"{field_name}:{name}": text
        for field_name in COUNTS_BY_CLASS
        for name in CLASSES
        if (text := data.get(f"{field_name}-{name}", "").strip())
    }
    fallbacks = {
        name: list(dict.fromkeys(data.getlist(f"fallbacks_by_kind-{name}"))) for name in CLASSES
    }
    return PolicyDraft(
        numbers={
            name: data.get(name, default).strip() for name, default in NUMBER_DEFAULTS.items()
        },
        counts=counts,
        fallbacks_by_kind={
            name: [r for r in routes if r] for name, routes in fallbacks.items() if any(routes)
        },
        retry_before_fallback=data.get("retry_before_fallback") == "1",
        require_capabilities=data.get("require_capabilities") == "1",
        tag_match="all" if data.get("tag_match") == "all" else "any",
        shadow=data.get("shadow", "").strip(),
        prompt_cache=data.get("prompt_cache", "").strip(),
        guardrails=list(dict.fromkeys(name for name in data.getlist("guardrail") if name)),
        web_search=data.get("web_search") != "0",
    )


def policy_values(policy: PolicyDraft, errors: Errors) -> dict[str, Any]:
    """The document's fields; invalid input is reported in `errors`."""

    def number(name: str, minimum: float, maximum: float, *, integer: bool = False) -> float | None:
        text = policy.numbers.get(name, NUMBER_DEFAULTS[name])
        return parse_number(errors, name, text, minimum=minimum, maximum=maximum, integer=integer)

    counts: dict[str, dict[str, int]] = {field_name: {} for field_name in COUNTS_BY_CLASS}
    for key, text in policy.counts.items():
        field_name, _colon, name = key.partition(":")
        count = parse_number(errors, f"{field_name}-{name}", text, integer=True, maximum=100)
        if count is not None:
            counts[field_name][name] = int(count)
    if policy.prompt_cache not in PROMPT_CACHES:
        errors["prompt_cache"] = _("choose off, 5m or 1h")
    share = number("shadow_share", 0, 100) or 0.0
    if share and not policy.shadow:
        errors["shadow"] = _("choose a shadow route")
    return {
        **counts,
        "backoff_s": number("backoff_s", 0, 60) or 0.0,
        "max_wait_s": number("max_wait_s", 0, 60) or 0.0,
        "cooldown_after": int(number("cooldown_after", 1, 100, integer=True) or 3),
        "hedge_after_s": number("hedge_after_s", 0.01, 600),
        "shadow": policy.shadow,
        "prompt_cache": policy.prompt_cache,
        "guardrails": tuple(policy.guardrails),
        "web_search": policy.web_search,
        "shadow_share": round(share / 100, 6),
        "health_check_interval_s": number(
            "health_check_interval_s", MIN_HEALTH_CHECK_INTERVAL_S, 86_400
        ),
        "fallbacks_by_kind": {
            name: tuple(routes) for name, routes in policy.fallbacks_by_kind.items()
        },
        "retry_before_fallback": policy.retry_before_fallback,
        "require_capabilities": policy.require_capabilities,
        "tag_match": policy.tag_match,
    }


def parse_hours(text: str, name: str, errors: Errors) -> str:
    """Validate hours; empty, with an entry in `errors`, if they are invalid."""
    if not text:
        return ""
    try:
        parse_active_hours(text)
    except ValueError as error:
        errors[name] = f"{capfirst(str(error))}."
        return ""
    return text


def parse_tags(text: str) -> tuple[str, ...]:
    """Parse comma-separated tags; without NUL, which PostgreSQL rejects."""
    tags = (tag.strip()[:MAX_TAG] for tag in text.replace("\0", "").split(","))
    return tuple(dict.fromkeys(tag for tag in tags if tag))[:MAX_TAGS]


def parse_number(
    errors: Errors,
    name: str,
    text: str,
    *,
    integer: bool = False,
    minimum: float = 0,
    maximum: float = 1e9,
) -> float | None:
    """Parse a number; a comma may be the decimal separator, an empty text is None."""
    digits = text.replace(" ", "").replace(",", "" if integer else ".").removesuffix("%")
    if not digits:
        return None
    try:
        number = float(digits)
    except ValueError:
        number = float("nan")
    if not minimum <= number <= maximum or (integer and number != int(number)):
        errors[name] = _("Enter a number from %(min)s to %(max)s.") % {
            "min": f"{minimum:,.10g}",
            "max": f"{maximum:,.10g}",
        }
        return None
    return number
