"""The endpoints that LiteLLM's client tools call, at the root and in LiteLLM's shapes.

They are separate from the management API below /api/: errors have another shape, and gateway
keys are accepted where LiteLLM accepts them. `gateway.edge.operations` has /health/liveliness,
/health/liveness and /health/readiness. docs/litellm.md lists the differences.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from gateway.api.auth import Admin
from gateway.compat.litellm.api import customers as litellm_customers
from gateway.compat.litellm.api import deployments as litellm_deployments
from gateway.compat.litellm.api import keys as litellm_keys
from gateway.compat.litellm.api import models as litellm_models
from gateway.compat.litellm.api import requests as litellm_requests
from gateway.compat.litellm.api import spend as litellm_spend
from gateway.compat.litellm.api import teams as litellm_teams
from gateway.compat.litellm.api import users as litellm_users
from gateway.compat.litellm.api.failures import MAX_BODY, RejectedRequest, failure

litellm_api = NinjaAPI(
    title="LiteLLM formats",
    version="1",
    docs_url=None,
    openapi_url=None,
    auth=Admin(),
    urls_namespace="litellm",
)
for module in (
    litellm_models,
    litellm_deployments,
    litellm_keys,
    litellm_teams,
    litellm_users,
    litellm_customers,
    litellm_spend,
    litellm_requests,
):
    litellm_api.add_router("", module.router)

_NO_KEY = (
    "Authentication Error: this requires the master key, or for /model/info, "
    "/model_group/info, /key/info, /team/info, /user/info and /utils/token_counter any API key, "
    "as `Authorization: Bearer <key>`"
)


def openapi_schema() -> dict[str, Any]:
    """Return the paths and schemas of the OpenAPI document."""
    schema: dict[str, Any] = litellm_api.get_openapi_schema(path_prefix="")
    return schema


@litellm_api.exception_handler(RejectedRequest)
def rejected_response(request: HttpRequest, error: RejectedRequest) -> HttpResponse:
    """Return the error response of a rejected request."""
    return failure(error)


@litellm_api.exception_handler(AuthenticationError)
def reject_credentials(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    """Return the 401 of a request without valid credentials."""
    return failure(RejectedRequest(401, _NO_KEY))


@litellm_api.exception_handler(ValidationError)
def reject_parameter(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Return the 400 of an invalid query parameter."""
    first = error.errors[0]
    param = str(first["loc"][-1])
    return failure(RejectedRequest(400, f"{param}: {first['msg']}", param))


@litellm_api.exception_handler(HttpError)
def error_response(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Return the error of a request that ninja itself rejects."""
    return failure(RejectedRequest(error.status_code, str(error)))


@litellm_api.exception_handler(TooManyFieldsSent)
def reject_many_parameters(request: HttpRequest, error: TooManyFieldsSent) -> HttpResponse:
    """Return the 400 of a query that Django does not parse."""
    return failure(RejectedRequest(400, "there are too many parameters"))


@litellm_api.exception_handler(RequestDataTooBig)
def reject_large_body(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    """Return the 413 of a body that Django does not read."""
    return failure(RejectedRequest(413, f"the body is larger than {MAX_BODY} bytes"))
