"""The list of providers, the grid of presets, and the page of one provider."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import admin, is_admin, viewer
from console.dialects import title
from console.htmx import render_page_or_part
from console.list_search import filter_by_name, list_url
from console.pages.keys.spend import provider_gauges
from console.pages.providers.forms import ProviderForm, preset_of, variable_is_set
from console.pages.providers.state import credential, healths, rows_of
from console.preset_order import sort_presets
from gateway.api.runtime import runtime_of
from gateway.models import Provider, Route
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset
from gateway.store.network_values import network_value, network_warnings
from gateway.store.ownership import adopt_row

PAGE = "providers"
PAGE_ROWS = 100
# Fields that are always shown; the others are folded unless one of them is invalid.
FIRST_FIELDS = frozenset({"name", "base_url", "mode", "key", "credential_env"})
# Presets for any server, shown apart from the grid.
CUSTOM_PRESETS = ("custom", "custom-anthropic", "custom-completions", "custom-embeddings")


@require_safe
@viewer
def providers(request: HttpRequest) -> HttpResponse:
    """The providers that match the search in the URL: key, models, state."""
    text = request.GET.get("q", "").strip()[:100]
    selected = filter_by_name(Provider.objects.order_by("name"), text)
    counted = selected.annotate(model_count=Count("models"))
    pages = Paginator(counted, PAGE_ROWS).get_page(request.GET.get("page"))
    row_views = rows_of(pages, runtime_of(request), admin=is_admin(request.user))
    for row in row_views:
        row["preset"] = preset_of(row["row"])
        row["dialect"] = title(row["row"].dialect or row["preset"].dialect)
        row["read_only"] = row["row"].read_only
    context = {
        "page": PAGE,
        "rows": row_views,
        "text": text,
        "pages": pages,
        "count": pages.paginator.count,
    }
    return render_page_or_part(
        request, "console/providers/page.html", "console/providers/_rows.html", context
    )


@require_safe
@admin
def presets(request: HttpRequest) -> HttpResponse:
    """The presets to choose from."""
    standard_presets = [
        preset for preset in sort_presets(PRESETS.values()) if preset.name not in CUSTOM_PRESETS
    ]
    context = {
        "page": PAGE,
        "hosted": [_preset_tile(preset) for preset in standard_presets if not preset.local],
        "local": [_preset_tile(preset) for preset in standard_presets if preset.local],
        "custom": [_preset_tile(PRESETS[name]) for name in CUSTOM_PRESETS],
    }
    return render(request, "console/providers/presets.html", context)


def _preset_tile(preset: Preset) -> dict[str, Any]:
    return {
        "preset": preset,
        "variable": next((name for name in preset.env if variable_is_set(name)), ""),
    }


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@admin
def add(request: HttpRequest, preset: str) -> HttpResponse:
    """A new provider of a preset."""
    selected_preset = preset_or_404(preset)
    form = ProviderForm(request.POST or None, preset=selected_preset)
    if not form.is_valid():
        return form_page(request, form, status=422 if request.method == "POST" else 200)
    row = form.save()
    messages.success(request, _("%(name)s added. Next, fetch its models.") % {"name": row.name})
    return redirect("provider-edit", pk=row.pk)


def preset_or_404(name: str) -> Preset:
    """Return the preset in a URL. Raises Http404."""
    preset = PRESETS.get(name)
    if preset is None:
        raise Http404
    return preset


@sensitive_post_parameters("key")
@require_http_methods(["GET", "HEAD", "POST"])
@admin
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One provider."""
    row = get_object_or_404(Provider, pk=pk)
    if request.method != "POST":
        return form_page(request, ProviderForm(instance=row, preset=preset_of(row)))
    if row.read_only:
        return form_page(request, ProviderForm(instance=row, preset=preset_of(row)), status=409)
    form = ProviderForm(request.POST, instance=row, preset=preset_of(row))
    if not form.is_valid():
        return form_page(request, form, status=422)
    form.save()
    messages.success(request, _("Saved. Takes effect within a second."))
    return redirect("provider-edit", pk=pk)


def form_page(
    request: HttpRequest, form: ProviderForm, *, status: int = 200, test_result: Any = None
) -> HttpResponse:
    """Render the page of a saved or new provider."""
    row = Provider.objects.filter(pk=form.instance.pk).first() if form.instance.pk else None
    context = {
        "page": PAGE,
        "form": form,
        "preset": form.preset,
        "row": row,
        "test_result": test_result,
        "models": row.models.order_by("name") if row else (),
        "read_only": row is not None and row.read_only,
        "health": healths([row], runtime_of(request))[row.pk] if row else None,
        "gauges": provider_gauges([row], timezone.now())[row.pk] if row else (),
        "credential": credential(row, admin=True) if row else None,
        "variable": _variable_context(form["credential_env"].value() or ""),
        "advanced_errors": any(
            name not in FIRST_FIELDS and not (name == "dialect" and form.shows_dialect)
            for name in form.errors
            if name in form.fields
        ),
        "network_warnings": _network_warnings(row) if row else (),
    }
    return render(request, "console/providers/edit.html", context, status=status)


def _network_warnings(row: Provider) -> list[str]:
    try:
        return network_warnings(network_value(row))
    except ValueError:  # Health says why the provider is left out
        return []


def _variable_context(name: str) -> dict[str, Any]:
    return {"name": name, "set": variable_is_set(name)}


@require_safe
@admin
def variable(request: HttpRequest) -> HttpResponse:
    """Whether a variable is set in the environment of this process; never its value."""
    name = request.GET.get("credential_env", "").strip()[:200]
    return render(
        request, "console/providers/_variable.html", {"variable": _variable_context(name)}
    )


@require_POST
@admin
def enable(request: HttpRequest, pk: int) -> HttpResponse:
    """Enable or disable a provider, also one that a configuration file manages."""
    row = get_object_or_404(Provider, pk=pk)
    row.enabled = request.POST.get("on") == "yes"
    row.save()
    message = _("%(name)s enabled.") if row.enabled else _("%(name)s disabled. Routes skip it.")
    messages.success(request, message % {"name": row.name})
    return redirect(list_url(request, "providers"))


@require_POST
@admin
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Move a provider and its models from a file or the environment to the database."""
    row = get_object_or_404(Provider, pk=pk)
    with transaction.atomic():
        adopted = adopt_row(row)
    if adopted:
        messages.success(request, _("%(name)s can now be edited here.") % {"name": row.name})
    return redirect("provider-edit", pk=pk)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a provider with its models, after a page that lists what depends on it."""
    row = get_object_or_404(Provider, pk=pk)
    if row.read_only:
        return form_page(request, ProviderForm(instance=row, preset=preset_of(row)), status=409)
    if request.method == "POST":
        row.delete()
        messages.success(request, _("%(name)s deleted.") % {"name": row.name})
        return redirect("providers")
    context = {
        "page": PAGE,
        "row": row,
        "preset": preset_of(row),
        **_dependent_models_and_routes(row),
    }
    return render(request, "console/providers/delete.html", context)


def _dependent_models_and_routes(row: Provider) -> dict[str, Any]:
    """Return the models of a provider, and the routes that would lose all or some targets."""
    emptied_routes: list[Route] = []
    reduced_routes: list[Route] = []
    for route in Route.objects.prefetch_related("targets__model").order_by("name"):
        provider_matches = {target.model.provider_id == row.pk for target in route.targets.all()}
        if True in provider_matches:
            (reduced_routes if False in provider_matches else emptied_routes).append(route)
    models = list(row.models.order_by("name"))
    return {"models": models, "emptied_routes": emptied_routes, "reduced_routes": reduced_routes}
