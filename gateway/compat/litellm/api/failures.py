"""Error responses of the LiteLLM-compatible endpoints.

    {"error": {"message": "...", "type": "bad_request_error", "param": "duration", "code": "400"}}

The shape is `ProxyException.to_dict` of litellm/proxy/_types.py (1.106.2): `code` is the status
as text, `param` the field at fault, or null.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from django.db import DatabaseError, DataError, InterfaceError, transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse

from gateway.api.failures import UNSTORABLE
from gateway.api.idempotency import run_once
from gateway.database.outage import database_outage
from gateway.store.documents import OwnedElsewhere, Refused

log = logging.getLogger(__name__)

# LiteLLM's error type of a status (`ProxyErrorTypes`).
_TYPES = {
    400: "bad_request_error",
    401: "auth_error",
    403: "key_model_access_denied",
    404: "not_found_error",
    409: "bad_request_error",
    413: "bad_request_error",
}
MAX_BODY = 1024 * 1024


class RejectedRequest(Exception):
    """A rejected request: the status, the reason and the field at fault, if any."""

    def __init__(self, status: int, reason: str, param: str = "", type_: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.param = status, reason, param
        self.type = type_ or _TYPES.get(status, "internal_error")


def reply(value: Any, status: int = 200) -> HttpResponse:
    """Return the value as a JSON response."""
    return HttpResponse(msgspec.json.encode(value), status=status, content_type="application/json")


def failure(rejection: RejectedRequest) -> HttpResponse:
    """Return the error as LiteLLM formats it."""
    body = {
        "message": rejection.reason,
        "type": rejection.type,
        "param": rejection.param or None,
        "code": str(rejection.status),
    }
    return reply({"error": body}, rejection.status)


def body_of(request: HttpRequest) -> dict[str, Any]:
    """Parse the request body, a JSON object. Raises RejectedRequest."""
    if len(request.body) > MAX_BODY:
        raise RejectedRequest(413, f"the body is larger than {MAX_BODY} bytes")
    try:
        body = msgspec.json.decode(request.body or b"{}")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RejectedRequest(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise RejectedRequest(400, "the body must be a JSON object")
    return body


def check_filters(request: HttpRequest, supported_filters: Collection[str]) -> None:
    """Check that a list is filtered by supported fields only. Raises RejectedRequest."""
    for name in sorted(set(request.GET) - set(supported_filters)):
        raise RejectedRequest(400, f"{name}: filtering by it is not supported", name)


def run_in_transaction(operation: Callable[[], HttpResponse]) -> HttpResponse:
    """Run `operation` in a transaction and return its response, or its error in LiteLLM's shape."""
    try:
        with transaction.atomic():
            return operation()
    except RejectedRequest as wrong:
        return failure(wrong)
    except RecursionError:
        # Near the interpreter's limit, `body_of` could decode it.
        return failure(RejectedRequest(400, "the body is nested too deeply"))
    except OwnedElsewhere as error:
        return failure(RejectedRequest(409, error.reason, error.field))
    except Refused as error:
        return failure(RejectedRequest(400, error.reason, error.field))
    except ProtectedError as error:
        dependents = sorted({str(row) for row in error.protected_objects})
        return failure(RejectedRequest(409, f"still in use by: {', '.join(dependents[:5])}"))
    except DataError:
        log.warning("an endpoint of LiteLLM received a value that cannot be stored")
        return failure(RejectedRequest(400, UNSTORABLE))
    except (DatabaseError, InterfaceError) as error:
        reason = database_outage(error)
        if not reason:
            raise
        log.error("the database did not respond to an endpoint of LiteLLM", exc_info=error)
        return failure(RejectedRequest(503, reason))


def run_once_in_transaction(
    request: HttpRequest, operation: Callable[[dict[str, Any]], HttpResponse]
) -> HttpResponse:
    """Run `operation` on the body as `run_in_transaction`, once for each idempotency key."""
    return _as_litellm_response(
        run_once(request, lambda: run_in_transaction(lambda: operation(body_of(request))))
    )


def _as_litellm_response(response: HttpResponse) -> HttpResponse:
    """Return a response of `idempotency.run_once` with its own errors in LiteLLM's shape."""
    if response.status_code < 400:
        return response
    body = msgspec.json.decode(response.content)
    if "detail" not in body:
        return response
    status = 400 if response.status_code == 422 else response.status_code
    return failure(RejectedRequest(status, body["detail"], body.get("field", "")))
