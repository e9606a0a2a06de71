"""Error responses of the LiteLLM-compatible endpoints.

    {"error": {"message": "...", "type": "bad_request_error", "param": "duration", "code": "400"}}

The shape is `ProxyException.to_dict` of litellm/proxy/_types.py (1.106.2): `code` is the status
as text, `param` the field at fault, or null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse

from gateway.store.documents import Owned, Refused

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


class Wrong(Exception):
    """A rejected request: the status, the reason and the field at fault, if any."""

    def __init__(self, status: int, why: str, param: str = "", type_: str = "") -> None:
        super().__init__(why)
        self.status, self.why, self.param = status, why, param
        self.type = type_ or _TYPES.get(status, "internal_error")


def reply(value: Any, status: int = 200) -> HttpResponse:
    """Return the value as a JSON response."""
    return HttpResponse(msgspec.json.encode(value), status=status, content_type="application/json")


def failure(wrong: Wrong) -> HttpResponse:
    """Return the error as LiteLLM formats it."""
    body = {
        "message": wrong.why,
        "type": wrong.type,
        "param": wrong.param or None,
        "code": str(wrong.status),
    }
    return reply({"error": body}, wrong.status)


def body_of(request: HttpRequest) -> dict[str, Any]:
    """Parse the request body, a JSON object. Raises Wrong."""
    if len(request.body) > MAX_BODY:
        raise Wrong(413, f"the body is larger than {MAX_BODY} bytes")
    try:
        body = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError as error:
        raise Wrong(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Wrong(400, "the body must be a JSON object")
    return body


def guarded(act: Callable[[], HttpResponse]) -> HttpResponse:
    """Run `act` in a transaction and return its response, or its error in LiteLLM's shape."""
    try:
        with transaction.atomic():
            return act()
    except Wrong as wrong:
        return failure(wrong)
    except Owned as error:
        return failure(Wrong(409, error.why, error.field))
    except Refused as error:
        return failure(Wrong(400, error.why, error.field))
    except ProtectedError as error:
        others = sorted({str(row) for row in error.protected_objects})
        return failure(Wrong(409, f"still in use by: {', '.join(others[:5])}"))


def reshaped(answer: HttpResponse) -> HttpResponse:
    """Return a response of `idempotency.run_once` with its own errors in LiteLLM's shape."""
    if answer.status_code < 400:
        return answer
    body = msgspec.json.decode(answer.content)
    if "detail" not in body:
        return answer
    status = 400 if answer.status_code == 422 else answer.status_code
    return failure(Wrong(status, body["detail"], body.get("field", "")))
