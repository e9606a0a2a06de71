"""URLs of Django's part of the site. Model clients call the edge (asgi.py)."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLResolver, path
from django.urls.resolvers import RoutePattern

from console.admin import login
from console.pages.api_reference.views import docs, docs_operation
from console.pages.home import home


class LazyInclude(URLResolver):
    """The URLs of a module that is imported on their first use.

    `include` would import it at once: the first page takes 0.2 s more with the management API.
    """

    def __init__(self, route: str, module: str, namespace: str | None = None) -> None:
        app_name = "ninja" if namespace else None
        super().__init__(RoutePattern(route), module, None, app_name, namespace)

    def _populate(self) -> None:
        """Called for the first name that is looked up in this namespace or in any other."""
        if self.namespace is None:
            super()._populate()


# Raw tables for emergencies, only if DRAGOMAN_DJANGO_ADMIN is set.
admin_urls = [path("admin/login/", login), path("admin/", admin.site.urls)]
urlpatterns = [
    path("", home, name="home"),
    path("docs", docs, name="docs"),
    path("docs/<str:name>", docs_operation, name="docs-operation"),
    LazyInclude("console/", "console.urls"),
    LazyInclude("api/", "gateway.config.api_urls", "api"),
    *(admin_urls if settings.DJANGO_ADMIN else ()),
    LazyInclude("", "gateway.compat.litellm.api.urls", "litellm"),
]

handler400 = "console.pages.failures.bad_request"
handler403 = "console.pages.failures.forbidden"
handler404 = "console.pages.failures.not_found"
handler500 = "console.pages.failures.server_error"
