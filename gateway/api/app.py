"""The NinjaAPI: routers, auth, and one document for them and for the gateway's endpoints."""

from __future__ import annotations

from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from gateway.api import openapi, registry, requests, translate
from gateway.api.auth import Admin


class _Api(NinjaAPI):
    """Adds what the edge serves to the document."""

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """The whole document."""
        schema = super().get_openapi_schema(**kwargs)
        schema["paths"] = {**openapi.gateway_paths(), **schema["paths"]}
        components = schema.setdefault("components", {})
        components.setdefault("securitySchemes", {}).update(openapi.security_schemes())
        return schema


api = _Api(
    title="Dragoman",
    version="1",
    description="The management API, and the endpoints that model clients call.",
    docs_url=None,
    openapi_url="/openapi.json",
    auth=Admin(),
    urls_namespace="api",
)
api.add_router("", requests.router)
api.add_router("", registry.router)
api.add_router("", translate.router)
