"""Access to the setup: by the one-time token of the first start, until an admin exists."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from console import setup_progress
from console.access import admin, public, set_required_access
from console.accounts import admin_exists

View = Callable[..., Any]
_SESSION_KEY = "setup"


@never_cache
@require_safe
@public
def setup(request: HttpRequest) -> HttpResponse:
    """Redirect to the next step; a token in the URL is moved into the session first."""
    if admin_exists():
        return cast("HttpResponse", _redirect_to_open_step(request))
    token = request.GET.get("setup", "")
    if token:
        if not _is_token(hashlib.sha256(token.encode()).hexdigest()):
            return locked_page(request, wrong_token=True)
        request.session[_SESSION_KEY] = hashlib.sha256(token.encode()).hexdigest()
        return redirect("setup")
    return redirect("setup-account") if has_setup_token(request) else locked_page(request)


@admin
def _redirect_to_open_step(request: HttpRequest) -> HttpResponse:
    step = setup_progress.step()
    return redirect("overview" if step == "done" else f"setup-{step}")


def has_setup_token(request: HttpRequest) -> bool:
    """Whether this browser's session has the current token."""
    return _is_token(request.session.get(_SESSION_KEY, ""))


def consume_setup_token(request: HttpRequest) -> None:
    """Delete the token from the session and the disk."""
    request.session.pop(_SESSION_KEY, None)
    _token_path().unlink(missing_ok=True)


def locked_page(request: HttpRequest, *, wrong_token: bool = False) -> HttpResponse:
    """Render a page that says where to find the token."""
    context = {"wrong_token": wrong_token}
    return render(request, "console/setup/locked.html", context, status=403)


_TITLES: dict[setup_progress.Step, Promise] = {
    "account": gettext_lazy("Account"),
    "provider": gettext_lazy("Provider"),
    "key": gettext_lazy("Key"),
    "connect": gettext_lazy("Client"),
}


def setup_step(step: setup_progress.Step) -> Callable[[View], View]:
    """Restrict a later step to admins, and to the time before the setup is finished."""

    def guard(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not admin_exists():
                return redirect("setup")
            return cast("HttpResponse", run_view(request, *args, **kwargs))

        @admin
        def run_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            current_step = setup_progress.step()
            order = [*setup_progress.STEPS, "done"]
            # Earlier steps may be revisited, later ones not.
            if current_step == "done" or order.index(step) > order.index(current_step):
                return redirect("setup")
            return cast("HttpResponse", view(request, *args, **kwargs))

        return set_required_access(wrapper, "administer")

    return guard


def steps(current_step: setup_progress.Step) -> dict[str, Any]:
    """Return the steps of the setup for its pages, with the current one."""
    reached_index = setup_progress.STEPS.index(current_step)
    return {
        "steps": [
            {
                "title": _TITLES[name],
                "number": number,
                "current": name == current_step,
                "past": number <= reached_index,
            }
            for number, name in enumerate(setup_progress.STEPS, start=1)
        ]
    }


def _is_token(digest: str) -> bool:
    try:
        stored_digest = _token_path().read_text(encoding="utf-8").strip()
    except OSError:
        return False
    return bool(stored_digest) and hmac.compare_digest(stored_digest.encode(), digest.encode())


def _token_path() -> Path:
    return Path(settings.DATA_DIR) / "setup_token"
