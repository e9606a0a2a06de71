"""Where Django's part of the site is. What model clients call is the edge's (asgi.py)."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
