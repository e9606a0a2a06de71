"""Errors of the management API, all in one format:

{"detail": "what is wrong", "field": "the field it is about, if any"}
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.db import DatabaseError, DataError, InterfaceError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import HttpError, ValidationError

from gateway.database.outage import database_outage

log = logging.getLogger(__name__)

# More than any legitimate document or file; Django's own limit is 2.5 MB.
MAX_BODY = 2 * 1024 * 1024
UNSTORABLE = "a value is out of range, or contains characters that cannot be stored, such as NUL"
# Parts of an error location that do not name a field: the source, and grouping arguments.
_LOCATIONS = frozenset({"query", "path", "body", "header", "cookie", "form"})
_GROUP_ARGUMENTS = frozenset({"filters", "payload"})


class Problem(Schema):
    """An error: `detail` is the message, `field` the invalid field, if any."""

    detail: str
    field: str = ""


def failure(status: int, reason: str, field: str = "") -> HttpResponse:
    """An error response: `detail` is the message, `field` the field it is about, if any."""
    body = {"detail": reason, "field": field} if field else {"detail": reason}
    return HttpResponse(msgspec.json.encode(body), status=status, content_type="application/json")


def too_large() -> HttpResponse:
    """A 413 for a body above the limit."""
    return failure(413, f"the body is larger than {MAX_BODY} bytes")


def not_allowed(refusal: HttpResponse, method: str) -> HttpResponse:
    """A 405 in the API's error format, with the `Allow` header of `refusal`."""
    methods = ", ".join(sorted(refusal.headers.get("Allow", "").split(", ")))
    response = failure(405, f"{method} is not allowed here; use {methods}")
    response["Allow"] = methods
    return response


def unknown_path(request: HttpRequest, **_parts: str) -> HttpResponse:
    """A 404 for a path without an operation."""
    return failure(404, "there is no such operation; see /docs for the list")


unknown_path.csrf_exempt = True  # type: ignore[attr-defined]


def _validation_failure(_request: HttpRequest, error: Any) -> HttpResponse:
    """A 422 for the first validation error, with its field."""
    first = error.errors[0] if error.errors else {}
    location = [str(part) for part in first.get("loc", ())]
    if location and location[0] in _LOCATIONS:
        location = location[1:]
    if location and location[0] in _GROUP_ARGUMENTS:
        location = location[1:]
    is_unknown = first.get("type") == "extra_forbidden"
    message = "there is no such field" if is_unknown else str(first.get("msg", "is not valid"))
    return failure(422, message, ".".join(location))


def _http_error(_request: HttpRequest, error: Any) -> HttpResponse:
    if error.status_code == 400:  # ninja's error for a malformed body
        return failure(422, "the body is not valid JSON")
    return failure(error.status_code, error.message)


def _database_error(request: HttpRequest, error: Any) -> HttpResponse:
    reason = database_outage(error)
    if not reason:
        return _internal_error(request, error)
    log.error("the database did not respond to the management API", exc_info=error)
    return unavailable(reason)


def unavailable(reason: str) -> HttpResponse:
    """A 503 that may be repeated soon."""
    response = failure(503, reason)
    response["Retry-After"] = "1"
    return response


def _unstorable_value(_request: HttpRequest, _error: Any) -> HttpResponse:
    """A 422 for a value that PostgreSQL rejects."""
    log.warning("the management API received a value that cannot be stored")
    return failure(422, UNSTORABLE)


def _internal_error(_request: HttpRequest, error: Any) -> HttpResponse:
    """A 500: the log has the details, the client only learns that it is an internal error."""
    log.error("an operation of the management API failed", exc_info=error)
    return failure(500, "internal error of the gateway; see its log for details")


_HANDLERS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    ValidationError: _validation_failure,
    HttpError: _http_error,
    Http404: lambda _request, error: failure(404, str(error) or "not found"),
    RequestDataTooBig: lambda _request, _error: too_large(),
    TooManyFieldsSent: lambda _request, _error: failure(422, "there are too many parameters"),
    DatabaseError: _database_error,
    DataError: _unstorable_value,
    InterfaceError: _database_error,
    Exception: _internal_error,
}


def install(api: NinjaAPI) -> None:
    """Register handlers, so that the API returns every error in one format."""
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, partial(handler))


def is_oversized(request: HttpRequest) -> bool:
    """Whether the body is above the limit; reads the body."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_BODY:
        return True
    try:
        return len(request.body) > MAX_BODY
    except RequestDataTooBig:
        return True
