"""The list of models with its filter, and the page of one model."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import editor, viewer
from console.htmx import render_page_or_part
from console.model_properties import (
    ABILITIES,
    ICON_PROPERTIES,
    PRICES,
    SIZES,
    TRAITS,
    properties_of,
    rate_of,
)
from console.pages.models.forms import NewModelForm, PropertiesForm
from gateway.models import Model, Provider
from gateway.providers.prices import price_for
from gateway.store.ownership import adopt_row

PAGE = "models"
PAGE_ROWS = 50


@require_safe
@viewer
def models(request: HttpRequest) -> HttpResponse:
    """The models that match the filter in the URL."""
    filters = {
        "q": request.GET.get("q", "").strip()[:100],
        "provider": request.GET.get("provider", ""),
        "state": request.GET.get("state", ""),
        "can": [
            model_property.name
            for model_property in ICON_PROPERTIES
            if model_property.name in request.GET.getlist("can")
        ],
    }
    pages = Paginator(_matching_models(filters), PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "page": PAGE,
        "rows": [_model_view(row) for row in pages],
        "pages": pages,
        "count": pages.paginator.count,
        "total": Model.objects.count(),
        "filters": filters,
        "capabilities": ICON_PROPERTIES,
        "providers": Provider.objects.order_by("name"),
        "has_filter": any(filters.values()),
    }
    return render_page_or_part(
        request, "console/models/page.html", "console/models/_rows.html", context
    )


def _matching_models(filters: dict[str, Any]) -> list[Model]:
    matching_models = Model.objects.matching(
        text=filters["q"], provider=filters["provider"], state=filters["state"]
    )
    rows = matching_models.select_related("provider").annotate(target_count=Count("targets"))
    ordered_rows: list[Model] = list(rows.order_by("provider__name", "name"))
    if not filters["can"]:
        return ordered_rows
    return [row for row in ordered_rows if _has_capabilities(row, filters["can"])]


def _has_capabilities(row: Model, names: list[str]) -> bool:
    properties = properties_of(row)
    return all(properties[name].supported for name in names)


def _model_view(row: Model) -> dict[str, Any]:
    properties = properties_of(row)
    return {
        "row": row,
        "properties": properties,
        "capabilities": [properties[model_property.name] for model_property in ICON_PROPERTIES],
        "changed": any(value.source.origin == "custom" for value in properties.values()),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def add(request: HttpRequest) -> HttpResponse:
    """Add a model that the provider does not list."""
    provider_id = request.GET.get("provider", "")
    form = NewModelForm(request.POST or None, initial={"provider": provider_id})
    if form.is_valid():
        row = form.save()
        messages.success(request, _("%(name)s added.") % {"name": row.name})
        return redirect("model-edit", pk=row.pk)
    status = 422 if request.method == "POST" else 200
    return render(request, "console/models/add.html", {"page": PAGE, "form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The properties of one model."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    if request.method != "POST":
        return _render_page(request, row, PropertiesForm(model=row))
    if row.read_only:
        return _render_page(request, row, PropertiesForm(model=row), status=409)
    form = PropertiesForm(request.POST, model=row)
    if not form.is_valid():
        return _render_page(request, row, form, status=422)
    form.save()
    messages.success(request, _("Saved. Takes effect within a second."))
    return redirect("model-edit", pk=pk)


def _render_page(
    request: HttpRequest, row: Model, form: PropertiesForm, *, status: int = 200
) -> HttpResponse:
    context = {
        "page": PAGE,
        "row": row,
        "form": form,
        "read_only": row.read_only,
        "groups": [
            (_("Size"), _("tokens"), _property_lines(form, SIZES)),
            (_("Price"), _("USD per 1M tokens"), _property_lines(form, PRICES)),
            (_("Capabilities"), "", _property_lines(form, ABILITIES)),
        ],
        "changed": any(value.changed for value in form.values.values())
        or bool(row.price_tiers)
        or row.price_above is not None,
        "listed_above": ", ".join(
            f"{tokens:,}" for tokens, _price in price_for(row.provider.preset, row.name).above
        ),
        "targets": row.targets.select_related("route").order_by("route__name"),
    }
    return render(request, "console/models/edit.html", context, status=status)


def _property_lines(form: PropertiesForm, properties: Any) -> list[dict[str, Any]]:
    return [
        {
            "field": form[model_property.name],
            "value": form.values[model_property.name],
        }
        for model_property in properties
    ]


@require_POST
@editor
def reset(request: HttpRequest, pk: int) -> HttpResponse:
    """Reset one property, or all of them, to the value of the capability tables."""
    row = get_object_or_404(Model, pk=pk)
    if row.read_only:
        return _render_page(request, row, PropertiesForm(model=row), status=409)
    property_name = request.POST.get("property", "")
    row.traits, row.learned = (
        _without_properties(row.traits, property_name),
        _without_properties(row.learned, property_name),
    )
    for model_property in PRICES:
        if property_name in ("", model_property.name):
            setattr(row, f"price_{rate_of(model_property)}", None)
    if not property_name:
        row.price_tiers, row.price_above = {}, None
    row.save()
    messages.success(request, _("Reset to the built-in values."))
    return redirect("model-edit", pk=pk)


def _without_properties(values: Any, property_name: str) -> dict[str, Any]:
    """Return the object without one property, or without all properties of this page."""
    removed = (
        {property_name} if property_name else {model_property.name for model_property in TRAITS}
    )
    stored_values = values if isinstance(values, dict) else {}
    return {name: value for name, value in stored_values.items() if name not in removed}


@require_POST
@editor
def enable(request: HttpRequest, pk: int) -> HttpResponse:
    """Enable or disable a model."""
    row = get_object_or_404(Model, pk=pk)
    row.enabled = request.POST.get("on") == "yes"
    row.save()
    message = _("%(name)s enabled.") if row.enabled else _("%(name)s disabled. Routes skip it.")
    messages.success(request, message % {"name": row.name})
    return redirect("model-edit", pk=pk)


@require_POST
@editor
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Move a model of a file to the database, so that it can be edited."""
    row = get_object_or_404(Model, pk=pk)
    if adopt_row(row):
        messages.success(request, _("%(name)s can now be edited here.") % {"name": row.name})
    return redirect("model-edit", pk=pk)


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a model, after a page that lists its routes."""
    row = get_object_or_404(Model.objects.select_related("provider"), pk=pk)
    if row.read_only:
        return _render_page(request, row, PropertiesForm(model=row), status=409)
    if request.method == "POST":
        row.delete()
        messages.success(request, _("%(name)s deleted.") % {"name": row.name})
        return redirect("models")
    targets = row.targets.select_related("route").order_by("route__name")
    context = {"page": PAGE, "row": row, "targets": targets}
    return render(request, "console/models/delete.html", context)
