"""Providers over the API: connection tests, and their model lists compared with ours."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.pages.providers.connection_test import ConnectionTest, run_connection_test
from console.pages.providers.fetch import PRICES, add_listed, compare, store_listed_prices
from gateway import store
from gateway.api.failures import Problem, failure
from gateway.api.idempotency import run_once
from gateway.api.resources import not_found_response, reply, run_guarded
from gateway.models import Provider
from gateway.relay.passthrough.model_catalog import ListedModel, ModelCatalog, list_models
from gateway.relay.upstream.client import Upstreams
from gateway.routing.snapshot import Provider as ProviderValue
from gateway.store.documents import KINDS, Refused

router = Router(tags=["providers"])
_PROVIDERS = KINDS["providers"]


class TestIn(Schema):
    """The model to send a short prompt to; empty to list the models."""

    model: str = ""


class NewTestIn(TestIn):
    """A provider document to test without saving it."""

    provider: dict[str, Any]


class TestOut(Schema):
    """The result of a connection test.

    Attributes:
        ms: how long it took; null if nothing was sent.
        message: the upstream's error message, or the model's reply.
        model: the prompted model; empty if the models were listed.
        model_count: number of listed models; null if a model was prompted.
        status: the HTTP status of a failed request.
    """

    ok: bool
    ms: float | None
    message: str
    model: str
    model_count: int | None
    status: int | None


class ListedOut(Schema):
    """A model on the provider's list; prices in US dollars per million tokens."""

    name: str
    context_window: int | None
    prices: dict[str, Decimal]


class RepricedOut(ListedOut):
    """A model with a different price on the provider's list; `before` is the current price."""

    before: dict[str, Decimal | None]


class CatalogOut(Schema):
    """Differences between the provider's list and the registry.

    If `ok` is false the list could not be read: `message` and `status` say why.
    """

    ok: bool
    ms: float
    message: str
    status: int | None
    new: list[ListedOut]
    missing: list[str]
    changed: list[RepricedOut]
    unchanged: int


class ModelImportIn(Schema):
    """Names of models to `add`, to `price` (update their prices) and to `delete`.

    Only models that are missing from the list can be deleted.
    """

    add: list[str] = []
    price: list[str] = []
    delete: list[str] = []


class ModelImportOut(Schema):
    """Number of models added, repriced and deleted."""

    added: int
    repriced: int
    deleted: int


@router.post("/test-provider", response=TestOut)
def test_new_provider(request: HttpRequest, payload: NewTestIn) -> HttpResponse:
    """Test a provider without saving it."""
    values: list[ProviderValue] = []

    def operation() -> HttpResponse:
        row = _PROVIDERS.write(dict(payload.provider), None)
        values.append(_provider_value(row))
        transaction.set_rollback(True)
        return HttpResponse()

    response = run_guarded(operation)
    if not values:
        return response
    return _run_test(values[0], payload.model)


@router.post("/providers/{path:name}/test", response=TestOut)
def test_provider(request: HttpRequest, name: str, payload: TestIn) -> HttpResponse:
    """Test a saved provider: list its models, or send a short prompt to `model`."""
    return _with_provider(name, lambda row: _run_test(_provider_value(row), payload.model))


@router.post("/providers/{path:name}/upstream-models", response=CatalogOut)
def list_upstream_models(request: HttpRequest, name: str) -> HttpResponse:
    """List the provider's models and compare them with the registry, without changes."""
    return _with_provider(name, lambda row: reply(200, _catalog_out(row, _fetch_catalog(row))))


def _with_provider(name: str, operation: Callable[[Provider], HttpResponse]) -> HttpResponse:
    """Run `operation` for a provider, without a transaction, as it calls the provider."""
    row: Provider | None = _PROVIDERS.find(name)
    if row is None:
        return not_found_response(_PROVIDERS, name)
    try:
        return operation(row)
    except Refused as error:
        return failure(422, error.reason, error.field)


@router.post("/providers/{path:name}/import-models", response={200: ModelImportOut, 502: Problem})
def import_provider_models(request: HttpRequest, name: str, payload: ModelImportIn) -> HttpResponse:
    """Fetch the list again and apply the selection to the registry, all or nothing."""
    return run_once(
        request, lambda: _with_provider(name, lambda row: _import_selection(row, payload))
    )


def _import_selection(row: Provider, selection: ModelImportIn) -> HttpResponse:
    catalog = _fetch_catalog(row)
    if not catalog.ok:
        return failure(502, f"the provider's list could not be read: {catalog.detail}")
    listed_models = {model.name: model for model in catalog.models}
    return run_guarded(lambda: _apply_selection(row, listed_models, selection))


def _apply_selection(
    row: Provider, listed_models: dict[str, ListedModel], selection: ModelImportIn
) -> HttpResponse:
    for field in ("add", "price"):
        for index, name in enumerate(getattr(selection, field)):
            if name not in listed_models:
                raise Refused(f"{field}[{index}]", f"`{name[:200]}` is not on the provider's list")
    rows_by_name = {row_of_model.name: row_of_model for row_of_model in row.models.all()}
    for index, name in enumerate(selection.delete):
        if name not in rows_by_name or name in listed_models:
            raise Refused(f"delete[{index}]", f"`{name[:200]}` is not missing from the list")
    added_models = add_listed(row, [listed_models[name] for name in selection.add])
    repriced = store_listed_prices(row, [listed_models[name] for name in selection.price])
    for name in selection.delete:
        rows_by_name[name].delete()
    return reply(
        200, {"added": added_models, "repriced": repriced, "deleted": len(selection.delete)}
    )


def _provider_value(row: Provider) -> ProviderValue:
    """The provider as the gateway would call it. Raises Refused."""
    try:
        return store.provider_value(row)
    except ValueError as error:
        raise Refused("", str(error)) from None


def _run_test(value: ProviderValue, model: str) -> HttpResponse:
    result: ConnectionTest = async_to_sync(run_connection_test)(value, model.strip()[:200])
    test_out = {
        "ok": result.ok,
        "ms": result.ms,
        "message": result.message,
        "model": result.model,
        "model_count": result.model_count,
        "status": result.status,
    }
    return reply(200, test_out)


def _fetch_catalog(row: Provider) -> ModelCatalog:
    return async_to_sync(_list_models)(_provider_value(row))


async def _list_models(value: ProviderValue) -> ModelCatalog:
    upstreams = Upstreams()
    try:
        return await list_models(upstreams, value)
    finally:
        await upstreams.close()


def _catalog_out(row: Provider, catalog: ModelCatalog) -> dict[str, Any]:
    rows = list(row.models.order_by("name")) if catalog.ok else []
    diff = compare(catalog.models, rows, row.preset)
    changed_models = [
        {
            **_listed_out(change.listed_model),
            "before": {name: change.before[name] for name in PRICES},
        }
        for change in diff.changed
    ]
    return {
        "ok": catalog.ok,
        "ms": catalog.ms,
        "message": catalog.detail,
        "status": catalog.status,
        "new": [_listed_out(model) for model in diff.new],
        "missing": [missing_model.name for missing_model in diff.missing],
        "changed": changed_models,
        "unchanged": diff.unchanged,
    }


def _listed_out(model: ListedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "context_window": model.context_window,
        "prices": dict(model.prices),
    }
