"""The list of keys, and the page of one, without its secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import editor, viewer
from console.htmx import render_page_or_part
from console.list_search import list_url
from console.numbers import number_in
from console.pages.keys.forms import KeyForm, RotateForm
from console.pages.keys.spend import gauges, tightest
from gateway.models import ApiKey
from gateway.roles import may_rotate
from gateway.store.ownership import adopt_row

PAGE = "keys"
UNDO_S = 10
PAGE_ROWS = 100
# Allows for the time that a last-second click takes to arrive.
_SLACK_S = 5


@require_safe
@viewer
def keys(request: HttpRequest) -> HttpResponse:
    """The active or revoked keys that match the search in the URL."""
    show_revoked = request.GET.get("show") == "revoked"
    text = request.GET.get("q", "").strip()[:100]
    selected = (
        ApiKey.objects.revoked() if show_revoked else ApiKey.objects.live().order_by("name", "pk")
    ).filter(_search_condition(text))
    pages = Paginator(selected.select_related("team"), PAGE_ROWS).get_page(request.GET.get("page"))
    rows = list(pages)
    gauges_by_key = gauges(rows, timezone.now())
    context = {
        "page": PAGE,
        "rows": [{"key": row, "gauge": tightest(gauges_by_key[row.pk])} for row in rows],
        "text": text,
        "pages": pages,
        "count": pages.paginator.count,
        "show_revoked": show_revoked,
        "live_count": ApiKey.objects.live().count(),
        "revoked_count": ApiKey.objects.revoked().count(),
        "undo": _recently_revoked_key(request),
        "undo_s": UNDO_S,
    }
    return render_page_or_part(
        request, "console/keys/page.html", "console/keys/_rows.html", context
    )


def _search_condition(text: str) -> Q:
    """Every word is in the key's name, prefix, user or team; an empty text matches any key."""
    if "\0" in text:
        return Q(pk__in=[])  # PostgreSQL would refuse the query
    condition = Q()
    for word in text.split():
        condition &= (
            Q(name__icontains=word)
            | Q(prefix__istartswith=word)
            | Q(user__icontains=word)
            | Q(team__name__icontains=word)
        )
    return condition


def _recently_revoked_key(request: HttpRequest) -> ApiKey | None:
    """Return the key that was just revoked, if this page follows its revocation."""
    pk = number_in(request.GET.get("revoked", ""))
    row = ApiKey.objects.revoked().filter(pk=pk).first() if pk is not None else None
    return row if row is not None and _key_age(row) < timedelta(seconds=UNDO_S) else None


def _key_age(row: ApiKey) -> timedelta:
    now = timezone.now()
    return now - (row.revoked_at or now)


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One key: name, routes, expiry, budgets, limits."""
    row = get_object_or_404(ApiKey, pk=pk)
    if request.method != "POST":
        return key_page(request, row, KeyForm(instance=row))
    if row.read_only or row.revoked_at is not None:
        return key_page(request, row, KeyForm(instance=row), status=409)
    form = KeyForm(request.POST, instance=row)
    if not form.is_valid():
        return key_page(request, get_object_or_404(ApiKey, pk=pk), form, status=422)
    form.save()
    messages.success(request, _("Saved. Takes effect within a second."))
    return redirect("key-edit", pk=pk)


def key_page(
    request: HttpRequest,
    row: ApiKey,
    form: KeyForm,
    *,
    rotate: RotateForm | None = None,
    status: int = 200,
) -> HttpResponse:
    """The page of a key."""
    context: dict[str, Any] = {
        "page": PAGE,
        "key": row,
        "form": form,
        "read_only": row.read_only,
        "gauges": gauges([row], timezone.now())[row.pk],
        "rotate": rotate or RotateForm(initial={"grace": "day"}),
        "may_rotate": may_rotate(request.user, row.owner_id),
    }
    return render(request, "console/keys/edit.html", context, status=status)


@require_POST
@editor
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke a key; the next page offers to undo it."""
    get_object_or_404(ApiKey, pk=pk)
    ApiKey.objects.with_pk(pk).revoke()
    return redirect(list_url(request, "keys", revoked=pk))


@require_POST
@editor
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Undo a recent revocation."""
    row = get_object_or_404(ApiKey, pk=pk)
    since = timezone.now() - timedelta(seconds=UNDO_S + _SLACK_S)
    if ApiKey.objects.with_pk(pk).restore(revoked_since=since):
        messages.success(request, _("%(name)s restored.") % {"name": row.name})
    else:
        message = _("Too late: %(name)s stays revoked. Create a new key instead.")
        messages.error(request, message % {"name": row.name})
    return redirect(list_url(request, "keys"))


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a revoked key; its requests stay in the log."""
    row = get_object_or_404(ApiKey, pk=pk)
    if row.revoked_at is None:
        return key_page(request, row, KeyForm(instance=row), status=409)
    if request.method != "POST":
        return render(request, "console/keys/delete.html", {"page": PAGE, "key": row})
    row.delete()
    messages.success(request, _("%(name)s deleted.") % {"name": row.name})
    if not ApiKey.objects.revoked().exists():
        return redirect("keys")
    return redirect(list_url(request, "keys", show="revoked"))


@require_POST
@editor
def adopt(request: HttpRequest, pk: int) -> HttpResponse:
    """Move a key from a file or the environment to the database, so that it can be edited."""
    row = get_object_or_404(ApiKey, pk=pk)
    if adopt_row(row):
        messages.success(request, _("%(name)s can now be edited here.") % {"name": row.name})
    return redirect("key-edit", pk=pk)
