"""The provider's own list of models against ours: what is new, gone, or has another price."""

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
from console.pages.providers.views import PAGE
from gateway import store
from gateway.models import Model, Provider
from gateway.providers.capabilities import traits_for
from gateway.providers.prices import price_for
from gateway.relay.catalogue import Catalogue, Listed, list_models
from gateway.relay.upstream import Upstreams

_SALT = "dragoman: a fetched list of models"
_KEPT_S = 3600
PRICES = ("input", "output", "cache_read", "cache_write")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A model of both lists, of which theirs says another price."""

    row: Any
    listed: Listed
    before: dict[str, Decimal | None]


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """Their list against ours."""

    new: list[Listed]
    gone: list[Any]
    changed: list[Change]
    same: int


def compare(listed: tuple[Listed, ...], rows: list[Model], preset: str) -> Diff:
    """The difference; a row that is a wildcard is on nobody's list."""
    theirs = {model.name: model for model in listed}
    ours = {row.name: row for row in rows}
    both = [(ours[name], theirs[name]) for name in theirs if name in ours]
    changed = [found for row, model in both if (found := _change(row, model, preset))]
    return Diff(
        new=[model for model in listed if model.name not in ours],
        gone=[row for row in rows if row.name not in theirs and "*" not in row.name],
        changed=changed,
        same=len(both) - len(changed),
    )


def _change(row: Model, listed: Listed, preset: str) -> Change | None:
    known = price_for(preset, row.name)
    before = {}
    for name in PRICES:
        own = getattr(row, f"price_{name}")
        before[name] = getattr(known, name) if own is None else own
    differs = any(before[name] != price for name, price in listed.prices.items())
    return Change(row=row, listed=listed, before=before) if differs else None


@require_http_methods(["GET", "HEAD", "POST"])
@admin
async def fetch(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the list and show the difference; POST takes over what was ticked."""
    if request.method == "POST":
        return await sync_to_async(_take_over)(request, pk)
    row = await sync_to_async(get_object_or_404)(Provider, pk=pk)
    try:
        provider = await sync_to_async(store.provider_value)(row)
    except ValueError as error:
        found = Catalogue(ok=False, ms=0.0, detail=str(error))
    else:
        upstreams = Upstreams()
        try:
            found = await list_models(upstreams, provider)
        finally:
            await upstreams.close()
    return await sync_to_async(_page)(request, row, found)


def _page(request: HttpRequest, row: Provider, found: Catalogue) -> HttpResponse:
    rows = list(row.models.order_by("name"))
    diff = compare(found.models, rows, row.preset) if found.ok else None
    context = {
        "page": PAGE,
        "row": row,
        "found": found,
        "diff": diff,
        "new": [_new(row.preset, model) for model in diff.new] if diff else [],
        "token": _sealed(row, found.models),
        "ticked": diff is not None and not rows and len(diff.new) <= 20,
    }
    return render(request, "console/provider_fetch.html", context)


def _new(preset: str, listed: Listed) -> dict[str, Any]:
    """A model that we have not, with what the tables know where the list is silent."""
    known = price_for(preset, listed.name)
    traits = traits_for(preset, listed.name)
    return {
        "name": listed.name,
        "context": listed.context_window or traits.context_window,
        "input": listed.prices.get("input", known.input),
        "output": listed.prices.get("output", known.output),
    }


def _sealed(row: Provider, models: tuple[Listed, ...]) -> str:
    """The list for the way through the browser, so that what comes back is what was shown."""
    plain = [
        [m.name, m.context_window, {name: str(price) for name, price in m.prices.items()}]
        for m in models
    ]
    return signing.dumps([row.pk, plain], salt=_SALT, compress=True)


def _opened(row: Provider, token: str) -> dict[str, Listed]:
    """The list again. Raises signing.BadSignature."""
    pk, plain = signing.loads(token, salt=_SALT, max_age=_KEPT_S)
    if pk != row.pk:
        raise signing.BadSignature
    return {
        name: Listed(
            name=name,
            context_window=window,
            prices={field: Decimal(price) for field, price in prices.items()},
        )
        for name, window, prices in plain
    }


def _take_over(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(Provider, pk=pk)
    try:
        listed = _opened(row, request.POST.get("token", ""))
    except signing.BadSignature:
        messages.error(request, _("This list is too old. Here is a fresh one."))
        return redirect("provider-fetch", pk=pk)
    with transaction.atomic():
        added = add_listed(row, [listed[n] for n in request.POST.getlist("add") if n in listed])
        priced = take_prices(row, [listed[n] for n in request.POST.getlist("price") if n in listed])
        dropped = _drop(row, request.POST.getlist("drop"), set(listed))
    messages.success(request, _told(added, priced, dropped))
    return redirect(f"{reverse('models')}?provider={row.name}")


def add_listed(row: Provider, listed: list[Listed]) -> int:
    """New rows; what the tables know is left to them, so that it stays current."""
    ours = set(row.models.values_list("name", flat=True))
    fresh = [model for model in listed if model.name not in ours]
    Model.objects.bulk_create([_fresh(row, model) for model in fresh])
    return len(fresh)


def _fresh(row: Provider, listed: Listed) -> Model:
    known = price_for(row.preset, listed.name)
    window = listed.context_window
    told = traits_for(row.preset, listed.name).context_window
    learned = {"context_window": window} if window and told != window else {}
    prices = {
        f"price_{name}": price
        for name, price in listed.prices.items()
        if getattr(known, name) != price
    }
    return Model(provider=row, name=listed.name, learned=learned, **prices)


def take_prices(row: Provider, listed: list[Listed]) -> int:
    """Take over their prices."""
    count = 0
    for model in listed:
        for held in row.models.named(model.name):
            for name, price in model.prices.items():
                setattr(held, f"price_{name}", price)
            held.save()
            count += 1
    return count


def _drop(row: Provider, pks: list[str], listed: set[str]) -> int:
    """Delete rows that were ticked and are not on their list."""
    wanted = {int(text) for text in pks if text.isdecimal() and len(text) < 19}
    gone = [held for held in row.models.all() if held.pk in wanted and held.name not in listed]
    for held in gone:
        held.delete()
    return len(gone)


def _told(added: int, priced: int, dropped: int) -> str:
    parts = []
    if added:
        parts.append(ngettext("%d model added", "%d models added", added) % added)
    if priced:
        parts.append(ngettext("%d price changed", "%d prices changed", priced) % priced)
    if dropped:
        parts.append(ngettext("%d model removed", "%d models removed", dropped) % dropped)
    return f"{', '.join(parts)}." if parts else _("Nothing was ticked, so nothing has changed.")
