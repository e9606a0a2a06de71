"""URLs of a person's personal keys and requests."""

from __future__ import annotations

from django.urls import path

from console.pages.personal import keys, requests, traces
from console.pages.personal.scores import personal_request_score, personal_request_score_delete

urlpatterns = [
    path("personal/keys", keys.personal_keys, name="personal-keys"),
    path("personal/keys/add", keys.add, name="personal-key-add"),
    path("personal/keys/<int:pk>/rotate", keys.rotate, name="personal-key-rotate"),
    path("personal/keys/<int:pk>/revoke", keys.revoke, name="personal-key-revoke"),
    path("personal/traces", traces.personal_traces, name="personal-traces"),
    path("personal/traces/spans/<int:pk>", traces.personal_trace_span, name="personal-trace-span"),
    path("personal/traces/<str:trace_id>", traces.personal_trace, name="personal-trace"),
    path("personal/requests", requests.personal_request_list, name="personal-requests"),
    path("personal/requests/<str:request_id>", requests.personal_request, name="personal-request"),
    path(
        "personal/requests/<str:request_id>/scores",
        personal_request_score,
        name="personal-request-score",
    ),
    path(
        "personal/requests/<str:request_id>/scores/<int:pk>/delete",
        personal_request_score_delete,
        name="personal-request-score-delete",
    ),
]
