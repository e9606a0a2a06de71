"""Access control: two roles and one permission.

An admin is `is_staff`; any other signed-in person is a viewer, who sees no credentials,
and bodies of requests only with the permission `gateway.view_requestbody`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from console.htmx import htmx_details, is_partial

View = Callable[..., Any]
Person = AbstractBaseUser | AnonymousUser
MAY_READ_BODIES = "gateway.view_requestbody"


def is_admin(user: Person) -> bool:
    """Whether a user may change settings and see the last characters of credentials."""
    return bool(user.is_authenticated and user.is_active and getattr(user, "is_staff", False))


def may_read_bodies(user: Person) -> bool:
    """Whether a user may read request and response bodies; queries the database."""
    return is_admin(user) or bool(cast("Any", user).has_perm(MAY_READ_BODIES))


def viewer(view: View) -> View:
    """Restrict a view to signed-in users."""
    return _guarded(view, lambda user: bool(user.is_authenticated))


def admin(view: View) -> View:
    """Restrict a view to admins."""
    return _guarded(view, is_admin)


def _guarded(view: View, allowed: Callable[[Person], bool]) -> View:
    if iscoroutinefunction(view):

        @wraps(view)
        async def later(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            user = await request.auser()
            if allowed(user):
                return await cast("Awaitable[HttpResponse]", view(request, *args, **kwargs))
            return await sync_to_async(_refused)(request, user)

        return later

    @wraps(view)
    def now(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if allowed(request.user):
            return cast("HttpResponse", view(request, *args, **kwargs))
        return _refused(request, request.user)

    return now


def refused(request: HttpRequest) -> HttpResponse:
    """Respond 403 with the "Admins only" page."""
    return render(request, "console/failures/refused.html", {"page": ""}, status=403)


def _refused(request: HttpRequest, user: Person) -> HttpResponse:
    """Redirect to the sign-in page, or respond 403 to a signed-in user."""
    return refused(request) if user.is_authenticated else to_sign_in(request)


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page, from a page or from a part of one."""
    url = sign_in_url(request)
    if is_partial(request):
        # A plain redirect would load the sign-in page into a part of this page.
        return HttpResponse(status=401, headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def sign_in_url(request: HttpRequest) -> str:
    """URL of the sign-in page, which returns to the current page afterwards."""
    back = request.get_full_path()
    part = is_partial(request)
    if part or request.method not in {"GET", "HEAD"}:
        # Return to the page that sent the request, not to a part of it or a form's action.
        url = (htmx_details(request).current_url if part else request.headers.get("Referer")) or ""
        base = f"{request.scheme}://{request.get_host()}"
        back = url.removeprefix(base) if url.startswith(base + "/") else reverse("overview")
    return f"{reverse('sign-in')}?{urlencode({'next': back})}"
