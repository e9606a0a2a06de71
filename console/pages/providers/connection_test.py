"""Connection test of a provider: lists its models or sends a short prompt."""

from __future__ import annotations

from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from console import optimistic_lock
from console.access import admin
from console.htmx import is_partial
from console.pages.providers.failure_hints import failure_hint
from console.pages.providers.forms import ProviderForm, preset_of
from console.pages.providers.views import form_page, preset_or_404
from gateway import store
from gateway.models import Model, Provider
from gateway.providers.auth import credential_secrets
from gateway.relay.passthrough.model_catalog import DEADLINE_S, NO_LIST, list_models
from gateway.relay.upstream.client import Upstreams
from gateway.routing.snapshot import Provider as ProviderValue
from gateway.routing.snapshot import Target, model_of
from gateway.simulate.probe import probe

_MAX_SUGGESTIONS = 500


class ConnectionTest(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a connection test.

    Attributes:
        ms: how long it took; None if nothing was sent.
        message: the upstream's error message, or the model's reply.
        model: the prompted model; empty if the models were listed.
        models: the listed models, which the form suggests.
        problems: form errors, because of which nothing was sent.
        hint: what to check after a failure.
    """

    ok: bool
    ms: float | None = None
    message: str = ""
    model: str = ""
    model_count: int | None = None
    models: tuple[str, ...] = ()
    status: int | None = None
    problems: tuple[tuple[str, str], ...] = ()
    hint: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether the test was sent and failed."""
        return not self.ok and not self.problems


@sensitive_post_parameters("key")
@require_POST
@admin
async def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a provider with the values in its form, saved or not."""
    row = await sync_to_async(get_object_or_404)(Provider, pk=pk)
    return await _run_test(request, preset_name=preset_of(row).name, row=row)


@sensitive_post_parameters("key")
@require_POST
@admin
async def test_new(request: HttpRequest, preset: str) -> HttpResponse:
    """Test a provider that is not saved yet."""
    return await _run_test(request, preset_name=preset_or_404(preset).name, row=None)


@require_POST
@admin
async def test_saved(request: HttpRequest, pk: int) -> HttpResponse:
    """Test a saved provider without a form, such as one that a file manages."""
    row = await sync_to_async(get_object_or_404)(Provider, pk=pk)
    model = request.POST.get("test_model", "").strip()[:200]
    try:
        value = await sync_to_async(store.provider_value)(row)
    except ValueError as error:
        result = ConnectionTest(ok=False, problems=((row.name, str(error)),))
    else:
        result = await run_connection_test(value, model)
    form = await sync_to_async(ProviderForm)(instance=row, preset=preset_of(row))
    return await sync_to_async(_result_response)(request, form, result)


async def _run_test(
    request: HttpRequest, *, preset_name: str, row: Provider | None
) -> HttpResponse:
    form, value, model = await sync_to_async(_read_form)(request, preset_name, row)
    if value is None:
        result = ConnectionTest(ok=False, problems=form_problems(form))
    else:
        result = await run_connection_test(value, model)
    return await sync_to_async(_result_response)(request, form, result)


def _read_form(
    request: HttpRequest, preset_name: str, row: Provider | None
) -> tuple[ProviderForm, ProviderValue | None, str]:
    """Return the form, the provider it describes (None if invalid), and the model to prompt."""
    form = ProviderForm(request.POST, instance=row, preset=preset_or_404(preset_name))
    # A test overwrites nothing.
    del form.fields[optimistic_lock.FIELD]
    if not form.is_valid():
        return form, None, ""
    model = request.POST.get("test_model", "").strip()[:200]
    return form, form.provider_value(), model


async def run_connection_test(provider: ProviderValue, model: str) -> ConnectionTest:
    """List the provider's models, or send a short prompt to `model`."""
    upstreams = Upstreams()
    try:
        if model:
            result = await _test_completion(upstreams, provider, model)
        else:
            result = await _test_model_list(upstreams, provider)
    finally:
        await upstreams.close()
    if result.ok:
        return result
    hint = failure_hint(provider, result.status, model=result.model)
    return msgspec.structs.replace(result, hint=hint)


async def _test_model_list(upstreams: Upstreams, provider: ProviderValue) -> ConnectionTest:
    catalog = await list_models(upstreams, provider)
    if catalog.status in NO_LIST:
        first_model = await sync_to_async(Model.objects.first_of)(provider.id)
        if first_model:
            return await _test_completion(upstreams, provider, first_model)
    return ConnectionTest(
        ok=catalog.ok,
        ms=catalog.ms,
        message=catalog.detail,
        model_count=len(catalog.models) if catalog.ok else None,
        models=tuple(model.name for model in catalog.models[:_MAX_SUGGESTIONS]),
        status=catalog.status,
    )


async def _test_completion(
    upstreams: Upstreams, provider: ProviderValue, model: str
) -> ConnectionTest:
    target = Target(id=0, model=model_of(provider, model))
    secrets = credential_secrets(provider.credential.reveal())
    outcome = await probe(upstreams, target, timeout_s=DEADLINE_S, secrets=secrets)
    return ConnectionTest(
        ok=outcome.ok, ms=outcome.ms, message=outcome.detail, model=model, status=outcome.status
    )


def form_problems(form: forms.BaseForm) -> tuple[tuple[str, str], ...]:
    """The errors of a form, each with the label of its field."""
    problems = []
    for name, errors in form.errors.items():
        label = form.fields[name].label if name in form.fields else _("Form")
        problems += [(str(label), str(error)) for error in errors]
    return tuple(problems)


def _result_response(
    request: HttpRequest, form: ProviderForm, result: ConnectionTest
) -> HttpResponse:
    """The result alone, or without JavaScript the whole form with it."""
    status = 422 if result.problems else 200
    if is_partial(request):
        context: dict[str, Any] = {"test_result": result}
        return render(request, "console/providers/_test.html", context, status=status)
    return form_page(request, form, status=status, test_result=result)
