"""The endpoints that LiteLLM's client tools read, at the root and in LiteLLM's shapes.

Apart from the management API below /api/: another shape of errors, and gateway keys are let in
where LiteLLM lets them in. /health/liveliness, /health/liveness and /health/readiness are
`gateway.edge.operations`'. What is the same, and what not: docs/litellm.md.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from gateway.api.auth import Admin
from gateway.compat.litellm.api import keys as litellm_keys
from gateway.compat.litellm.api import models as litellm_models
from gateway.compat.litellm.api import requests as litellm_requests
from gateway.compat.litellm.api import spend as litellm_spend
from gateway.compat.litellm.api.failures import Wrong, failure

litellm_api = NinjaAPI(
    title="LiteLLM's shapes",
    version="1",
    docs_url=None,
    openapi_url=None,
    auth=Admin(),
    urls_namespace="litellm",
)
for module in (litellm_models, litellm_keys, litellm_spend, litellm_requests):
    litellm_api.add_router("", module.router)

_NO_KEY = (
    "Authentication Error: this needs the master key, or for /model/info, /model_group/info, "
    "/key/info and /utils/token_counter any API key, as `Authorization: Bearer <key>`"
)


def openapi_schema() -> dict[str, Any]:
    """Paths and schemas of the OpenAPI document."""
    schema: dict[str, Any] = litellm_api.get_openapi_schema(path_prefix="")
    return schema


@litellm_api.exception_handler(Wrong)
def wrong(request: HttpRequest, error: Wrong) -> HttpResponse:
    """A refusal."""
    return failure(error)


@litellm_api.exception_handler(AuthenticationError)
def unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """Nobody we know."""
    return failure(Wrong(401, _NO_KEY))


@litellm_api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """A query parameter that is not what it must be."""
    first = error.errors[0]
    param = str(first["loc"][-1])
    return failure(Wrong(400, f"{param}: {first['msg']}", param))


@litellm_api.exception_handler(HttpError)
def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
    """What ninja itself refuses."""
    return failure(Wrong(error.status_code, str(error)))
