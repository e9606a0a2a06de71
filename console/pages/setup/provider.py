"""Step 2: the first provider: a preset, a key in the environment, or the demo."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from console import setup_progress
from console.pages.setup.forms import DEMO, ProviderForm, list_presets
from console.pages.setup.gate import during, steps
from gateway import store
from gateway.models import Model, Provider, Route, Source, Target


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@during("provider")
def provider(request: HttpRequest) -> HttpResponse:
    """Show the ways to a first provider, or apply the selected one."""
    choice = request.POST.get("choice", "")
    if choice == "detected":
        return _continue("")
    if choice == DEMO:
        return _continue(DEMO)
    form = ProviderForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _continue(add(form.cleaned_data))
    context = {
        "form": form,
        "presets": list_presets(),
        "detected": Provider.objects.from_source(Source.ENVIRONMENT),
        **steps("provider"),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "console/setup/provider.html", context, status=status)


def _continue(route: str) -> HttpResponse:
    setup_progress.advance("key", **({"route": route} if route else {}))
    return redirect("setup-key")


def add(provider_data: dict[str, Any]) -> str:
    """Create a provider, and a route if a model is named; returns the model name to request."""
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
    numbered = (f"{name}-{number}" for number in range(2, len(used_names) + 3))
    return next(candidate for candidate in (name, *numbered) if candidate not in used_names)
