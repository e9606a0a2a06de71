"""URLs of LiteLLM's endpoints."""

from __future__ import annotations

from gateway.compat.litellm.api.routes import litellm_api

urlpatterns, app_name, _namespace = litellm_api.urls
