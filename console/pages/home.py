"""`/`: redirects browsers to the console."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from console.access import public
from gateway.roles import has_permission


@require_safe
@public
def home(request: HttpRequest) -> HttpResponse:
    """Redirect to the console; with the token of the first start, to the setup.

    HEAD returns an empty response: Ollama's client and Claude Code check with it whether the
    server runs, and follow redirects (https://github.com/ollama/ollama/blob/main/api/client.go).
    """
    if request.method == "HEAD":
        return HttpResponse()
    token = request.GET.get("setup", "")
    if token:
        return redirect(f"{reverse('setup')}?{urlencode({'setup': token})}")
    if has_permission(request.user, "view") or not request.user.is_authenticated:
        return redirect("/console/")
    return redirect("personal-keys")
