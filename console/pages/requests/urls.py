"""URLs of the requests page."""

from __future__ import annotations

from django.urls import path

from console.pages.requests.conversation import request_media
from console.pages.requests.detail import request_detail
from console.pages.requests.export import requests_export
from console.pages.requests.listing import requests_list, requests_tail
from console.pages.requests.replays import request_replay
from console.pages.requests.saved_views import view_delete, view_save
from console.pages.requests.score_views import request_score, request_score_delete

urlpatterns = [
    path("requests", requests_list, name="requests"),
    path("requests/views", view_save, name="view-save"),
    path("requests/views/<int:pk>/delete", view_delete, name="view-delete"),
    path("requests/tail", requests_tail, name="requests-tail"),
    path("requests/export.<str:kind>", requests_export, name="requests-export"),
    path("requests/<str:request_id>", request_detail, name="request"),
    path("requests/<str:request_id>/media/<int:number>", request_media, name="request-media"),
    path("requests/<str:request_id>/replay", request_replay, name="request-replay"),
    path("requests/<str:request_id>/scores", request_score, name="request-score"),
    path(
        "requests/<str:request_id>/scores/<int:pk>/delete",
        request_score_delete,
        name="request-score-delete",
    ),
]
