"""Providers over the API: whether one answers, and its own list of models against ours."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from console.pages.providers.fetch import PRICES, add_listed, compare, take_prices
from console.pages.providers.trial import Trial, attempt
from gateway import store
from gateway.api.failures import Problem, failure
from gateway.api.idempotency import once
from gateway.api.resources import guarded, missing, reply
from gateway.models import Provider
from gateway.relay.catalogue import Catalogue, Listed, list_models
from gateway.relay.upstream import Upstreams
from gateway.routing.snapshot import Provider as ProviderValue
from gateway.store.documents import KINDS, Refused

router = Router(tags=["providers"])
_PROVIDERS = KINDS["providers"]


class TestIn(Schema):
    """The model that is asked for one word; empty asks for the list of models."""

    model: str = ""


class NewTestIn(TestIn):
    """A provider's document, which is tested without being saved."""

    provider: dict[str, Any]


class TestOut(Schema):
    """What came of a test.

    Attributes:
        ms: how long it took; null if nothing was sent.
        words: the upstream's own about a failure, or the model's answer.
        asked: the model that was asked; empty if the list of models was.
        models: how many are on the list.
        status: the upstream's, where the list was refused.
    """

    ok: bool
    ms: float | None
    words: str
    asked: str
    models: int | None
    status: int | None


class ListedOut(Schema):
    """A model on the provider's list. Prices: US dollars per million tokens."""

    name: str
    context_window: int | None
    prices: dict[str, Decimal]


class RepricedOut(ListedOut):
    """A model of both lists, of which theirs has another price: `before` is ours."""

    before: dict[str, Decimal | None]


class CatalogueOut(Schema):
    """Their list against ours: what is new, what theirs has no more, what has another price.

    Where `ok` is false the list could not be read: `words` and `status` say why.
    """

    ok: bool
    ms: float
    words: str
    status: int | None
    new: list[ListedOut]
    gone: list[str]
    changed: list[RepricedOut]
    same: int


class TakeIn(Schema):
    """Names on the list: models to `add`, prices to take over, and ours to `drop`.

    Only what is gone from the list can be dropped.
    """

    add: list[str] = []
    price: list[str] = []
    drop: list[str] = []


class TakenOut(Schema):
    """How many rows were made, given other prices, and deleted."""

    added: int
    priced: int
    dropped: int


@router.post("/test-provider", response=TestOut)
def test_new_provider(request: HttpRequest, payload: NewTestIn) -> HttpResponse:
    """Test a provider that is not there yet. Nothing is kept."""
    values: list[ProviderValue] = []

    def act() -> HttpResponse:
        row = _PROVIDERS.write(dict(payload.provider), None)
        values.append(_value(row))
        transaction.set_rollback(True)
        return HttpResponse()

    answer = guarded(act)
    if not values:
        return answer
    return _tested(values[0], payload.model)


@router.post("/providers/{path:name}/test", response=TestOut)
def test_provider(request: HttpRequest, name: str, payload: TestIn) -> HttpResponse:
    """Test a provider as it is: it lists its models, or `model` says one word."""
    return _with(name, lambda row: _tested(_value(row), payload.model))


@router.post("/providers/{path:name}/listed", response=CatalogueOut)
def list_provider_models(request: HttpRequest, name: str) -> HttpResponse:
    """Ask the provider for its models, and tell what differs from ours. Nothing changes."""
    return _with(name, lambda row: reply(200, _against(row, _asked(row))))


def _with(name: str, act: Callable[[Provider], HttpResponse]) -> HttpResponse:
    """What `act` answers for a provider. In no transaction: it asks the provider itself."""
    row: Provider | None = _PROVIDERS.find(name)
    if row is None:
        return missing(_PROVIDERS, name)
    try:
        return act(row)
    except Refused as error:
        return failure(422, error.why, error.field)


@router.post("/providers/{path:name}/take", response={200: TakenOut, 502: Problem})
def take_provider_models(request: HttpRequest, name: str, payload: TakeIn) -> HttpResponse:
    """Ask for the list again, and take over what is named of it: all of it, or nothing."""
    return once(request, lambda: _with(name, lambda row: _taken(row, payload)))


def _taken(row: Provider, given: TakeIn) -> HttpResponse:
    found = _asked(row)
    if not found.ok:
        return failure(502, f"the provider's list could not be read: {found.detail}")
    listed = {model.name: model for model in found.models}
    return guarded(lambda: _take_over(row, listed, given))


def _take_over(row: Provider, listed: dict[str, Listed], given: TakeIn) -> HttpResponse:
    for field in ("add", "price"):
        for place, name in enumerate(getattr(given, field)):
            if name not in listed:
                raise Refused(f"{field}[{place}]", f"`{name[:200]}` is not on the list")
    ours = {held.name: held for held in row.models.all()}
    for place, name in enumerate(given.drop):
        if name not in ours or name in listed:
            raise Refused(f"drop[{place}]", f"`{name[:200]}` is not a model that is gone")
    added = add_listed(row, [listed[name] for name in given.add])
    priced = take_prices(row, [listed[name] for name in given.price])
    for name in given.drop:
        ours[name].delete()
    return reply(200, {"added": added, "priced": priced, "dropped": len(given.drop)})


def _value(row: Provider) -> ProviderValue:
    """The provider as it would be called. Raises Refused."""
    try:
        return store.provider_value(row)
    except ValueError as error:
        raise Refused("", str(error)) from None


def _tested(value: ProviderValue, model: str) -> HttpResponse:
    found: Trial = async_to_sync(attempt)(value, model.strip()[:200])
    told = {
        "ok": found.ok,
        "ms": found.ms,
        "words": found.words,
        "asked": found.asked,
        "models": found.count,
        "status": found.status,
    }
    return reply(200, told)


def _asked(row: Provider) -> Catalogue:
    return async_to_sync(_list)(_value(row))


async def _list(value: ProviderValue) -> Catalogue:
    upstreams = Upstreams()
    try:
        return await list_models(upstreams, value)
    finally:
        await upstreams.close()


def _against(row: Provider, found: Catalogue) -> dict[str, Any]:
    rows = list(row.models.order_by("name")) if found.ok else []
    diff = compare(found.models, rows, row.preset)
    changed = [
        {**_listed(change.listed), "before": {name: change.before[name] for name in PRICES}}
        for change in diff.changed
    ]
    return {
        "ok": found.ok,
        "ms": found.ms,
        "words": found.detail,
        "status": found.status,
        "new": [_listed(model) for model in diff.new],
        "gone": [gone.name for gone in diff.gone],
        "changed": changed,
        "same": diff.same,
    }


def _listed(model: Listed) -> dict[str, Any]:
    return {
        "name": model.name,
        "context_window": model.context_window,
        "prices": dict(model.prices),
    }
