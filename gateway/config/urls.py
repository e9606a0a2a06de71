"""Where Django's part of the site is. What model clients call is the edge's (asgi.py)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from console.api import ROUTERS
from console.pages.docs import docs
from console.pages.home import home
from gateway.api import api, litellm_api

for router in ROUTERS:
    api.add_router("", router)

urlpatterns = [
    path("", home, name="home"),
    path("docs", docs, name="docs"),
    path("console/", include("console.urls")),
    path("api/", api.urls),
    path("admin/", admin.site.urls),
    path("", litellm_api.urls),
]
