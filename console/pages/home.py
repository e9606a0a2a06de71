"""`/`: what this is, and where to go."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The front page; it tells nothing that needs a key."""
    base = f"{request.scheme}://{request.get_host()}"
    return render(request, "console/home.html", {"base": base, "open": settings.OPEN})
