"""URLs of Django's part of the site. Model clients call the edge (asgi.py)."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from console.admin import login
from console.api import ROUTERS
from console.hashing import TooManyHashes
from console.pages.api_reference.views import docs, docs_operation
from console.pages.home import home
from gateway.api.app import api
from gateway.api.failures import unavailable
from gateway.compat.litellm.api.routes import litellm_api
from gateway.compat.litellm.api.routes import openapi_schema as litellm_document

api.mounted_schemas.append(litellm_document)
for router in ROUTERS:
    api.add_router("", router)
api.add_exception_handler(TooManyHashes, lambda _request, error: unavailable(str(error)))

# Raw tables for emergencies, only if DRAGOMAN_DJANGO_ADMIN is set.
admin_urls = [path("admin/login/", login), path("admin/", admin.site.urls)]
urlpatterns = [
    path("", home, name="home"),
    path("docs", docs, name="docs"),
    path("docs/<str:name>", docs_operation, name="docs-operation"),
    path("console/", include("console.urls")),
    path("api/", api.urls),
    *(admin_urls if settings.DJANGO_ADMIN else ()),
    path("", litellm_api.urls),
]

handler400 = "console.pages.failures.bad_request"
handler403 = "console.pages.failures.forbidden"
handler404 = "console.pages.failures.not_found"
handler500 = "console.pages.failures.server_error"
