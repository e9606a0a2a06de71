"""URLs of the alert pages."""

from __future__ import annotations

from django.urls import path

from console.pages.alerts import views

urlpatterns = [
    path("alerts", views.alerts, name="alerts"),
    path("alerts/thresholds", views.thresholds, name="alert-thresholds"),
    path("alerts/silences/add", views.add_silence, name="alert-silence-add"),
    path("alerts/silences/<int:pk>/delete", views.delete_silence, name="alert-silence-delete"),
    path("alerts/channels/add", views.add, name="alert-channel-add"),
    path("alerts/channels/<int:pk>", views.edit, name="alert-channel"),
    path("alerts/channels/<int:pk>/test", views.test, name="alert-channel-test"),
    path("alerts/channels/<int:pk>/delete", views.delete, name="alert-channel-delete"),
]
