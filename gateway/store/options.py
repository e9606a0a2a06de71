"""Settings that can be changed at run time, unless the environment sets them.

The environment takes precedence, then the rows of `Setting`, then the defaults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import msgspec
from django.conf import settings
from django.db import transaction

from gateway.models import RowSource, Setting
from gateway.models.cost import MAX_MARKUP
from gateway.providers.masks import Mask, compile_mask
from gateway.routing.end_users import END_USER_HEADERS, EndUser, parse_header_names
from gateway.routing.limits import Budget, Limits
from gateway.store.alert_thresholds import AlertThresholds, validate_thresholds
from gateway.store.key_values import (
    LimitsOrBudget,
    non_null_fields,
    validate_budget,
    validate_limits,
)

Origin = Literal["environment", "file", "database", "default"]

MAX_DAYS = 36_500
MAX_MASKS = 50
# End users with settings of their own; all of them are in the memory of each process.
MAX_END_USERS = 10_000
# Of the name of an end user, as in the request log.
MAX_END_USER_CHARS = 128


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: its environment variable, if it has one, and its validation.

    `default` is a function, as Django settings are read on access.
    """

    variable: str
    check: Callable[[Any], Any]
    default: Callable[[], Any]


class OptionValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value and its origin; `ref` names the variable or the position in a file."""

    value: Any
    origin: Origin
    ref: str = ""
    problem: str = ""

    @property
    def editable(self) -> bool:
        """Whether the console can change it."""
        return self.origin in {"database", "default"}


def _check_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _check_days(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DAYS:
        raise ValueError(f"must be a number of days from 0 to {MAX_DAYS}")
    return value


def _check_days_or_none(value: Any) -> int | None:
    return None if value is None else _check_days(value)


def _check_masks(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_MASKS:
        raise ValueError(f"must be a list of at most {MAX_MASKS} patterns")
    for text in value:
        if not isinstance(text, str):
            raise ValueError("a pattern must be text")
        compile_mask(text)
    return tuple(value)


def _check_markup(value: Any) -> str | None:
    """A number as text, so that no digit is lost."""
    if value is None or value == "":
        return None
    try:
        markup = Decimal(str(value))
    except InvalidOperation:
        markup = Decimal("nan")
    if isinstance(value, bool) or not markup.is_finite() or not 0 <= markup <= MAX_MARKUP:
        raise ValueError(f"must be a number from 0 to {MAX_MARKUP}, such as 1.2")
    return f"{markup.normalize():f}"


def _check_limits(value: Any) -> dict[str, Any]:
    return non_null_fields(validate_limits(_convert_object(value, Limits)))


def _check_budget(value: Any) -> dict[str, Any]:
    return non_null_fields(validate_budget(_convert_object(value, Budget)))


def _check_end_users(value: Any) -> dict[str, Any]:
    """End users by name, without what is not set."""
    if not isinstance(value, Mapping) or len(value) > MAX_END_USERS:
        raise ValueError(f"must be an object of at most {MAX_END_USERS} end users")
    checked_end_users: dict[str, Any] = {}
    for name, fields in value.items():
        if not name or len(name) > MAX_END_USER_CHARS or "\0" in name:
            raise ValueError(f"`{name[:80]}`: a name has 1 to {MAX_END_USER_CHARS} characters")
        try:
            end_user = msgspec.convert(fields, EndUser)
            document: dict[str, Any] = {
                "alias": end_user.alias,
                "blocked": end_user.blocked,
                "limits": _check_limits(fields.get("limits") or {}),
                "budget": _check_budget(fields.get("budget") or {}),
            }
        except ValueError as error:
            raise ValueError(f"`{name[:80]}`: {error}") from None
        checked_end_users[name] = {
            field: field_value for field, field_value in document.items() if field_value
        }
    return {name: document for name, document in checked_end_users.items() if document}


def _convert_object(value: Any, values_type: type[LimitsOrBudget]) -> LimitsOrBudget:
    field_names = values_type.__struct_fields__
    if not isinstance(value, Mapping):
        raise ValueError(f"must be an object of {', '.join(field_names)}")
    for name in value:
        if name not in field_names:
            raise ValueError(
                f"there is no `{str(name)[:80]}`; the names are {', '.join(field_names)}"
            )
    try:
        return msgspec.convert(value, values_type)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


OPTIONS: dict[str, Option] = {
    "log_bodies": Option(
        variable="DRAGOMAN_LOG_BODIES", check=_check_boolean, default=lambda: settings.LOG_BODIES
    ),
    "row_days": Option(
        variable="DRAGOMAN_LOG_RETENTION_DAYS",
        check=_check_days,
        default=lambda: settings.LOG_RETENTION_DAYS,
    ),
    # None: the same as row_days.
    "body_days": Option(variable="", check=_check_days_or_none, default=lambda: None),
    "masks": Option(variable="", check=_check_masks, default=tuple),
    # The factor from cost to charge where no key, team or provider sets one.
    "markup": Option(variable="", check=_check_markup, default=lambda: None),
    # Limits and budget of all requests together.
    "limits": Option(variable="", check=_check_limits, default=dict),
    "budget": Option(variable="", check=_check_budget, default=dict),
    # Limits and budget of each end user, over all keys.
    "end_user_limits": Option(variable="", check=_check_limits, default=dict),
    "end_user_budget": Option(variable="", check=_check_budget, default=dict),
    # Individual end users by name: what they have instead.
    "end_users": Option(variable="", check=_check_end_users, default=dict),
    # Headers that name the end user, before the ones that are known; headers that become tags.
    "end_user_headers": Option(variable="", check=parse_header_names, default=tuple),
    "tag_headers": Option(variable="", check=parse_header_names, default=tuple),
    "alert_thresholds": Option(variable="", check=validate_thresholds, default=dict),
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All settings with their current values."""

    values: dict[str, OptionValue]

    @property
    def log_bodies(self) -> bool:
        """Whether bodies are stored where neither key nor route sets it."""
        return bool(self.values["log_bodies"].value)

    @property
    def row_days(self) -> int:
        """Retention of log rows in days."""
        return int(self.values["row_days"].value)

    @property
    def body_days(self) -> int:
        """Retention of bodies in days; at most that of their rows."""
        days = self.values["body_days"].value
        return self.row_days if days is None else min(int(days), self.row_days)

    @property
    def markup(self) -> Decimal | None:
        """The factor from cost to charge; None charges the cost itself."""
        value = self.values["markup"].value
        return None if value is None else Decimal(value)

    @property
    def limits(self) -> Limits:
        """The limits of all requests together."""
        return msgspec.convert(self.values["limits"].value, Limits)

    @property
    def budget(self) -> Budget:
        """The budget of all requests together."""
        return msgspec.convert(self.values["budget"].value, Budget)

    @property
    def end_user_limits(self) -> Limits:
        """The limits of each end user."""
        return msgspec.convert(self.values["end_user_limits"].value, Limits)

    @property
    def end_user_budget(self) -> Budget:
        """The budget of each end user."""
        return msgspec.convert(self.values["end_user_budget"].value, Budget)

    @property
    def end_users(self) -> dict[str, EndUser]:
        """Individual end users, by name, with limits or a budget of their own, or blocked."""
        return msgspec.convert(self.values["end_users"].value, dict[str, EndUser])

    @property
    def end_user_headers(self) -> tuple[str, ...]:
        """Headers that name the end user, configured ones first."""
        header_names = tuple(self.values["end_user_headers"].value)
        return (*header_names, *(name for name in END_USER_HEADERS if name not in header_names))

    @property
    def alert_thresholds(self) -> AlertThresholds:
        """When the conditions of alerts hold."""
        return msgspec.convert(self.values["alert_thresholds"].value, AlertThresholds)

    @property
    def masks(self) -> tuple[Mask, ...]:
        """Patterns that are masked before anything is stored."""
        return tuple(compile_mask(text) for text in self.values["masks"].value)


def load_options() -> Options:
    """The current settings, read from environment and database."""
    rows = {row.name: row for row in Setting.objects.all()}
    return Options(values={name: _option_value(o, rows.get(name)) for name, o in OPTIONS.items()})


def _option_value(option: Option, row: Setting | None) -> OptionValue:
    origin = origin_of(option.variable)
    if origin != "default":
        suffix = "_FILE" if origin == "file" else ""
        return OptionValue(value=option.default(), origin=origin, ref=f"{option.variable}{suffix}")
    if row is None:
        return OptionValue(value=option.default(), origin="default")
    from_file = row.source == RowSource.FILE
    try:
        value = option.check(row.value)
    except ValueError as error:
        return OptionValue(value=option.default(), origin="default", problem=str(error))
    return OptionValue(value=value, origin="file" if from_file else "database", ref=row.source_ref)


def origin_of(variable: str) -> Origin:
    """`environment` if the variable is set, `file` if its `_FILE` variant is, else `default`."""
    if variable and os.environ.get(variable, "").strip():
        return "environment"
    return "file" if variable and os.environ.get(f"{variable}_FILE") else "default"


def set_options(values: dict[str, Any]) -> None:
    """Store these values; those that the environment sets stay unchanged.

    Raises:
        ValueError: a value is not allowed; nothing is changed then.
    """
    checked_values = {name: OPTIONS[name].check(value) for name, value in values.items()}
    with transaction.atomic():
        current_values = load_options().values
        for name, value in checked_values.items():
            if current_values[name].editable and (
                current_values[name].value != value or current_values[name].problem
            ):
                _save_option(name, list(value) if isinstance(value, tuple) else value)


def _save_option(name: str, value: Any) -> None:
    if value is not None and value != {}:
        Setting.objects.update_or_create(name=name, defaults={"value": value})
        return
    # The JSON column is not nullable; None is always the default, so the row is deleted.
    for row in Setting.objects.filter(name=name):
        row.delete()
