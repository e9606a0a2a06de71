"""Parses the free-form fields of registry rows into values of the hot path.

Each function raises ValueError with a message for the operator that shows no secret value.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.models.sealed import UndecryptableError, refuse_sealed
from gateway.providers import edits as edit_rules
from gateway.providers.auth import VARIABLE_PREFIX, build_auth_headers
from gateway.providers.profile import Edit, Secret
from gateway.routing.active_hours import parse_active_hours
from gateway.routing.candidates import CONDITIONS, ERROR_CLASSES
from gateway.routing.route_spec import RouteOptions, StepOptions
from gateway.routing.snapshot import MIN_HEALTH_CHECK_INTERVAL_S, RouteStep, Timeouts
from gateway.routing.strategies import STRATEGIES
from gateway.store.credentials import variable_value

Pairs = tuple[tuple[str, str], ...]


class InvalidField(ValueError):
    """A value that cannot be used.

    Attributes:
        field: the name of the row's field.
        message: what is wrong; without the field's name, which `label` adds to the text.
    """

    def __init__(self, field: str, message: str, *, label: str = "") -> None:
        super().__init__(f"{label}: {message}" if label else message)
        self.field, self.message = field, message


# Options that have the same name and type in a row, a spec and a snapshot.
STEP_OPTIONS = StepOptions.__struct_fields__
ROUTE_OPTIONS = tuple(name for name in RouteOptions.__struct_fields__ if name != "fallbacks")
MAX_COUNT_BY_KIND = 100
TAG_MATCHES = ("any", "all")
# The empty one is off.
PROMPT_CACHES = ("", "5m", "1h")
MAX_TAGS, MAX_TAG = 50, 128

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They frame the message: setting one would break the connection or smuggle requests.
_FRAMING = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"}
)
_BAD_URL = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


# Times that exist in every time zone: pages show them in the reader's.
_FIRST_TIME = dt.datetime(1, 1, 3, tzinfo=dt.UTC)
_LAST_TIME = dt.datetime(9999, 12, 29, tzinfo=dt.UTC)


def in_utc(time: dt.datetime) -> dt.datetime:
    """The time, in UTC if it has no time zone; at the ends of the calendar, one nearby."""
    aware_time = time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)
    return min(max(aware_time, _FIRST_TIME), _LAST_TIME)


def base_url(text: str) -> str:
    """A base URL without its trailing slash."""
    if not text:
        raise InvalidField("base_url", "it has no base URL, and its preset has none either")
    if _BAD_URL.search(text):
        raise InvalidField("base_url", "it contains invalid characters", label="base_url")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises ValueError for an invalid port
    except ValueError as error:
        raise InvalidField("base_url", f"it is not a URL: {error}", label="base_url") from None
    # `demo` is the in-process provider.
    if parts.scheme not in {"http", "https", "demo"} or not parts.hostname:
        message = f"it must be http:// or https:// and a host, not `{text[:80]}`"
        raise InvalidField("base_url", message, label="base_url")
    if parts.username is not None or parts.password is not None:
        message = "it must not contain a user name or password"
        raise InvalidField("base_url", message, label="base_url")
    if parts.query or parts.fragment:
        message = "it must not contain a query string; use the query parameters"
        raise InvalidField("base_url", message, label="base_url")
    return text.rstrip("/")


def check_provider_name(name: str) -> None:
    """Raise InvalidField for a name that cannot precede the slash of `provider/model`."""
    if not name or "/" in name or is_pattern(name):
        message = "its name must not be empty and must not contain a slash or a wildcard"
        raise InvalidField("name", message)


def check_credential(auth: str, credential: Secret) -> None:
    """Raise InvalidField for a credential that this auth scheme cannot send."""
    try:
        build_auth_headers(auth, credential)
    except ValueError as error:
        raise InvalidField("credential", str(error)) from None


def texts(value: Any, field: str) -> tuple[str, ...]:
    """A list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidField(field, f"{field} must be a list of strings")
    return tuple(value)


def pairs(value: Any, field: str) -> Pairs:
    """An object of strings, as pairs; numbers become strings."""
    if not isinstance(value, dict):
        raise InvalidField(field, f"{field} must be an object")
    pairs = []
    for name, content in value.items():
        if isinstance(content, bool) or not isinstance(content, str | int | float):
            raise InvalidField(field, f"the value of `{name}` must be a string", label=field)
        pairs.append((str(name), str(content)))
    return tuple(pairs)


def headers(base: Pairs, value: Any) -> Pairs:
    """The preset's headers, overridden and extended by the row's.

    A value `os.environ/NAME` is resolved, so that the row need not contain a secret.
    """
    row_headers = resolve_references(pairs(value, "headers"), "headers")
    for name, content in row_headers:
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING:
            raise InvalidField("headers", f"`{name[:80]}` may not be set", label="headers")
        if not content.isascii() or not content.isprintable():
            message = f"the value of `{name}` contains characters that are not allowed in headers"
            raise InvalidField("headers", message, label="headers")
    row_names = {name.lower() for name, _ in row_headers}
    return (*(pair for pair in base if pair[0].lower() not in row_names), *row_headers)


def query(value: Any) -> Pairs:
    """The query parameters; a value `os.environ/NAME` is resolved."""
    return resolve_references(pairs(value, "query"), "query")


def resolve_references(pairs: Pairs, field: str) -> Pairs:
    """The pairs, with `os.environ/NAME` replaced by the variable's value.

    Raises:
        InvalidField: a variable is not set, or is one of Dragoman's own.
    """
    return tuple((name, _resolve_reference(name, content, field)) for name, content in pairs)


def _resolve_reference(name: str, content: str, field: str) -> str:
    try:
        refuse_sealed(content)
        if not content.startswith(VARIABLE_PREFIX):
            return content
        return variable_value(content.removeprefix(VARIABLE_PREFIX))
    except LookupError as error:
        message = f"`{name[:80]}`: {error.args[0]}"
        raise InvalidField(field, message, label=field) from None
    except UndecryptableError as error:
        raise InvalidField(field, f"`{name[:80]}`: {error}", label=field) from None


def paths(base: dict[str, str], value: Any) -> dict[str, str]:
    """Path templates by verb; null means the preset's."""
    if value is None:
        return base
    templates = dict(pairs(value, "paths"))
    for verb, path in templates.items():
        if not path.startswith("/") or _BAD_URL.search(path):
            raise InvalidField("paths", f"`{verb}` must start with a slash", label="paths")
    return templates


def edits(value: Any) -> tuple[Edit, ...]:
    """The edits of a row, validated."""
    try:
        edits = msgspec.convert(value, tuple[Edit, ...])
    except msgspec.ValidationError as error:
        raise InvalidField("edits", str(error), label="edits") from None
    for edit in edits:
        try:
            edit_rules.check(edit)
        except ValueError as error:
            raise InvalidField("edits", str(error)) from None
    return edits


def timeouts(base: Timeouts, value: Any) -> Timeouts:
    """The timeouts, with the given ones replaced."""
    if not isinstance(value, dict):
        raise InvalidField("timeouts", "timeouts must be an object")
    field_names = set(Timeouts.__struct_fields__)
    for name, seconds in value.items():
        if name not in field_names:
            message = f"`{name}` is not one of {_join_sorted(field_names)}"
            raise InvalidField("timeouts", message, label="timeouts")
        if not _is_positive(seconds):
            message = f"`{name}` must be a number of seconds above 0"
            raise InvalidField("timeouts", message, label="timeouts")
    changes = {name: float(seconds) for name, seconds in value.items()}
    return msgspec.structs.replace(base, **changes)


def step(order: int, values: Mapping[str, Any]) -> RouteStep:
    """A step with its options (STEP_OPTIONS) validated."""
    requires, excludes = (
        _check_choices(values[name], CONDITIONS, name) for name in ("requires", "excludes")
    )
    contradictions = set(requires) & set(excludes)
    if contradictions:
        raise ValueError(f"it cannot require and exclude {_join_sorted(contradictions)}")
    seconds = values["first_token_s"]
    if seconds is not None and not _is_positive(seconds):
        raise ValueError("first_token_s must be a number of seconds above 0")
    if values["active_hours"]:
        parse_active_hours(values["active_hours"])
    min_context, max_context = values["min_context"], values["max_context"]
    if min_context is not None and max_context is not None and min_context > max_context:
        raise ValueError("min_context is greater than max_context")
    return RouteStep(
        order=order,
        name=values["name"],
        strategy=check_choice(values["strategy"], STRATEGIES, "the strategy"),
        fallback_on=_check_choices(values["fallback_on"], ERROR_CLASSES, "fallback_on"),
        requires=requires,
        excludes=excludes,
        min_context=min_context,
        max_context=max_context,
        require_capabilities=values["require_capabilities"],
        first_token_s=seconds,
        tags=tags(values["tags"]),
        active_hours=values["active_hours"],
    )


def tags(value: Any) -> tuple[str, ...]:
    """A list of tags, none of them empty."""
    tags = texts(value, "tags")
    if len(tags) > MAX_TAGS or not all(0 < len(tag) <= MAX_TAG for tag in tags):
        raise ValueError(f"tags must be at most {MAX_TAGS} texts of 1 to {MAX_TAG} characters")
    return tags


def route_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a route (ROUTE_OPTIONS), validated."""
    options = {name: values[name] for name in ROUTE_OPTIONS}
    for name in ("retries_by_kind", "cooldown_after_by_kind"):
        options[name] = _check_counts_by_kind(values[name], name)
    options["fallbacks_by_kind"] = fallbacks_by_kind(values["fallbacks_by_kind"])
    options["guardrails"] = texts(list(values["guardrails"]), "guardrails")
    check_choice(values["tag_match"], TAG_MATCHES, "tag_match")
    check_choice(values["prompt_cache"], PROMPT_CACHES, "prompt_cache")
    for name in ("backoff_s", "max_wait_s"):
        if values[name] != 0 and not _is_positive(values[name]):
            raise ValueError(f"{name} must be a number of seconds, 0 or above")
    if values["hedge_after_s"] is not None and not _is_positive(values["hedge_after_s"]):
        raise ValueError("hedge_after_s must be a number of seconds above 0")
    if not 0 <= values["shadow_share"] <= 1:
        raise ValueError("shadow_share must be a share of the requests, from 0 to 1")
    interval_s = values["health_check_interval_s"]
    if interval_s is not None and not (
        _is_positive(interval_s) and interval_s >= MIN_HEALTH_CHECK_INTERVAL_S
    ):
        raise ValueError(
            f"health_check_interval_s must be at least {MIN_HEALTH_CHECK_INTERVAL_S:g} seconds"
        )
    return options


def fallbacks_by_kind(value: Any) -> dict[str, tuple[str, ...]]:
    """Route names by error class."""
    if not isinstance(value, dict):
        raise ValueError("fallbacks_by_kind must be an object of lists")
    names_by_kind = {}
    for name, routes in value.items():
        check_choice(name, ERROR_CLASSES, "fallbacks_by_kind")
        names = list(routes) if isinstance(routes, tuple) else routes
        names_by_kind[name] = texts(names, f"fallbacks_by_kind.{name}")
    return {name: routes for name, routes in names_by_kind.items() if routes}


def _check_counts_by_kind(value: Any, field: str) -> dict[str, int]:
    if not isinstance(value, dict):
        raise ValueError(f"{field} must be an object of numbers")
    for name, count in value.items():
        check_choice(name, ERROR_CLASSES, field)
        is_integer = isinstance(count, int) and not isinstance(count, bool)
        if not is_integer or not 0 <= count <= MAX_COUNT_BY_KIND:
            message = f"`{name}` must be a whole number from 0 to {MAX_COUNT_BY_KIND}"
            raise InvalidField(field, message, label=field)
    return dict(value)


def _check_choices(value: Any, choices: Iterable[str], field: str) -> tuple[str, ...]:
    return tuple(check_choice(name, choices, field) for name in texts(value, field))


def _is_positive(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return False
    return math.isfinite(number) and number > 0


def _join_sorted(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def check_choice(value: str, choices: Iterable[str], field: str) -> str:
    """The value, if it is one of `choices`."""
    if value not in choices:
        message = f"{field} `{value[:80]}` is not one of {_join_sorted(choices)}"
        raise InvalidField(field.removeprefix("the ").replace(" ", "_"), message)
    return value


def specificity(pattern: str) -> tuple[int, int, str]:
    """A sort key: patterns with a longer literal prefix sort first."""
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return (-len(literal), -len(re.sub(r"[*?]", "", pattern)), pattern)


def is_pattern(name: str) -> bool:
    """Whether a name contains wildcards."""
    return any(wildcard in name for wildcard in "*?[")


def split_names(text: str) -> list[str]:
    """The comma-separated names in a text, without duplicates."""
    return list(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))
