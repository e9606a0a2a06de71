"""Reliability options of a route: retries, cooldown, hedging, shadow traffic, health checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.routing.active_hours import parse_active_hours
from gateway.routing.candidates import ERROR_CLASSES
from gateway.routing.route_spec import RouteSpec
from gateway.routing.snapshot import MIN_HEALTH_CHECK_INTERVAL_S
from gateway.store.field_values import MAX_TAG, MAX_TAGS

Errors = dict[str, str]
Text = str | Promise


@dataclass(frozen=True, slots=True)
class NumberOption:
    """A number; an empty field is the default.

    Attributes:
        label: with the unit, the label of the field.
        placeholder: what an empty field means, if the default is None.
        scale: by which the value is multiplied in the form, as a share in percent.
    """

    label: Text
    minimum: float
    maximum: float
    unit: str = ""
    placeholder: Text = ""
    scale: float = 1
    integer: bool = False


@dataclass(frozen=True, slots=True)
class ChoiceOption:
    """One of some values; `choices` are form value -> value and label. The first is the default."""

    label: Text
    choices: Mapping[str, tuple[Any, Text]]


@dataclass(frozen=True, slots=True)
class RouteOption:
    """The name of another route, or empty."""

    label: Text


@dataclass(frozen=True, slots=True)
class CheckOption:
    """A checkbox; `text` is beside it."""

    label: Text
    text: Text


Option = NumberOption | ChoiceOption | RouteOption | CheckOption

# Field of a route -> how the form edits it, in the order of the form. An option with a field of
# its own kind is not here: counts by error class, fallbacks by error class and guardrails.
OPTIONS: dict[str, Option] = {
    "backoff_s": NumberOption(gettext_lazy("retry backoff"), 0, 60, "s"),
    "max_wait_s": NumberOption(gettext_lazy("max Retry-After"), 0, 60, "s"),
    "cooldown_after": NumberOption(gettext_lazy("failures before cooldown"), 1, 100, integer=True),
    "hedge_after_s": NumberOption(
        gettext_lazy("hedge after"), 0.01, 600, "s", gettext_lazy("never")
    ),
    "health_check_interval_s": NumberOption(
        gettext_lazy("health check interval"),
        MIN_HEALTH_CHECK_INTERVAL_S,
        86_400,
        "s",
        gettext_lazy("never"),
    ),
    "tag_match": ChoiceOption(
        gettext_lazy("tag matching"),
        {"any": ("any", gettext_lazy("any tag")), "all": ("all", gettext_lazy("all tags"))},
    ),
    "shadow": RouteOption(gettext_lazy("shadow route")),
    "shadow_share": NumberOption(gettext_lazy("shadow share"), 0, 100, "%", scale=100),
    "prompt_cache": ChoiceOption(
        gettext_lazy("prompt-cache breakpoints"),
        {
            "": ("", gettext_lazy("client only")),
            "5m": ("5m", gettext_lazy("automatic, 5 min")),
            "1h": ("1h", gettext_lazy("automatic, 1 hour")),
        },
    ),
    "web_search": ChoiceOption(
        gettext_lazy("web search by the gateway"),
        {"1": (True, gettext_lazy("automatic")), "0": (False, gettext_lazy("off"))},
    ),
    "retry_before_fallback": CheckOption(
        gettext_lazy("retry before the next step"),
        gettext_lazy(
            "Retry a step before trying the next step or a fallback route. "
            "Retries then count per step."
        ),
    ),
    "require_capabilities": CheckOption(
        gettext_lazy("skip targets that do not support the request"),
        gettext_lazy("In every step, skip targets that do not support the request"),
    ),
}
# Options of a route that are counts by error class.
COUNTS_BY_CLASS = ("retries_by_kind", "cooldown_after_by_kind")
_DEFAULTS = RouteSpec(name="")


@dataclass(slots=True)
class PolicyDraft:
    """The options as entered: `values` by the names of OPTIONS.

    Keys of `counts` are such as `retries_by_kind:<kind>`.
    """

    values: dict[str, str] = field(
        default_factory=lambda: {name: _entered_text(name, _DEFAULTS) for name in OPTIONS}
    )
    counts: dict[str, str] = field(default_factory=dict)
    fallbacks_by_kind: dict[str, list[str]] = field(default_factory=dict)
    guardrails: list[str] = field(default_factory=list)


def policy_draft(spec: RouteSpec) -> PolicyDraft:
    """The draft of a spec's reliability options."""
    return PolicyDraft(
        values={name: _entered_text(name, spec) for name in OPTIONS},
        counts={
            f"{field_name}:{name}": str(times)
            for field_name in COUNTS_BY_CLASS
            for name, times in getattr(spec, field_name).items()
        },
        fallbacks_by_kind={name: list(routes) for name, routes in spec.fallbacks_by_kind.items()},
        guardrails=list(spec.guardrails),
    )


def _entered_text(name: str, spec: RouteSpec) -> str:
    """The form value of an option."""
    value = getattr(spec, name)
    match OPTIONS[name]:
        case NumberOption(scale=scale):
            return "" if value is None else f"{value * scale:.10g}"
        case ChoiceOption(choices=choices):
            texts = (text for text, (choice, _label) in choices.items() if choice == value)
            return next(texts, "")
        case CheckOption():
            return "1" if value else ""
    return str(value)


def policy_from_form(data: QueryDict) -> PolicyDraft:
    """The draft from form data. Options that are missing get their defaults."""
    counts = {
        f"{field_name}:{name}": text
        for field_name in COUNTS_BY_CLASS
        for name in ERROR_CLASSES
        if (text := data.get(f"{field_name}-{name}", "").strip())
    }
    fallbacks = {
        name: list(dict.fromkeys(data.getlist(f"fallbacks_by_kind-{name}")))
        for name in ERROR_CLASSES
    }
    return PolicyDraft(
        values={
            # The browser leaves out an unchecked box.
            name: data.get(
                name, "" if isinstance(option, CheckOption) else _entered_text(name, _DEFAULTS)
            ).strip()
            for name, option in OPTIONS.items()
        },
        counts=counts,
        fallbacks_by_kind={
            name: [r for r in routes if r] for name, routes in fallbacks.items() if any(routes)
        },
        guardrails=list(dict.fromkeys(name for name in data.getlist("guardrail") if name)),
    )


def policy_values(policy: PolicyDraft, errors: Errors) -> dict[str, Any]:
    """The spec's fields; invalid input is reported in `errors`."""
    counts: dict[str, dict[str, int]] = {field_name: {} for field_name in COUNTS_BY_CLASS}
    for key, text in policy.counts.items():
        field_name, _colon, name = key.partition(":")
        count = parse_number(errors, f"{field_name}-{name}", text, integer=True, maximum=100)
        if count is not None:
            counts[field_name][name] = int(count)
    values = {name: _parse_option(name, policy.values[name], errors) for name in OPTIONS}
    if values["shadow_share"] and not values["shadow"]:
        errors["shadow"] = _("choose a shadow route")
    return {
        **counts,
        **values,
        "guardrails": tuple(policy.guardrails),
        "fallbacks_by_kind": {
            name: tuple(routes) for name, routes in policy.fallbacks_by_kind.items()
        },
    }


def _parse_option(name: str, text: str, errors: Errors) -> Any:
    match OPTIONS[name]:
        case NumberOption(minimum=minimum, maximum=maximum, integer=integer, scale=scale):
            number = parse_number(
                errors, name, text, minimum=minimum, maximum=maximum, integer=integer
            )
            if number is None:
                return getattr(_DEFAULTS, name)
            return int(number) if integer else round(number / scale, 6)
        case ChoiceOption(choices=choices):
            if text not in choices:
                errors[name] = _("choose one of the options")
                return getattr(_DEFAULTS, name)
            return choices[text][0]
        case CheckOption():
            return text == "1"
    return text


class PolicyField(NamedTuple):
    """A field of the form.

    Attributes:
        kind: `number`, `choice` or `check`.
        choices: form values and labels of a choice.
    """

    kind: str
    name: str
    label: str
    value: str
    error: str
    placeholder: str = ""
    integer: bool = False
    choices: tuple[tuple[str, str], ...] = ()


def policy_form_fields(
    policy: PolicyDraft, errors: Errors, other_routes: Iterable[str]
) -> list[PolicyField]:
    """The fields of OPTIONS with what was entered."""
    routes = (("", _("none")), *((name, name) for name in other_routes))
    fields = []
    for name, option in OPTIONS.items():
        value, error = policy.values[name], errors.get(name, "")
        label = capfirst(str(option.label))
        match option:
            case NumberOption(unit=unit, placeholder=placeholder, integer=integer):
                label = f"{label} ({unit})" if unit else label
                hint = str(placeholder) or _entered_text(name, _DEFAULTS)
                fields.append(PolicyField("number", name, label, value, error, hint, integer))
            case ChoiceOption(choices=choices):
                texts = tuple((text, str(title)) for text, (_value, title) in choices.items())
                fields.append(PolicyField("choice", name, label, value, error, choices=texts))
            case RouteOption():
                fields.append(PolicyField("choice", name, label, value, error, choices=routes))
            case CheckOption(text=text):
                fields.append(PolicyField("check", name, str(text), value, error))
    return fields


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
