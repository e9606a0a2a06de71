"""The registry as JSON, to read. Credentials are never part of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema

from gateway import store
from gateway.models import Model, Provider
from gateway.routing.snapshot import Route

router = Router(tags=["registry"])


class ProviderOut(Schema):
    """A provider as its row says; empty means "as the preset".

    `credential` is the variable it is read from (`$NAME`), or how a stored one ends.
    """

    name: str
    preset: str
    dialect: str
    base_url: str
    auth: str
    credential: str
    source: str
    source_ref: str
    enabled: bool


class ModelOut(Schema):
    """A model, and what an operator changed of it. Prices: US dollars per million tokens."""

    provider: str
    name: str
    traits: Any
    learned: Any
    price_input: Decimal | None
    price_output: Decimal | None
    price_cache_read: Decimal | None
    price_cache_write: Decimal | None
    price_cache_write_1h: Decimal | None
    source: str
    source_ref: str
    enabled: bool


_MODEL_FIELDS = tuple(name for name in ModelOut.model_fields if name != "provider")


class RouteOut(Schema):
    """A route as the gateway uses it."""

    name: str
    strategy: str
    targets: list[str]
    aliases: list[str]
    retries: int
    fallbacks: list[str]
    strict: bool


class WarningOut(Schema):
    """A row that was left out of the registry in use, and why."""

    row: str
    why: str


@router.get("/providers", response=list[ProviderOut])
def list_providers(request: HttpRequest) -> list[dict[str, Any]]:
    """All providers."""
    return [
        {
            "name": row.name,
            "preset": row.preset,
            "dialect": row.dialect,
            "base_url": row.base_url,
            "auth": row.auth,
            "credential": _credential(row),
            "source": row.source,
            "source_ref": row.source_ref,
            "enabled": row.enabled,
        }
        for row in Provider.objects.all()
    ]


def _credential(row: Provider) -> str:
    if row.credential:
        return store.credential_hint(row)
    return f"${row.credential_env}" if row.credential_env else ""


@router.get("/models", response=list[ModelOut])
def list_models(request: HttpRequest) -> list[dict[str, Any]]:
    """All models that have a row; `provider/model` works without one."""
    return [
        {**{name: getattr(row, name) for name in _MODEL_FIELDS}, "provider": row.provider.name}
        for row in Model.objects.select_related("provider")
    ]


@router.get("/routes", response=list[RouteOut])
def list_routes(request: HttpRequest) -> list[dict[str, Any]]:
    """The routes in use, with their other names."""
    snapshot = store.load_snapshot()
    names: dict[str, list[str]] = {}
    for pattern, route in [*snapshot.aliases.items(), *snapshot.wildcards]:
        names.setdefault(route, []).append(pattern)
    return [_route(route, names.get(name, [])) for name, route in sorted(snapshot.routes.items())]


def _route(route: Route, aliases: list[str]) -> dict[str, Any]:
    return {
        "name": route.name,
        "strategy": route.strategy,
        "targets": [target.model.label for target in route.targets],
        "aliases": aliases,
        "retries": route.retries,
        "fallbacks": list(route.fallbacks),
        "strict": route.strict,
    }


@router.get("/warnings", response=list[WarningOut])
def list_warnings(request: HttpRequest) -> list[dict[str, str]]:
    """Rows that are left out, and why."""
    return [{"row": w.row, "why": w.why} for w in store.load_snapshot().warnings]
