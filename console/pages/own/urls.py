"""URLs of a person's own keys and requests."""

from __future__ import annotations

from django.urls import path

from console.pages.own import keys, requests, traces
from console.pages.requests.score_views import own_request_score, own_request_score_delete

urlpatterns = [
    path("own", keys.own_keys, name="own"),
    path("own/keys/add", keys.add, name="own-key-add"),
    path("own/keys/<int:pk>/rotate", keys.rotate, name="own-key-rotate"),
    path("own/keys/<int:pk>/revoke", keys.revoke, name="own-key-revoke"),
    path("own/traces", traces.own_traces, name="own-traces"),
    path("own/traces/spans/<int:pk>", traces.own_trace_span, name="own-trace-span"),
    path("own/traces/<str:trace_id>", traces.own_trace, name="own-trace"),
    path("own/requests", requests.own_request_list, name="own-requests"),
    path("own/requests/<str:request_id>", requests.own_request, name="own-request"),
    path("own/requests/<str:request_id>/scores", own_request_score, name="own-request-score"),
    path(
        "own/requests/<str:request_id>/scores/<int:pk>/delete",
        own_request_score_delete,
        name="own-request-score-delete",
    ),
]
