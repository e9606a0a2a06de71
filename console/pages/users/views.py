"""User accounts: roles, permissions, passwords."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import accounts
from console.access import admin
from console.delete_confirmation import delete_confirmation
from console.htmx import render_page_or_part
from console.list_search import list_url
from console.pages.users.forms import EditRoleForm, NewUserForm, PersonalLimitsForm, ResetForm
from gateway.models import ApiKey
from gateway.roles import PERMISSIONS

PAGE = "users"
PAGE_ROWS = 100


@require_safe
@admin
def users(request: HttpRequest) -> HttpResponse:
    """The accounts that match the search in the URL, with role and permission."""
    text = request.GET.get("q", "").strip()[:100]
    selected = accounts.all_users()
    for word in text.replace("\0", "").split():
        selected = selected.filter(
            Q(username__icontains=word) | Q(email__icontains=word) | Q(account__role=word.lower())
        )
    pages = Paginator(selected, PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "page": PAGE,
        "pages": pages,
        "text": text,
        "count": pages.paginator.count,
        "granted": accounts.users_with_body_access(),
    }
    return render_page_or_part(
        request, "console/users/page.html", "console/users/_rows.html", context
    )


@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
@admin
def user_add(request: HttpRequest) -> HttpResponse:
    """A new account."""
    form = NewUserForm(request.POST or None)
    if form.is_valid():
        account = form.cleaned_data
        accounts.create_account(
            account["username"],
            account["password"],
            role=account["role"],
            bodies=account["bodies"],
        )
        messages.success(request, _("%(name)s can sign in now.") % {"name": account["username"]})
        return redirect(list_url(request, "users"))
    status = 422 if request.method == "POST" else 200
    return render(request, "console/users/add.html", {"page": PAGE, "form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def user_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One account: role and permission, password, access."""
    person = get_object_or_404(User, pk=pk)
    if request.method != "POST":
        return _render_page(request, person, {})
    form = EditRoleForm(request.POST, user=person)
    if not form.is_valid():
        return _render_page(request, person, {"role": form}, status=422)
    account = form.cleaned_data
    try:
        accounts.set_role(person, role=account["role"], bodies=account["bodies"])
    except accounts.LastAdmin:
        form.add_error("role", _("This is the only admin. Make another user an admin first."))
        return _render_page(request, get_object_or_404(User, pk=pk), {"role": form}, status=422)
    messages.success(request, _("Saved. Takes effect on the next page they open."))
    return redirect(list_url(request, "users"))


@sensitive_post_parameters("password")
@require_POST
@admin
def user_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Set a user's password."""
    person = get_object_or_404(User, pk=pk)
    form = ResetForm(request.POST, user=person)
    if not form.is_valid():
        return _render_page(request, person, {"reset": form}, status=422)
    accounts.set_password(person, form.cleaned_data["password"])
    messages.success(
        request, _("The password of %(name)s has been changed.") % {"name": person.username}
    )
    return redirect(list_url(request, "users"))


@require_POST
@admin
def user_limits(request: HttpRequest, pk: int) -> HttpResponse:
    """Set the limits of a user's personal keys."""
    person = get_object_or_404(User, pk=pk)
    form = PersonalLimitsForm(request.POST, user=person)
    if not form.is_valid():
        return _render_page(request, person, {"limits": form}, status=422)
    accounts.set_limits(person, **{name: form.cleaned_data[name] for name in form.Meta.fields})
    messages.success(request, _("Saved. Applies to keys that they create from now on."))
    return redirect(_user_url(request, person))


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def user_two_factor(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove the second factors of a user who has lost them, after a confirmation."""
    person = get_object_or_404(User, pk=pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=_crumbs(request, person),
            title=_("Remove the second factors of %(name)s") % {"name": person.username},
            consequence=_("They then sign in with only their password."),
            label=_("Remove second factors"),
        )
    accounts.remove_two_factor(person)
    message = _("%(name)s signs in without a second factor now.")
    messages.success(request, message % {"name": person.username})
    return redirect(_user_url(request, person))


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def user_active(request: HttpRequest, pk: int) -> HttpResponse:
    """Reactivate a user, or deactivate one after a confirmation."""
    person = get_object_or_404(User, pk=pk)
    if request.method != "POST":
        return _ask_to_deactivate(request, person)
    active = request.POST.get("active") == "yes"
    try:
        accounts.set_active(person, active=active)
    except accounts.LastAdmin:
        problem = _("This is the only admin. Make another user an admin first.")
        return _render_page(
            request, get_object_or_404(User, pk=pk), {"reason": problem}, status=422
        )
    message = (
        _("%(name)s can sign in again.") if active else _("%(name)s is signed out and deactivated.")
    )
    messages.success(request, message % {"name": person.username})
    return redirect(list_url(request, "users"))


def _ask_to_deactivate(request: HttpRequest, person: User) -> HttpResponse:
    if not person.is_active:
        return redirect(_user_url(request, person))
    keys = ApiKey.objects.owned_by(person).live().count()
    consequence = _("They are signed out immediately and cannot sign in.")
    if keys:
        revoked_keys = ngettext(
            "%(count)d personal key is revoked, also if the user is reactivated later.",
            "%(count)d personal keys are revoked, also if the user is reactivated later.",
            keys,
        )
        consequence = f"{consequence} {revoked_keys % {'count': keys}}"
    return delete_confirmation(
        request,
        PAGE,
        crumbs=_crumbs(request, person),
        title=_("Deactivate %(name)s") % {"name": person.username},
        consequence=consequence,
        label=_("Deactivate"),
        icon_name="ban",
    )


def _user_url(request: HttpRequest, person: User) -> str:
    """URL of the user's page, which leads back to the page of the list."""
    query = request.META.get("QUERY_STRING", "")
    url = reverse("user-edit", args=[person.pk])
    return f"{url}?{query}" if query else url


def _crumbs(request: HttpRequest, person: User) -> list[tuple[str, str]]:
    return [
        (list_url(request, "users"), _("Users")),
        (_user_url(request, person), person.username),
    ]


def _render_page(
    request: HttpRequest, person: User, forms: dict[str, Any], status: int = 200
) -> HttpResponse:
    context = {
        "page": PAGE,
        "list_url": list_url(request, "users"),
        "person": person,
        "myself": person.pk == cast("User", request.user).pk,
        "role": EditRoleForm(user=person),
        "reset": ResetForm(user=person),
        "limits": PersonalLimitsForm(user=person),
        "has_personal_keys": "personal" in PERMISSIONS[accounts.stored_role(person)],
        "two_factor": accounts.two_factor_kinds(person),
        "personal_keys": ApiKey.objects.owned_by(person).live(),
        **forms,
    }
    return render(request, "console/users/edit.html", context, status=status)
