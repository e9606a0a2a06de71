"""Settings over the API: what holds and where it is from; those that are open can be changed."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.pace import slow
from console.pages.settings import ROWS
from gateway import store
from gateway.api.resources import body_of, guarded, reply
from gateway.models import Setting
from gateway.providers.masks import mask
from gateway.store.documents import Owned, Refused
from gateway.store.options import OPTIONS, origin_of

router = Router(tags=["settings"])


class SettingOut(Schema):
    """A setting.

    Attributes:
        value: null for a secret, and for what may hold one.
        origin: `environment`, `file`, `database` or `default`.
        ref: the variable or the place in a file that decides it.
        open: whether PATCH can change it.
        problem: why what is kept can not be used, so that the default holds.
    """

    name: str
    value: Any
    origin: str
    ref: str
    open: bool
    problem: str


class SettingsOut(Schema):
    """All settings, those that can be changed first."""

    items: list[SettingOut]


class SettingsChange(Schema):
    """Some of the settings that are open; null sets one back to the usual."""

    log_bodies: bool | None = None
    row_days: int | None = None
    body_days: int | None = None
    masks: list[str] | None = None
    limits: dict[str, int | None] | None = None
    budget: dict[str, Any] | None = None


@router.get("/settings", response=SettingsOut)
def list_settings(request: HttpRequest) -> Any:
    """What holds now, and where it is from. No secret is told."""
    return _all()


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SettingsChange.model_json_schema()}},
    }
}


@router.patch("/settings", response=SettingsOut, openapi_extra=_BODY)
def change_settings(request: HttpRequest) -> HttpResponse:
    """Change some (a JSON merge patch). Every process uses it within a second."""
    return guarded(lambda: _changed(body_of(request)))


def _changed(given: dict[str, Any]) -> HttpResponse:
    held = store.load_options().held
    for name, value in given.items():
        if name not in OPTIONS:
            raise Refused(name[:200], "there is no such setting, or it is the environment's")
        if not held[name].open:
            raise Owned(name, f"{held[name].ref} decides it: change it there")
        if value is not None:
            _check(name, value)
    with transaction.atomic():
        store.set_options({name: value for name, value in given.items() if value is not None})
        usual = [name for name, value in given.items() if value is None]
        for row in Setting.objects.filter(name__in=usual):
            row.delete()
    return reply(200, _all())


def _check(name: str, value: Any) -> None:
    try:
        OPTIONS[name].check(value)
    except ValueError as error:
        raise Refused(name, str(error)) from None
    for place, pattern in enumerate(value if name == "masks" else ()):
        if slow(mask(pattern)):
            raise Refused(f"masks[{place}]", "it takes too long on long bodies; make it more exact")


def _all() -> dict[str, Any]:
    options = [
        {
            "name": name,
            "value": list(held.value) if isinstance(held.value, tuple) else held.value,
            "origin": held.origin,
            "ref": held.ref,
            "open": held.open,
            "problem": held.problem,
        }
        for name, held in store.load_options().held.items()
    ]
    ours = {option.variable for option in OPTIONS.values()}
    return {"items": options + [_variable(row) for row in ROWS if row.variable not in ours]}


def _variable(row: Any) -> dict[str, Any]:
    origin = origin_of(row.variable)
    value = row.value
    plain = value if isinstance(value, bool | int | float | None) else str(value)
    return {
        "name": row.variable,
        "value": [str(item) for item in value] if isinstance(value, list | tuple) else plain,
        "origin": "file" if row.generated and origin == "default" else origin,
        "ref": row.variable + ("_FILE" if origin == "file" else ""),
        "open": False,
        "problem": "",
    }
