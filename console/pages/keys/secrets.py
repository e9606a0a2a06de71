"""Pages that show a key's secret, once: creating a key and rotating it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import editor, forbidden_page
from console.pages.keys.forms import KeyForm, RotateForm
from console.pages.keys.views import PAGE, key_page
from gateway import store
from gateway.models import ApiKey
from gateway.roles import may_rotate


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def add(request: HttpRequest) -> HttpResponse:
    """Create a key."""
    form = KeyForm(request.POST or None)
    if form.is_valid():
        row, secret = store.create_key(form.cleaned_data["name"], **form.row_values)
        return _secret_page(request, row, secret)
    status = 422 if request.method == "POST" else 200
    return render(request, "console/keys/add.html", {"page": PAGE, "form": form}, status=status)


@require_POST
@editor
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a key a new secret; the old one stays valid for the grace period."""
    row = get_object_or_404(ApiKey, pk=pk)
    if not may_rotate(request.user, row.owner_id):
        return forbidden_page(request)
    form = RotateForm(request.POST)
    if not form.is_valid():
        return key_page(request, row, KeyForm(instance=row), rotate=form, status=422)
    if row.read_only:
        return key_page(request, row, KeyForm(instance=row), status=409)
    try:
        secret = store.rotate_key(row, grace=form.grace_period)
    except ValueError:  # it was revoked meanwhile
        return key_page(request, row, KeyForm(instance=row), status=409)
    return _secret_page(request, row, secret, rotated=True)


@require_POST
@editor
def end_grace(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke the old secret of a rotated key now."""
    row = get_object_or_404(ApiKey, pk=pk)
    store.end_grace(row)
    messages.success(request, _("The old secret has been revoked."))
    return redirect("key-edit", pk=pk)


def _secret_page(
    request: HttpRequest, row: ApiKey, secret: str, *, rotated: bool = False
) -> HttpResponse:
    """Render the response to the POST itself: the secret is not stored, and shown only once."""
    context = {"page": PAGE, "key": row, "secret": secret, "rotated": rotated}
    return render(request, "console/keys/secret.html", context)
