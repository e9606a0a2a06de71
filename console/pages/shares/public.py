"""The page of a public link: a run for people without an account, without scripts."""

from __future__ import annotations

import math

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import public
from console.client_address import client_address, is_shared_address
from console.models import RunShare, Throttle
from console.playground.image import THEMES, as_svg
from console.playground.shared_view import shared_view

# Views in ten minutes, by one address and altogether.
MAX_PER_ADDRESS, MAX_VIEWS = 120, 3000
# A search engine or a chat's preview must not keep the page, nor a link on it name the address.
_HEADERS = {
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@require_safe
@public
def shared_run(request: HttpRequest, token: str) -> HttpResponse:
    """The run of a link: responses, figures, and the prompt if it is shared."""
    share, refusal = _find_share(request, token)
    if share is None:
        return refusal
    run = shared_view(share.run, with_prompt=share.with_prompt)
    context = {
        "run": run,
        "token": token,
        "created_at": share.run.created_at,
        "expires_at": share.expires_at,
        "repeated": any(response.repetition > 1 for response in run.responses),
    }
    return _with_headers(render(request, "console/shares/public.html", context))


@require_safe
@public
def shared_image(request: HttpRequest, token: str) -> HttpResponse:
    """The run of a link as an SVG image; `theme` is `light` or `dark`."""
    share, refusal = _find_share(request, token)
    if share is None:
        return refusal
    theme = request.GET.get("theme", "light")
    run = shared_view(share.run, with_prompt=share.with_prompt)
    response = HttpResponse(
        as_svg(run, theme if theme in THEMES else "light"), content_type="image/svg+xml"
    )
    response["Content-Disposition"] = 'attachment; filename="comparison.svg"'
    return _with_headers(response)


def _find_share(request: HttpRequest, token: str) -> tuple[RunShare | None, HttpResponse]:
    """The link of a token, or why the page is refused: 429 above the rate limit, 404 otherwise."""
    address = client_address(request)
    limits = [("shared-run", MAX_VIEWS)]
    if not is_shared_address(address):
        limits.append((f"shared-run:{address}", MAX_PER_ADDRESS))
    wait = Throttle.objects.take(limits)
    if wait is not None:
        message = _("Too many requests. Try again in a few minutes.")
        response = _refusal_page(request, message, 429)
        response["Retry-After"] = str(max(1, math.ceil(wait.total_seconds())))
        return None, response
    share = RunShare.objects.by_token(token)
    message = _("This link does not exist, has expired or was revoked.")
    return share, _refusal_page(request, message, 404)


def _refusal_page(request: HttpRequest, message: str, status: int) -> HttpResponse:
    context = {"problem": message}
    return _with_headers(render(request, "console/shares/public.html", context, status=status))


def _with_headers(response: HttpResponse) -> HttpResponse:
    for name, value in _HEADERS.items():
        response[name] = value
    return response
