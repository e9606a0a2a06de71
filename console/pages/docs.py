"""`/docs`: the API reference, from files of our own."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from console.access import public


@require_safe
@public
def docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI on the OpenAPI document."""
    return render(request, "console/docs/page.html", {"document": reverse("api:openapi-json")})
