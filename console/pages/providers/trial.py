"""Testing a connection: lists models or says one word, with a deadline, saved or not."""

from __future__ import annotations

from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from console.access import admin
from console.forms.providers import ProviderForm, preset_of
from console.pages.providers.views import form_page, known
from gateway import store
from gateway.models import Model, Provider
from gateway.providers.auth import secrets_of
from gateway.relay.catalogue import DEADLINE_S, NO_LIST, list_models
from gateway.relay.probe import probe
from gateway.relay.upstream import Upstreams
from gateway.routing.snapshot import Provider as ProviderValue
from gateway.routing.snapshot import Target, model_of


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test.

    Attributes:
        ms: how long it took; None if nothing was sent.
        words: the upstream's own about a failure, or the model's answer.
        asked: the model that was asked; empty if the list of models was.
        problems: what is wrong in the form, so that nothing was sent.
    """

    ok: bool
    ms: float | None = None
    words: str = ""
    asked: str = ""
    count: int | None = None
    status: int | None = None
    problems: tuple[tuple[str, str], ...] = ()


@sensitive_post_parameters("key")
@require_POST
@admin
async def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a provider as its form stands now, saved or not."""
    row = await sync_to_async(get_object_or_404)(Provider, pk=pk)
    return await _tested(request, preset_name=preset_of(row).name, row=row)


@sensitive_post_parameters("key")
@require_POST
@admin
async def test_new(request: HttpRequest, preset: str) -> HttpResponse:
    """Test a provider that is not there yet."""
    return await _tested(request, preset_name=known(preset).name, row=None)


@require_POST
@admin
async def test_saved(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a provider as its row says, such as one that only a file may change."""
    row = await sync_to_async(get_object_or_404)(Provider, pk=pk)
    model = request.POST.get("test_model", "").strip()[:200]
    try:
        value = await sync_to_async(store.provider_value)(row)
    except ValueError as error:
        found = Trial(ok=False, problems=((row.name, str(error)),))
    else:
        found = await attempt(value, model)
    form = await sync_to_async(ProviderForm)(instance=row, preset=preset_of(row))
    return await sync_to_async(_shown)(request, form, found)


async def _tested(request: HttpRequest, *, preset_name: str, row: Provider | None) -> HttpResponse:
    form, value, model = await sync_to_async(_read)(request, preset_name, row)
    if value is None:
        found = Trial(ok=False, problems=_problems(form))
    else:
        found = await attempt(value, model)
    return await sync_to_async(_shown)(request, form, found)


def _read(
    request: HttpRequest, preset_name: str, row: Provider | None
) -> tuple[ProviderForm, ProviderValue | None, str]:
    """The form, the provider it means, and a model to fall back on."""
    form = ProviderForm(request.POST, instance=row, preset=known(preset_name))
    if not form.is_valid():
        return form, None, ""
    model = request.POST.get("test_model", "").strip()[:200]
    return form, form.value(), model


async def attempt(provider: ProviderValue, model: str) -> Trial:
    """Ask the provider for its models, or for one word of `model`."""
    upstreams = Upstreams()
    try:
        if model:
            return await _one_word(upstreams, provider, model)
        return await _list(upstreams, provider)
    finally:
        await upstreams.close()


async def _list(upstreams: Upstreams, provider: ProviderValue) -> Trial:
    found = await list_models(upstreams, provider)
    if found.status in NO_LIST:
        own = await sync_to_async(Model.objects.first_of)(provider.id)
        if own:
            return await _one_word(upstreams, provider, own)
    return Trial(
        ok=found.ok,
        ms=found.ms,
        words=found.detail,
        count=len(found.models) if found.ok else None,
        status=found.status,
    )


async def _one_word(upstreams: Upstreams, provider: ProviderValue, model: str) -> Trial:
    target = Target(id=0, model=model_of(provider, model))
    secrets = secrets_of(provider.credential.reveal())
    found = await probe(upstreams, target, timeout_s=DEADLINE_S, secrets=secrets)
    return Trial(ok=found.ok, ms=found.ms, words=found.detail, asked=model)


def _problems(form: ProviderForm) -> tuple[tuple[str, str], ...]:
    found = []
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else _("Form")
        found += [(str(label), str(error)) for error in errors]
    return tuple(found)


def _shown(request: HttpRequest, form: ProviderForm, found: Trial) -> HttpResponse:
    """The result alone, or without JavaScript the whole form with it."""
    status = 422 if found.problems else 200
    if request.headers.get("HX-Request"):
        context: dict[str, Any] = {"trial": found}
        return render(request, "console/provider_trial.html", context, status=status)
    return form_page(request, form, status=status, trial=found)
