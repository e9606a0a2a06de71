"""Where Django's part of the site is. What model clients call is the edge's (asgi.py)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from console.pages.docs import docs
from console.pages.home import home
from gateway.api import api

urlpatterns = [
    path("", home, name="home"),
    path("docs", docs, name="docs"),
    path("console/", include("console.urls")),
    path("api/", api.urls),
    path("admin/", admin.site.urls),
]
