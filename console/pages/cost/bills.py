"""Bills: charges of a provider compared with computed cost, by day and model."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from console.access import editor, is_editor, viewer
from console.insight import series
from console.pages.cost.forms import BillForm, MarkupForm
from gateway import store
from gateway.accounting.bills import import_bill, reconcile
from gateway.accounting.spend import DIMENSIONS, parse_period, render_csv, spend
from gateway.models import Provider, UsageHour

PAGE = "cost"
_DIMENSION_LABELS = {**series.DIMENSIONS, "day": gettext_lazy("Day"), "tag": gettext_lazy("Tag")}
MAX_DAYS = 400
UNCERTAINTY_LABELS: dict[str, tuple[Promise, Promise]] = {
    "unknown": (
        gettext_lazy("Unknown price"),
        gettext_lazy("Billed, but missing from the computed cost."),
    ),
    "estimated": (
        gettext_lazy("Tokens estimated"),
        gettext_lazy("The provider reported no usage, so the gateway estimated it."),
    ),
    "tier": (
        gettext_lazy("Service tier without a price"),
        gettext_lazy("Computed at the standard price. Set the price of the tier on the model."),
    ),
    "cut": (
        gettext_lazy("Interrupted streams"),
        gettext_lazy("Included up to that point. The provider may bill more."),
    ),
    "closed": (
        gettext_lazy("Client disconnects"),
        gettext_lazy("Included up to that point. The provider may bill more."),
    ),
    "failed": (gettext_lazy("Failed but billed"), gettext_lazy("Included in the computed cost.")),
    "shadow": (gettext_lazy("Shadow requests"), gettext_lazy("Included in the computed cost.")),
    "hedged": (
        gettext_lazy("Hedge losers"),
        gettext_lazy("Estimated, and included in the computed cost."),
    ),
    "broken": (
        gettext_lazy("Failed attempts before a retry"),
        gettext_lazy("May be billed, but are not included in the computed cost."),
    ),
}


@require_safe
@viewer
def cost(request: HttpRequest) -> HttpResponse:
    """The comparison of a provider and a period."""
    return _render_page(request)


@require_POST
@editor
def bill_enter(request: HttpRequest) -> HttpResponse:
    """Store an entered amount or the lines of a file."""
    provider = request.POST.get("provider", "")
    if provider not in _costs_by_provider():
        raise Http404
    form = BillForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render_page(request, form, status=422)
    lines = form.cleaned_data["lines"]
    replaced_lines = import_bill(
        provider, lines, origin=form.file_name, author=request.user.get_username()
    )
    message = ngettext("%(n)d line imported.", "%(n)d lines imported.", len(lines))
    messages.success(request, message % {"n": len(lines)})
    if replaced_lines:
        messages.info(request, _("Existing entries for the same days were replaced."))
    days = {
        "provider": provider,
        "since": min(line.since for line in lines).isoformat(),
        "until": max(line.until for line in lines).isoformat(),
    }
    return redirect(f"{reverse('cost')}?{urlencode(days)}")


@require_POST
@editor
def markup_set(request: HttpRequest) -> HttpResponse:
    """Set the default markup."""
    form = MarkupForm(request.POST)
    if not form.is_valid():
        return _render_page(request, markup_form=form, status=422)
    markup = form.cleaned_data["markup"]
    store.set_options({"markup": None if markup is None else str(markup)})
    messages.success(request, _("Saved. Takes effect within a second."))
    return redirect("cost")


@require_safe
@viewer
def spend_export(request: HttpRequest) -> HttpResponse:
    """The spend of a period as a file."""
    dimensions = [name for name in DIMENSIONS if name in request.GET.getlist("by")]
    names = dimensions or ["day"]
    try:
        since, until = _selected_period(request)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("cost")
    rows = spend(since, until, names)
    kind = "json" if request.GET.get("format") == "json" else "csv"
    if kind == "json":
        body, content = json.dumps(rows, default=lambda usd: f"{usd:f}"), "application/json"
    else:
        body, content = render_csv(rows, names), "text/csv; charset=utf-8"
    response = HttpResponse(body, content_type=content)
    name = f"spend-{since.date()}-{(until - dt.timedelta(days=1)).date()}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _selected_period(request: HttpRequest) -> tuple[dt.datetime, dt.datetime]:
    params = request.GET if request.method != "POST" else request.POST
    since, until = parse_period(params.get("since", ""), params.get("until", ""), timezone.now())
    if (until - since).days > MAX_DAYS:
        raise ValueError(_("Choose a period of at most %(n)d days.") % {"n": MAX_DAYS})
    return since, until


def _costs_by_provider() -> dict[str, int]:
    """Current and earlier providers by name, each with its cost."""
    names = Provider.objects.values_list("name", flat=True)
    costs = UsageHour.objects.in_range(None).cost_by_provider()
    return dict(sorted((dict.fromkeys(names, 0) | costs).items()))


def _render_page(
    request: HttpRequest,
    form: BillForm | None = None,
    *,
    markup_form: MarkupForm | None = None,
    status: int = 200,
) -> HttpResponse:
    costs = _costs_by_provider()
    params = request.GET if request.method != "POST" else request.POST
    provider = requested_name = params.get("provider", "")
    problem = ""
    if provider not in costs:
        provider = max(costs, key=lambda name: costs[name], default="")
        if requested_name:
            problem = _("There is no provider named %(name)s.") % {"name": requested_name}
    try:
        since, until = _selected_period(request)
    except ValueError as error:
        problem = str(error)
        since, until = parse_period("", "", timezone.now())
    first_day, last_day = since.date(), (until - dt.timedelta(days=1)).date()
    reconciliation = reconcile(provider, since, until)
    context: dict[str, Any] = {
        "page": PAGE,
        "form": form or BillForm(initial={"since": first_day, "until": last_day}),
        "problem": problem,
        "providers": costs,
        "provider": provider,
        "since": first_day,
        "until": last_day,
        "reconciliation": reconciliation,
        "uncertainties": [
            (*UNCERTAINTY_LABELS[uncertainty.reason], uncertainty)
            for uncertainty in reconciliation.uncertainties
        ],
        "dimensions": [(name, _DIMENSION_LABELS[name]) for name in DIMENSIONS],
        "may_change": is_editor(request.user),
        "markup_form": markup_form or MarkupForm(initial={"markup": store.load_options().markup}),
    }
    return render(request, "console/cost/page.html", context, status=status)
