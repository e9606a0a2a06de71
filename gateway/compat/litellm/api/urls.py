"""URLs of LiteLLM's endpoints."""

from __future__ import annotations

from django.urls import re_path
from django.views.generic import RedirectView

from gateway.compat.litellm.api import unsupported
from gateway.compat.litellm.api.app import litellm_api

_supported, app_name, _namespace = litellm_api.urls
urlpatterns = [
    *_supported,
    re_path("^ui/?$", RedirectView.as_view(url="/")),  # LiteLLM's user interface
    *unsupported.urlpatterns,
]
