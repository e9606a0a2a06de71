"""The NinjaAPI: routers, authentication, and one OpenAPI document that includes the edge.

Routers of higher layers (`console.api`) are added where the site is assembled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, re_path
from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

from gateway.api import (
    alerts,
    cache,
    changes,
    dry_run,
    failures,
    key_state,
    openapi,
    openapi_operations,
    ownership,
    postman,
    prompts,
    registry,
    requests,
    resources,
    scores,
    spend,
    translate,
    usage,
    versions,
)
from gateway.api.auth import Admin


class _JsonParser(Parser):
    """Rejects what is no JSON: NaN, and halves of surrogate pairs, which are in no response."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The body's value."""
        return msgspec.json.decode(request.body)


class _Api(NinjaAPI):
    """Adds the endpoints of the edge to the OpenAPI document, and the errors to each operation.

    Attributes:
        mounted_schemas: functions that return OpenAPI schemas of other APIs, to be merged.
    """

    mounted_schemas: ClassVar[list[Callable[[], dict[str, Any]]]] = []
    _openapi_schemas: ClassVar[dict[str | None, OpenAPISchema]] = {}

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """The complete OpenAPI document, built once: it takes longer than many requests."""
        path_prefix = kwargs.get("path_prefix")
        if path_prefix not in self._openapi_schemas:
            self._openapi_schemas[path_prefix] = self._build_openapi_schema(**kwargs)
        return self._openapi_schemas[path_prefix]

    def _build_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**kwargs)
        for path_item in schema["paths"].values():
            for method, operation in path_item.items():
                openapi_operations.complete_operation(method, operation)
        schema["paths"] = {**openapi.gateway_paths(), **schema["paths"]}
        mounted_schemas = [build_schema() for build_schema in self.mounted_schemas]
        for mounted_schema in mounted_schemas:
            for path_item in mounted_schema["paths"].values():
                for operation in path_item.values():
                    operation["summary"] = openapi_operations.summary_of(operation["operationId"])
            schema["paths"] |= mounted_schema["paths"]
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(resources.SCHEMAS)
        for mounted_schema in mounted_schemas:
            components["schemas"] |= mounted_schema["components"]["schemas"]
        components["schemas"]["Problem"] = failures.Problem.model_json_schema()
        components.setdefault("securitySchemes", {}).update(openapi.security_schemes())
        return schema

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """The name of the view function, which is unique."""
        return operation.view_func.__name__

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        """The operations, then a catch-all that returns 404.

        Names may contain slashes, so patterns that end with a name come last.
        """
        patterns = sorted(
            super()._get_urls(), key=lambda url: str(url.pattern).endswith("<path:name>")
        )
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                pattern.callback = _with_body_limit(pattern.callback)
        return [*patterns, re_path(r"^.*$", failures.unknown_path)]


def _with_body_limit(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The view with a limit on the body size; 413 and 405 in the API's error format."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if failures.is_oversized(request):
            return failures.too_large()
        response = view(request, *args, **kwargs)
        if response.status_code == 405:
            return failures.not_allowed(response, request.method or "")
        return response

    return wrapper


api = _Api(
    title="Dragoman",
    version="1",
    description="The management API and the endpoints for model clients.",
    docs_url=None,
    openapi_url="/openapi.json",
    auth=Admin(),
    urls_namespace="api",
    parser=_JsonParser(),
)
failures.install(api)
for router in (
    requests.router,
    scores.router,
    registry.router,
    versions.router,
    prompts.router,
    dry_run.router,
    key_state.router,
    ownership.router,
    *resources.ROUTERS,
    usage.router,
    changes.router,
    translate.router,
    cache.router,
    spend.router,
    alerts.router,
):
    api.add_router("", router)


@api.get("/postman.json", auth=None, response=postman.PostmanCollection, tags=["documentation"])
def postman_collection(request: HttpRequest) -> dict[str, Any]:
    """A Postman collection (v2.1) of every endpoint, to import into Postman, Bruno or Insomnia."""
    base_url = request.build_absolute_uri("/").rstrip("/")
    return postman.build_collection(api.get_openapi_schema(path_prefix="/api/"), base_url)
