"""Settings over the API: values with their origin; editable settings can be changed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.pages.settings.pattern_speed import is_slow
from console.pages.settings.views import ROWS
from gateway import store
from gateway.api.resources import body_of, reply, run_guarded
from gateway.models import Setting
from gateway.providers.masks import compile_mask
from gateway.store.documents import OwnedElsewhere, Refused
from gateway.store.options import OPTIONS, origin_of

router = Router(tags=["settings"])


class SettingOut(Schema):
    """A setting.

    Attributes:
        value: null for secrets and for values that may contain one.
        origin: `environment`, `file`, `database` or `default`.
        ref: the variable or the position in a file that sets it.
        editable: whether PATCH can change it.
        problem: why the stored value is invalid, so that the default is used.
    """

    name: str
    value: Any
    origin: str
    ref: str
    editable: bool
    problem: str


class SettingsOut(Schema):
    """All settings, editable ones first."""

    items: list[SettingOut]


class SettingsChange(Schema):
    """Editable settings; null resets one to its default."""

    log_bodies: bool | None = None
    row_days: int | None = None
    body_days: int | None = None
    masks: list[str] | None = None
    markup: str | float | None = None
    limits: dict[str, int | None] | None = None
    budget: dict[str, Any] | None = None
    end_user_limits: dict[str, int | None] | None = None
    end_user_budget: dict[str, Any] | None = None
    end_users: dict[str, Any] | None = None
    end_user_headers: list[str] | None = None
    tag_headers: list[str] | None = None
    alert_thresholds: dict[str, int | None] | None = None


@router.get("/settings", response=SettingsOut)
def list_settings(request: HttpRequest) -> Any:
    """Current settings and their origin, without secrets."""
    return _all_settings()


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SettingsChange.model_json_schema()}},
    }
}


@router.patch("/settings", response=SettingsOut, openapi_extra=_BODY)
def change_settings(request: HttpRequest) -> HttpResponse:
    """Change settings (JSON merge patch). Takes effect in all processes within a second."""
    return run_guarded(lambda: _apply_changes(body_of(request)))


def _apply_changes(changes: dict[str, Any]) -> HttpResponse:
    options = store.load_options().values
    for name, value in changes.items():
        if name not in OPTIONS:
            raise Refused(name[:200], "there is no such setting, or only the environment sets it")
        if not options[name].editable:
            raise OwnedElsewhere(name, f"{options[name].ref} sets it: change it there")
        if value is not None:
            _check_setting(name, value)
    with transaction.atomic():
        store.set_options({name: value for name, value in changes.items() if value is not None})
        reset_names = [name for name, value in changes.items() if value is None]
        for row in Setting.objects.filter(name__in=reset_names):
            row.delete()
    return reply(200, _all_settings())


def _check_setting(name: str, value: Any) -> None:
    try:
        OPTIONS[name].check(value)
    except ValueError as error:
        raise Refused(name, str(error)) from None
    for index, pattern in enumerate(value if name == "masks" else ()):
        if is_slow(compile_mask(pattern)):
            raise Refused(f"masks[{index}]", "too slow on long bodies; use a more specific pattern")


def _all_settings() -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "value": list(option.value) if isinstance(option.value, tuple) else option.value,
            "origin": option.origin,
            "ref": option.ref,
            "editable": option.editable,
            "problem": option.problem,
        }
        for name, option in store.load_options().values.items()
    ]
    option_variables = {setting.variable for setting in OPTIONS.values()}
    return {
        "items": rows
        + [_environment_setting(row) for row in ROWS if row.variable not in option_variables]
    }


def _environment_setting(row: Any) -> dict[str, Any]:
    origin = origin_of(row.variable)
    value = row.value
    scalar = value if isinstance(value, bool | int | float | None) else str(value)
    return {
        "name": row.variable,
        "value": [str(item) for item in value] if isinstance(value, list | tuple) else scalar,
        "origin": "file" if row.generated and origin == "default" else origin,
        "ref": row.variable + ("_FILE" if origin == "file" else ""),
        "editable": False,
        "problem": "",
    }
