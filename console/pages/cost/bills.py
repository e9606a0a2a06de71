"""Bills: for a provider and some days, what it charges beside what was computed here."""

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

from console.access import admin, is_admin, viewer
from console.forms.cost import BillForm, MarginForm
from gateway import store
from gateway.models import Provider, UsageHour
from gateway.store.bills import enter, reconcile
from gateway.store.spend import DIMENSIONS, as_csv, period, spend

PAGE = "cost"
MOST_DAYS = 400
DOUBTS: dict[str, tuple[Promise, Promise]] = {
    "unknown": (
        gettext_lazy("No price known"),
        gettext_lazy("They are billed, and missing in the sum here."),
    ),
    "estimated": (
        gettext_lazy("Tokens estimated"),
        gettext_lazy("The provider did not count them; the gateway did."),
    ),
    "tier": (
        gettext_lazy("Service tier without a price"),
        gettext_lazy("Computed at the standard price. Set the tier's price on the model."),
    ),
    "cut": (
        gettext_lazy("Streams that broke off"),
        gettext_lazy("What had come by then is in the sum; a provider may bill more."),
    ),
    "closed": (
        gettext_lazy("Clients that left"),
        gettext_lazy("What had come by then is in the sum; a provider may bill more."),
    ),
    "failed": (gettext_lazy("Failed, and billed"), gettext_lazy("They are in the sum.")),
    "shadow": (gettext_lazy("Shadow requests"), gettext_lazy("They are in the sum.")),
    "hedged": (
        gettext_lazy("Given up for a faster target"),
        gettext_lazy("An estimate, and in the sum."),
    ),
    "broken": (
        gettext_lazy("Attempts that broke off before another answered"),
        gettext_lazy("They may be billed, and are not in the sum."),
    ),
}


@require_safe
@viewer
def cost(request: HttpRequest) -> HttpResponse:
    """The comparison of a provider's days."""
    return _page(request, None)


@require_POST
@admin
def bill_enter(request: HttpRequest) -> HttpResponse:
    """Take in a sum or a file."""
    provider = request.POST.get("provider", "")
    if provider not in _providers():
        raise Http404
    form = BillForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    lines = form.cleaned_data["lines"]
    gone = enter(provider, lines, origin=form.origin, who=request.user.get_username())
    said = ngettext("%(n)d line taken in.", "%(n)d lines taken in.", len(lines))
    messages.success(request, said % {"n": len(lines)})
    if gone:
        messages.info(request, _("What stood there for the same days is replaced."))
    days = {
        "provider": provider,
        "since": min(line.since for line in lines).isoformat(),
        "until": max(line.until for line in lines).isoformat(),
    }
    return redirect(f"{reverse('cost')}?{urlencode(days)}")


@require_POST
@admin
def margin_set(request: HttpRequest) -> HttpResponse:
    """Set the margin of all who have none of their own."""
    form = MarginForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(str(why) for why in form.errors["margin"]))
        return redirect("cost")
    margin = form.cleaned_data["margin"]
    store.set_options({"margin": None if margin is None else str(margin)})
    messages.success(request, _("Saved. It holds within a second."))
    return redirect("cost")


@require_safe
@viewer
def spend_export(request: HttpRequest) -> HttpResponse:
    """The spend of a period as a file."""
    wanted = [name for name in DIMENSIONS if name in request.GET.getlist("by")]
    names = wanted or ["day"]
    try:
        since, until = _period(request)
    except ValueError as error:
        messages.error(request, str(error))
        return redirect("cost")
    rows = spend(since, until, names)
    kind = "json" if request.GET.get("format") == "json" else "csv"
    if kind == "json":
        body, content = json.dumps(rows, default=lambda usd: f"{usd:f}"), "application/json"
    else:
        body, content = as_csv(rows, names), "text/csv; charset=utf-8"
    response = HttpResponse(body, content_type=content)
    name = f"spend-{since.date()}-{(until - dt.timedelta(days=1)).date()}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _period(request: HttpRequest) -> tuple[dt.datetime, dt.datetime]:
    asked = request.GET if request.method != "POST" else request.POST
    since, until = period(asked.get("since", ""), asked.get("until", ""), timezone.now())
    if (until - since).days > MOST_DAYS:
        raise ValueError(_("At most %(n)d days at a time.") % {"n": MOST_DAYS})
    return since, until


def _providers() -> list[str]:
    """Those of the registry, and those that were used before."""
    used = UsageHour.objects.exclude(provider="").order_by().values_list("provider", flat=True)
    return sorted({*Provider.objects.values_list("name", flat=True), *used.distinct()})


def _page(request: HttpRequest, form: BillForm | None, status: int = 200) -> HttpResponse:
    names = _providers()
    asked = request.GET if request.method != "POST" else request.POST
    provider = asked.get("provider", "")
    provider = provider if provider in names else _dearest(names)
    problem = ""
    try:
        since, until = _period(request)
    except ValueError as error:
        problem = str(error)
        since, until = period("", "", timezone.now())
    first, last = since.date(), (until - dt.timedelta(days=1)).date()
    found = reconcile(provider, since, until)
    context: dict[str, Any] = {
        "page": PAGE,
        "form": form or BillForm(initial={"since": first, "until": last}),
        "problem": problem,
        "providers": names,
        "provider": provider,
        "since": first.isoformat(),
        "until": last.isoformat(),
        "found": found,
        "doubts": [(*DOUBTS[doubt.why], doubt) for doubt in found.doubts],
        "dimensions": DIMENSIONS,
        "may_change": is_admin(request.user),
        "margin_form": MarginForm(initial={"margin": store.load_options().margin}),
    }
    return render(request, "console/cost.html", context, status=status)


def _dearest(names: list[str]) -> str:
    """The provider of whom most is used: the one whose bill one asks for first."""
    sums = UsageHour.objects.all().by("provider")
    return max(names, key=lambda n: sums[n,].cost_units if (n,) in sums else -1, default="")
