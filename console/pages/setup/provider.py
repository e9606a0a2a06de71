"""Step 2: somebody to call. A preset, a key found in the environment, or the demo."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from console import progress
from console.forms.setup import DEMO, ProviderForm, offered
from console.pages.setup.gate import during, steps
from gateway import store
from gateway.models import Model, Provider, Route, Source, Target


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@during("provider")
def provider(request: HttpRequest) -> HttpResponse:
    """The ways to a first provider, and the going of one of them."""
    way = request.POST.get("way", "")
    if way == "found":
        return _go_on("")
    if way == DEMO:
        return _go_on(DEMO)
    form = ProviderForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        return _go_on(add(form.cleaned_data))
    context = {
        "form": form,
        "presets": offered(),
        "found": Provider.objects.from_source(Source.ENVIRONMENT),
        **steps("provider"),
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "console/setup_provider.html", context, status=status)


def _go_on(route: str) -> HttpResponse:
    progress.advance("key", **({"route": route} if route else {}))
    return redirect("setup-key")


def add(given: dict[str, Any]) -> str:
    """The rows of a provider, and of a route if a model is named; the route's name."""
    with transaction.atomic():
        row = Provider.objects.create(
            name=_free(given["preset"]),
            preset=given["preset"],
            base_url=given["base_url"],
            credential_env=given["variable"],
        )
        if given["key"]:
            store.set_credential(row, given["key"])
        name = str(given["model"]).strip()
        if not name:
            return ""
        model = Model.objects.create(provider=row, name=name)
        route, made = Route.objects.get_or_create(name=name)
        if made:
            Target.objects.create(route=route, model=model)
            return name
        return f"{row.name}/{name}"


def _free(name: str) -> str:
    """The name, with a number if somebody has it."""
    taken = set(Provider.objects.values_list("name", flat=True))
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (name, *numbered) if each not in taken)
