"""Step 2: the first provider: a preset, a key in the environment, or the demo."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console import setup_progress
from console.access import admin
from console.htmx import is_partial
from console.pages.providers.connection_test import (
    ConnectionTest,
    form_problems,
    run_connection_test,
)
from console.pages.providers.key_pages import KEY_PAGES
from console.pages.setup.forms import DEMO, ProviderForm, list_presets
from console.pages.setup.gate import setup_step, steps
from console.preset_order import POPULAR_PRESETS
from gateway import store
from gateway.models import Model, Provider, Route, RowSource, Target
from gateway.routing.snapshot import Provider as ProviderValue


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@setup_step("provider")
def provider(request: HttpRequest) -> HttpResponse:
    """Show the ways to a first provider, or apply the selected one."""
    choice = request.POST.get("choice", "")
    if choice == "detected":
        return _continue_setup("")
    if choice == DEMO:
        return _continue_setup(DEMO)
    form = ProviderForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _continue_setup(add(form.cleaned_data))
    return _render_page(request, form, status=422 if request.method == "POST" else 200)


def _render_page(
    request: HttpRequest,
    form: ProviderForm,
    *,
    status: int = 200,
    test_result: ConnectionTest | None = None,
) -> HttpResponse:
    presets = [(preset, KEY_PAGES.get(preset.name, "")) for preset in list_presets()]
    context = {
        "form": form,
        "popular": presets[: len(POPULAR_PRESETS)],
        "presets": presets[len(POPULAR_PRESETS) :],
        "detected": Provider.objects.from_source(RowSource.ENVIRONMENT),
        "test_result": test_result,
        **steps("provider"),
    }
    return render(request, "console/setup/provider.html", context, status=status)


@sensitive_post_parameters("key")
@require_POST
@admin
async def provider_test(request: HttpRequest) -> HttpResponse:
    """Test the provider of the form before it is added."""
    form = ProviderForm(request.POST)
    value = await sync_to_async(_provider_value)(form)
    if value is None:
        result = ConnectionTest(ok=False, problems=form_problems(form))
    else:
        result = await run_connection_test(value, form.cleaned_data["model"].strip())
    status = 422 if result.problems else 200
    if is_partial(request):
        context = {"test_result": result}
        return await sync_to_async(render)(
            request, "console/providers/_test.html", context, status=status
        )
    return await sync_to_async(_render_page)(request, form, status=status, test_result=result)


def _provider_value(form: ProviderForm) -> ProviderValue | None:
    """The provider of the form as the gateway would call it; None if it is invalid."""
    if not form.is_valid():
        return None
    data = form.cleaned_data
    row = Provider(
        name=data["preset"],
        preset=data["preset"],
        base_url=data["base_url"],
        credential_env=data["variable"],
    )
    return store.provider_value(row, data["key"] or None)


def _continue_setup(route: str) -> HttpResponse:
    setup_progress.advance("key", **({"route": route} if route else {}))
    return redirect("setup-key")


def add(provider_data: dict[str, Any]) -> str:
    """Create a provider, and a route if a model is named; return the model name to request."""
    with transaction.atomic():
        row = Provider.objects.create(
            name=_free_name(provider_data["preset"]),
            preset=provider_data["preset"],
            base_url=provider_data["base_url"],
            credential_env=provider_data["variable"],
        )
        if provider_data["key"]:
            store.set_credential(row, provider_data["key"])
        name = str(provider_data["model"]).strip()
        if not name:
            return ""
        model = Model.objects.create(provider=row, name=name)
        route, created = Route.objects.get_or_create(name=name)
        if created:
            Target.objects.create(route=route, model=model)
            return name
        return f"{row.name}/{name}"


def _free_name(name: str) -> str:
    """Return the name, with a number appended if it is in use."""
    used_names = set(Provider.objects.values_list("name", flat=True))
    numbered_names = (f"{name}-{number}" for number in range(2, len(used_names) + 3))
    return next(candidate for candidate in (name, *numbered_names) if candidate not in used_names)
