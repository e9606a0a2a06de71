"""URLs of the traces page."""

from __future__ import annotations

from django.urls import path

from console.pages.traces.views import span, trace, traces

urlpatterns = [
    path("traces", traces, name="traces"),
    path("traces/spans/<int:pk>", span, name="trace-span"),
    path("traces/<str:trace_id>", trace, name="trace"),
]
