"""The NinjaAPI: routers, auth, and one document for them and for the gateway's endpoints.

A router of a layer above (`console.api`) is added where the site is put together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, re_path
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from gateway.api import (
    adopt,
    cache,
    changes,
    document,
    failures,
    key_state,
    openapi,
    registry,
    rehearsal,
    requests,
    resources,
    spend,
    translate,
    usage,
    versions,
)
from gateway.api.auth import Admin


class _Api(NinjaAPI):
    """Adds what the edge serves to the document, and to each operation what all have.

    Attributes:
        other_documents: give the OpenAPI documents of other management APIs, to be merged.
    """

    other_documents: ClassVar[list[Callable[[], dict[str, Any]]]] = []

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """The whole document."""
        schema = super().get_openapi_schema(**kwargs)
        for item in schema["paths"].values():
            for method, operation in item.items():
                document.finish(method, operation)
        schema["paths"] = {**openapi.gateway_paths(), **schema["paths"]}
        others = [document() for document in self.other_documents]
        for other in others:
            schema["paths"] |= other["paths"]
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(resources.SCHEMAS)
        for other in others:
            components["schemas"] |= other["components"]["schemas"]
        components["schemas"]["Problem"] = failures.Problem.model_json_schema()
        components.setdefault("securitySchemes", {}).update(openapi.security_schemes())
        return schema

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The function's name: each is there once."""
        return operation.view_func.__name__

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        """The operations, and below them the answer where there is none.

        A name may hold slashes: what takes a name and nothing after it comes last.
        """
        found = sorted(
            super()._get_urls(), key=lambda url: str(url.pattern).endswith("<path:name>")
        )
        for pattern in found:
            if isinstance(pattern, URLPattern):
                pattern.callback = _bounded(pattern.callback)
        return [*found, re_path(r"^.*$", failures.unknown)]


def _bounded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view behind the limit of bodies, its refusals in the API's own shape."""

    @wraps(view)
    def bounded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if failures.oversized(request):
            return failures.too_large()
        answer = view(request, *args, **kwargs)
        if answer.status_code == 405:
            return failures.not_allowed(answer, request.method or "")
        return answer

    return bounded


api = _Api(
    title="Dragoman",
    version="1",
    description="The management API, and the endpoints that model clients call.",
    docs_url=None,
    openapi_url="/openapi.json",
    auth=Admin(),
    urls_namespace="api",
)
failures.install(api)
for router in (
    requests.router,
    registry.router,
    versions.router,
    rehearsal.router,
    key_state.router,
    adopt.router,
    *resources.ROUTERS,
    usage.router,
    changes.router,
    translate.router,
    cache.router,
    spend.router,
):
    api.add_router("", router)
