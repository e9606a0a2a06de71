"""Access control of views: each names the permission it needs (`gateway.roles`).

Every view has exactly one of the decorators `public`, `signed_in`, `member`, `viewer`, `editor`
and `admin`; a test walks all URLs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Literal, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from console.htmx import htmx_details, is_partial
from gateway.roles import Permission, has_permission, role_of
from gateway.roles import may_read_bodies as may_read_bodies

View = Callable[..., Any]
Person = AbstractBaseUser | AnonymousUser
# What a view needs: a permission, any signed-in user, or nothing.
Access = Permission | Literal["signed in", "public"]


def is_admin(user: Person) -> bool:
    """Whether a user may change settings and see the last characters of credentials."""
    return role_of(user) == "admin"


def is_editor(user: Person) -> bool:
    """Whether a user may change models, routes, keys, teams and prices."""
    return has_permission(user, "edit")


def public(view: View) -> View:
    """Serve a view to everyone; the view checks permissions itself."""
    return set_required_access(view, "public")


def signed_in(view: View) -> View:
    """Restrict a view to signed-in users of any role."""
    return _restrict(view, "signed in", lambda user: role_of(user) is not None)


def member(view: View) -> View:
    """Restrict a view to users who may have keys of their own."""
    return _require_permission(view, "personal")


def playground_user(view: View) -> View:
    """Restrict a view to users who may use the playground."""
    return _require_permission(view, "playground")


def viewer(view: View) -> View:
    """Restrict a view to users who may see the console."""
    return _require_permission(view, "view")


def editor(view: View) -> View:
    """Restrict a view to users who may change models, routes, keys, teams and prices."""
    return _require_permission(view, "edit")


def admin(view: View) -> View:
    """Restrict a view to admins."""
    return _require_permission(view, "administer")


def set_required_access(view: View, access: Access) -> View:
    """Record the permission that a view requires, for the test of all URLs."""
    cast("Any", view).access = access
    return view


def _require_permission(view: View, permission: Permission) -> View:
    return _restrict(view, permission, lambda user: has_permission(user, permission))


def _restrict(view: View, access: Access, has_access: Callable[[Person], bool]) -> View:
    if iscoroutinefunction(view):
        # The role of a user who is no admin is a query.
        is_allowed = sync_to_async(has_access)

        @wraps(view)
        async def async_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            user = await request.auser()
            if await is_allowed(user):
                return await cast("Awaitable[HttpResponse]", view(request, *args, **kwargs))
            return await sync_to_async(_redirect_or_forbid)(request, user)

        return set_required_access(async_view, access)

    @wraps(view)
    def sync_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if has_access(request.user):
            return cast("HttpResponse", view(request, *args, **kwargs))
        return _redirect_or_forbid(request, request.user)

    return set_required_access(sync_view, access)


def forbidden_page(request: HttpRequest) -> HttpResponse:
    """Respond 403 with a page that says that the role lacks the permission."""
    return render(request, "console/failures/refused.html", {"page": ""}, status=403)


def _redirect_or_forbid(request: HttpRequest, user: Person) -> HttpResponse:
    """Redirect to the sign-in page, or respond 403 to a signed-in user."""
    return forbidden_page(request) if user.is_authenticated else to_sign_in(request)


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page, from a page or from a part of one."""
    url = sign_in_url(request)
    if is_partial(request):
        # A plain redirect would load the sign-in page into a part of this page.
        return HttpResponse(status=401, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def sign_in_url(request: HttpRequest, *, by_script: bool = False) -> str:
    """URL of the sign-in page, which returns to the current page afterwards.

    A script, htmx or a form has requested something else than the page that the user sees.
    """
    return_path = request.get_full_path()
    if by_script or is_partial(request) or request.method not in {"GET", "HEAD"}:
        url = htmx_details(request).current_url or request.headers.get("Referer", "")
        base = f"{request.scheme}://{request.get_host()}"
        return_path = url.removeprefix(base) if url.startswith(base + "/") else reverse("overview")
    return f"{reverse('sign-in')}?{urlencode({'next': return_path})}"
