"""URLs of LiteLLM's endpoints."""

from __future__ import annotations

from gateway.compat.litellm.api import unsupported
from gateway.compat.litellm.api.app import litellm_api

_supported, app_name, _namespace = litellm_api.urls
urlpatterns = [*_supported, *unsupported.urlpatterns]
