"""Responses to htmx: a part of a page, or a redirect of the whole window.

Views use only `is_partial` to distinguish a request for a part from one for a page.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails


def is_partial(request: HttpRequest) -> bool:
    """Whether the response replaces a part of a page and not the page.

    A boosted link and a restored history entry need the whole page.
    """
    htmx = htmx_details(request)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def htmx_details(request: HttpRequest) -> HtmxDetails:
    """The request's htmx headers, read by django-htmx's middleware."""
    details: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    return details


def render_page_or_part(
    request: HttpRequest, page: str, part: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Render the template `part` for a partial request, `page` for any other.

    Both have the same address, so `Vary` keeps caches and the browser's history apart.
    """
    template = part if is_partial(request) else page
    response = render(request, template, context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def redirect_to(request: HttpRequest, url: str) -> HttpResponse:
    """Go to another page, also from within a part of this one."""
    return HttpResponseClientRedirect(url) if is_partial(request) else HttpResponseRedirect(url)
