"""Price updates: upload a newer list, review its changes, accept some or all."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import editor
from console.numbers import number_in
from console.pages.cost.forms import PriceListForm
from console.templatetags.ui import count
from gateway.models import PriceUpdate
from gateway.providers.prices import price_book
from gateway.store.price_updates import (
    EFFECT_DAYS,
    changes_of,
    effects,
    rate_changes,
    store_proposal,
)

PAGE = "cost"
PAGE_ROWS = 300


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def price_lists(request: HttpRequest) -> HttpResponse:
    """The uploaded lists, and the form for another."""
    form = PriceListForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            row = store_proposal(form.cleaned_data["file"], form.file_name)
        except ValueError as error:
            form.add_error("file", str(error))
        else:
            return redirect("price-update", pk=row.pk)
    context = {
        "page": PAGE,
        "form": form,
        "price_book": price_book(),
        "built_in_date": dt.date.fromisoformat(price_book().fetched_on),
        "rows": [(row, len(row.changes)) for row in PriceUpdate.objects.order_by("-pk")],
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "console/cost/price_lists.html", context, status=status)


@require_safe
@editor
def price_update(request: HttpRequest, pk: int) -> HttpResponse:
    """Changes of a price list, those of models in use first, and their effect on the cost."""
    row = get_object_or_404(PriceUpdate, pk=pk)
    changes = changes_of(row)
    cost_effects = effects(changes)
    show_all = request.GET.get("all") == "1"
    indexes = sorted(range(len(changes)), key=lambda n: (n not in cost_effects, n))
    selected_indexes = [n for n in indexes if show_all or n in cost_effects]
    pages = Paginator(selected_indexes, PAGE_ROWS).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        "page": PAGE,
        "row": row,
        "show_all": show_all,
        "count": len(changes),
        "in_use": len(cost_effects),
        "pages": pages,
        "days": EFFECT_DAYS,
        "entries": [
            {
                "index": n,
                "change": changes[n],
                "lines": rate_changes(changes[n]),
                "cost_effects": cost_effects.get(n, []),
                "accepted": n in row.accepted,
            }
            for n in pages
        ],
    }
    return render(request, "console/cost/price_update.html", context)


@require_POST
@editor
def price_accept(request: HttpRequest, pk: int) -> HttpResponse:
    """Accept all changes, or the selected ones; or discard the list."""
    row = get_object_or_404(PriceUpdate, pk=pk)
    if row.read_only:
        messages.error(
            request, _("Managed by %(source)s. Change it there.") % {"source": row.managed_by}
        )
        return redirect("price-update", pk=pk)
    author = request.user.get_username()
    action = request.POST.get("what", "")
    if action == "drop":
        row.delete()
        messages.success(request, _("List discarded. The previous prices apply."))
        return redirect("price-lists")
    acceptable = [n for n, change in enumerate(changes_of(row)) if change.new is not None]
    selected_indexes = set(map(number_in, request.POST.getlist("index")))
    displayed_indexes = set(map(number_in, request.POST.getlist("shown")))
    # Changes that were not on the page keep their state.
    retained_indexes = {n for n in row.accepted if n not in displayed_indexes}
    accepted_indexes = (
        acceptable
        if action == "all"
        else [n for n in acceptable if n in selected_indexes | retained_indexes]
    )
    row.accept(accepted_indexes, author)
    message = ngettext(
        "%(n)s price of this list takes effect within a second.",
        "%(n)s prices of this list take effect within a second.",
        len(row.accepted),
    )
    messages.success(request, message % {"n": count(len(row.accepted))})
    return redirect(reverse("price-update", args=[pk], query=request.GET))
