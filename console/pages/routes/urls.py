"""URLs of the route pages. A name may contain slashes, so it always comes last."""

from __future__ import annotations

from django.urls import URLPattern, path

from console.pages.routes import views

urlpatterns: list[URLPattern] = [
    path("routes", views.routes, name="routes"),
    path("route-choices/<str:kind>", views.choices, name="route-choices"),
    path("new-route", views.new, name="route-new"),
    path("routes/<path:name>", views.route, name="route"),
    path("route-versions/<path:name>", views.versions, name="route-versions"),
    path("route-restore/<path:name>", views.restore, name="route-restore"),
    path("route-yaml/<path:name>", views.as_yaml, name="route-yaml"),
    path("route-clients/<path:name>", views.route_clients, name="route-clients"),
    path("route-cache/<path:name>", views.cached_responses, name="route-cache"),
    path("route-copy/<path:name>", views.adopt, name="route-copy"),
    path("route-delete/<path:name>", views.delete, name="route-delete"),
]
