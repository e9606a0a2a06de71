"""URLs of the team and limit pages."""

from __future__ import annotations

from django.urls import path

from console.pages.teams import views

urlpatterns = [
    path("teams", views.teams, name="teams"),
    path("teams/add", views.add, name="team-add"),
    path("teams/keys", views.team_keys, name="team-keys"),
    path("teams/<int:pk>", views.edit, name="team-edit"),
    path("teams/<int:pk>/delete", views.delete, name="team-delete"),
    path("limits/all", views.all_limits, name="all-limits"),
    path("limits/<str:kind>/<int:pk>", views.limits, name="limits"),
]
