"""Compares a provider's model list with the registry: new, missing and repriced models."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from console.access import admin
from console.numbers import number_in
from console.pages.providers.failure_hints import failure_hint
from console.pages.providers.views import PAGE
from console.templatetags.ui import count
from gateway import store
from gateway.models import Model, Provider
from gateway.providers.capabilities import traits_for
from gateway.providers.prices import price_for
from gateway.relay.passthrough.model_catalog import ListedModel, ModelCatalog, list_models
from gateway.relay.upstream.client import Upstreams

_SALT = "dragoman: a fetched list of models"
_TOKEN_TTL_S = 3600
PRICES = ("input", "output", "cache_read", "cache_write")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A model of both lists with a different price."""

    row: Any
    listed_model: ListedModel
    before: dict[str, Decimal | None]


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """Differences between the provider's list and the registry."""

    new: list[ListedModel]
    missing: list[Any]
    changed: list[Change]
    unchanged: int


def compare(listed_models: tuple[ListedModel, ...], rows: list[Model], preset: str) -> Diff:
    """Return the differences; wildcard rows are ignored, since no provider lists them."""
    listed_by_name = {model.name: model for model in listed_models}
    rows_by_name = {row.name: row for row in rows}
    pairs = [
        (rows_by_name[name], listed_by_name[name])
        for name in listed_by_name
        if name in rows_by_name
    ]
    changes = [change for row, model in pairs if (change := _model_change(row, model, preset))]
    return Diff(
        new=[model for model in listed_models if model.name not in rows_by_name],
        missing=[row for row in rows if row.name not in listed_by_name and "*" not in row.name],
        changed=changes,
        unchanged=len(pairs) - len(changes),
    )


def _model_change(row: Model, listed_model: ListedModel, preset: str) -> Change | None:
    list_price = price_for(preset, row.name)
    before = {}
    for name in PRICES:
        custom_price = getattr(row, f"price_{name}")
        before[name] = getattr(list_price, name) if custom_price is None else custom_price
    differs = any(before[name] != price for name, price in listed_model.prices.items())
    return Change(row=row, listed_model=listed_model, before=before) if differs else None


@require_http_methods(["GET", "HEAD", "POST"])
@admin
async def fetch(request: HttpRequest, pk: int) -> HttpResponse:
    """Fetch the model list and show the difference; POST imports the selected models."""
    if request.method == "POST":
        return await sync_to_async(_apply_selection)(request, pk)
    row = await sync_to_async(get_object_or_404)(Provider, pk=pk)
    try:
        provider = await sync_to_async(store.provider_value)(row)
    except ValueError as error:
        catalog, hint = ModelCatalog(ok=False, ms=0.0, detail=str(error)), ""
    else:
        upstreams = Upstreams()
        try:
            catalog = await list_models(upstreams, provider)
        finally:
            await upstreams.close()
        hint = "" if catalog.ok else failure_hint(provider, catalog.status)
    return await sync_to_async(_render_page)(request, row, catalog, hint)


def _render_page(
    request: HttpRequest, row: Provider, catalog: ModelCatalog, hint: str
) -> HttpResponse:
    rows = list(row.models.order_by("name"))
    diff = compare(catalog.models, rows, row.preset) if catalog.ok else None
    context = {
        "page": PAGE,
        "row": row,
        "catalog": catalog,
        "hint": hint,
        "diff": diff,
        "new": [_new_model_view(row.preset, model) for model in diff.new] if diff else [],
        "token": _sign_list(row, catalog.models),
        "preselected": diff is not None and not rows and len(diff.new) <= 20,
    }
    return render(request, "console/providers/fetch.html", context)


def _new_model_view(preset: str, listed_model: ListedModel) -> dict[str, Any]:
    """A model of the list that has no row yet, completed from the capability tables."""
    list_price = price_for(preset, listed_model.name)
    traits = traits_for(preset, listed_model.name)
    return {
        "name": listed_model.name,
        "context": listed_model.context_window or traits.context_window,
        "input": listed_model.prices.get("input", list_price.input),
        "output": listed_model.prices.get("output", list_price.output),
    }


def _sign_list(row: Provider, models: tuple[ListedModel, ...]) -> str:
    """Sign the list for its round trip through the form, so that it cannot be changed."""
    entries = [
        [m.name, m.context_window, {name: str(price) for name, price in m.prices.items()}]
        for m in models
    ]
    return signing.dumps([row.pk, entries], salt=_SALT, compress=True)


def _read_token(row: Provider, token: str) -> dict[str, ListedModel]:
    """Return the signed list. Raises signing.BadSignature."""
    pk, entries = signing.loads(token, salt=_SALT, max_age=_TOKEN_TTL_S)
    if pk != row.pk:
        raise signing.BadSignature
    return {
        name: ListedModel(
            name=name,
            context_window=window,
            prices={field: Decimal(price) for field, price in prices.items()},
        )
        for name, window, prices in entries
    }


def _apply_selection(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Provider, pk=pk)
    try:
        listed_models = _read_token(row, request.POST.get("token", ""))
    except signing.BadSignature:
        messages.error(request, _("The list has expired and was refreshed."))
        return redirect("provider-fetch", pk=pk)
    with transaction.atomic():
        added_models = add_listed(
            row, [listed_models[n] for n in request.POST.getlist("add") if n in listed_models]
        )
        priced_count = store_listed_prices(
            row, [listed_models[n] for n in request.POST.getlist("price") if n in listed_models]
        )
        deleted_count = _delete_selected(row, request.POST.getlist("drop"), set(listed_models))
    messages.success(request, _result_message(added_models, priced_count, deleted_count))
    return redirect(f"{reverse('models')}?provider={row.name}")


def add_listed(row: Provider, listed_models: list[ListedModel]) -> int:
    """Create rows; values that the capability tables have are not copied and stay current."""
    existing_names = set(row.models.values_list("name", flat=True))
    new_models = [model for model in listed_models if model.name not in existing_names]
    Model.objects.bulk_create([_new_row(row, model) for model in new_models])
    return len(new_models)


def _new_row(row: Provider, listed_model: ListedModel) -> Model:
    list_price = price_for(row.preset, listed_model.name)
    window = listed_model.context_window
    table_window = traits_for(row.preset, listed_model.name).context_window
    learned_traits = {"context_window": window} if window and table_window != window else {}
    prices = {
        f"price_{name}": price
        for name, price in listed_model.prices.items()
        if getattr(list_price, name) != price
    }
    return Model(provider=row, name=listed_model.name, learned=learned_traits, **prices)


def store_listed_prices(row: Provider, listed_models: list[ListedModel]) -> int:
    """Store the listed prices; return the number of changed models."""
    count = 0
    for model in listed_models:
        for model_row in row.models.with_name(model.name):
            for name, price in model.prices.items():
                setattr(model_row, f"price_{name}", price)
            model_row.save()
            count += 1
    return count


def _delete_selected(row: Provider, pks: list[str], listed_names: set[str]) -> int:
    """Delete the selected rows that the provider no longer lists."""
    selected_pks = set(map(number_in, pks))
    deleted_rows = [
        model_row
        for model_row in row.models.all()
        if model_row.pk in selected_pks and model_row.name not in listed_names
    ]
    for model_row in deleted_rows:
        model_row.delete()
    return len(deleted_rows)


def _result_message(added_count: int, priced_count: int, deleted_count: int) -> str:
    parts = []
    if added_count:
        parts.append(
            ngettext("%s model added", "%s models added", added_count) % count(added_count)
        )
    if priced_count:
        text = ngettext("%s price changed", "%s prices changed", priced_count)
        parts.append(text % count(priced_count))
    if deleted_count:
        text = ngettext("%s model removed", "%s models removed", deleted_count)
        parts.append(text % count(deleted_count))
    return f"{', '.join(parts)}." if parts else _("Nothing selected. No changes made.")
