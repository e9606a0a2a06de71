"""Traces of a person's personal keys: the list, one trace, one span."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from console.access import member
from console.pages.traces.links import PERSONAL_LINKS
from console.pages.traces.views import render_list, render_span, render_trace
from gateway.models import ApiKey


@member
@require_safe
def personal_traces(request: HttpRequest) -> HttpResponse:
    """The list, newest first."""
    return render_list(request, PERSONAL_LINKS, _personal_keys(request.user))


@member
@require_safe
def personal_trace(request: HttpRequest, trace_id: str) -> HttpResponse:
    """One trace: the spans and requests of personal keys in it."""
    return render_trace(request, PERSONAL_LINKS, trace_id, _personal_keys(request.user))


@member
@require_safe
def personal_trace_span(request: HttpRequest, pk: int) -> HttpResponse:
    """One span that a personal key sent, with its content."""
    return render_span(request, PERSONAL_LINKS, pk, _personal_keys(request.user))


def _personal_keys(user: Any) -> tuple[int, ...]:
    """Row ids of a person's keys, revoked ones included."""
    return tuple(ApiKey.objects.owned_by(user).values_list("pk", flat=True))
