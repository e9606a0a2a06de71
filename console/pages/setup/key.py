"""Step 3: a key for the first client, shown once."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from console import setup_progress
from console.client_environment import KEY_VARIABLE
from console.pages.setup.forms import KeyForm
from console.pages.setup.gate import setup_step, steps
from gateway import store
from gateway.models import RequestLog


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@setup_step("key")
def key(request: HttpRequest) -> HttpResponse:
    """Create the key. Only the response to the form contains it."""
    form = KeyForm(request.POST if request.method == "POST" else None)
    context = {"form": form, "secret": "", "variable": KEY_VARIABLE, **steps("key")}
    if form.is_valid():
        _, context["secret"] = store.create_key(form.cleaned_data["name"])
        setup_progress.advance("connect", since=RequestLog.objects.newest_pk())
    status = 422 if request.method == "POST" and not form.is_valid() else 200
    return render(request, "console/setup/key.html", context, status=status)
