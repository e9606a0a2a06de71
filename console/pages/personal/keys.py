"""Personal keys: the list with its spend, creating, rotating and revoking."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import member
from console.delete_confirmation import delete_confirmation
from console.pages.keys.forms import RotateForm
from console.pages.keys.spend import gauges
from console.pages.personal.creation import count_active_keys, create_personal_key
from console.pages.personal.forms import PersonalKeyForm
from console.pages.personal.limits import PersonalLimits, limits_of_user, unassigned_usd
from console.pages.personal.requests import personal_requests
from console.pages.requests.log_lines import lines
from gateway import store
from gateway.models import ApiKey

PAGE = "personal-keys"
NEWEST_ROWS = 8


@require_safe
@member
def personal_keys(request: HttpRequest) -> HttpResponse:
    """The keys with their spend, the limits of the account, and the newest requests."""
    return _render_page(request)


def _render_page(request: HttpRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    user, now = cast("User", request.user), timezone.now()
    limits = limits_of_user(user)
    rows = list(ApiKey.objects.owned_by(user).live())
    gauges_by_key = gauges(rows, now)
    context = {
        "page": PAGE,
        "problem": problem,
        "limits": limits,
        "unassigned_usd": unassigned_usd(user, limits, now),
        "rows": [{"key": row, "gauges": gauges_by_key[row.pk]} for row in rows],
        "may_add": count_active_keys(user) < limits.max_keys,
        "rotate": RotateForm(initial={"grace": "hour"}),
        "lines": lines(personal_requests(user, None, NEWEST_ROWS).rows),
    }
    return render(request, "console/personal/page.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@member
def add(request: HttpRequest) -> HttpResponse:
    """Create a key; its secret is in this response only."""
    user = cast("User", request.user)
    if request.method != "POST":
        limits = limits_of_user(user)
        available_usd = unassigned_usd(user, limits, timezone.now())
        return _add_page(
            request, PersonalKeyForm(limits=limits, available_usd=available_usd), limits
        )
    created = create_personal_key(user, request.POST)
    if created.row is None or created.secret is None:
        return _add_page(request, created.form, created.limits, status=422)
    return _secret_page(request, created.row, created.secret)


def _add_page(
    request: HttpRequest, form: PersonalKeyForm, limits: PersonalLimits, status: int = 200
) -> HttpResponse:
    context = {"page": PAGE, "form": form, "limits": limits}
    return render(request, "console/personal/add.html", context, status=status)


@require_POST
@member
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a key a new secret; the old one stays valid for the grace period."""
    row = _personal_key(request, pk)
    form = RotateForm(request.POST)
    if not form.is_valid():
        return _render_page(
            request, problem=_("Select how long the old secret stays valid."), status=422
        )
    try:
        secret = store.rotate_key(row, grace=form.grace_period)
    except ValueError:  # it was revoked meanwhile
        return _render_page(request, problem=_("This key has been revoked."), status=409)
    return _secret_page(request, row, secret, rotated=True)


@require_http_methods(["GET", "HEAD", "POST"])
@member
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke a key, after a confirmation."""
    row = _personal_key(request, pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[(reverse("personal-keys"), _("My keys"))],
            title=_("Revoke %(name)s") % {"name": row.name},
            consequence=_("The key stops working immediately and cannot be restored here."),
            label=_("Revoke"),
            icon_name="ban",
        )
    ApiKey.objects.with_pk(row.pk).revoke()
    messages.success(request, _("%(name)s is revoked and no longer works.") % {"name": row.name})
    return redirect("personal-keys")


def _personal_key(request: HttpRequest, pk: int) -> ApiKey:
    """The key, if it is the person's own. Raises Http404."""
    return get_object_or_404(ApiKey.objects.owned_by(request.user).live(), pk=pk)


def _secret_page(
    request: HttpRequest, row: ApiKey, secret: str, *, rotated: bool = False
) -> HttpResponse:
    context = {"page": PAGE, "key": row, "secret": secret, "rotated": rotated, "personal": True}
    return render(request, "console/keys/secret.html", context)
