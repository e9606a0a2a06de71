"""A test client that validates every JSON response against the OpenAPI document."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.test import Client
from jsonschema import Draft202012Validator, FormatChecker

from gateway.api.app import api as ninja


@cache
def _document() -> tuple[dict[str, Any], list[tuple[re.Pattern[str], str]]]:
    document = ninja.get_openapi_schema()
    rows = []
    for path in document["paths"]:
        pattern = re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(path))
        rows.append((re.compile(pattern), path))
    # A bare name takes slashes too, so it comes last, as in the API itself.
    rows.sort(key=lambda pair: (pair[1].endswith("{name}"), -len(pair[1])))
    return document, rows


def operation_at(path: str, method: str) -> dict[str, Any] | None:
    """Return the operation of the OpenAPI document for a method and path."""
    document, patterns = _document()
    for pattern, template in patterns:
        if pattern.fullmatch(path) and method in document["paths"][template]:
            actual_path: dict[str, Any] = document["paths"][template][method]
            return actual_path
    return None


def schema_differences(path: str, method: str, response: Any) -> list[str]:
    """Return the differences between a response and the document; empty if there are none."""
    operation = operation_at(path, method) if path.startswith("/api/") else None
    kind = response.headers.get("Content-Type", "")
    if operation is None or not kind.startswith("application/json"):
        return []
    by_key = {str(key): value for key, value in operation["responses"].items()}
    if str(response.status_code) not in by_key:
        return [f"the document knows no response {response.status_code}"]
    schema = by_key[str(response.status_code)]["content"]["application/json"]["schema"]
    full_schema = {**schema, "components": _document()[0]["components"]}
    checker = Draft202012Validator(full_schema, format_checker=FormatChecker())
    return [error.message for error in checker.iter_errors(response.json())]


class ConformanceClient(Client):
    """A test client that fails the test if a response does not match the OpenAPI document."""

    def generic(self, method: str, path: str, *args: Any, **kwargs: Any) -> Any:
        """Send a request and validate the response."""
        response = super().generic(method, path, *args, **kwargs)
        plain = path.partition("?")[0]
        differences = schema_differences(plain, method.lower(), response)
        assert not differences, (
            method,
            path,
            response.status_code,
            differences[:3],
            response.content[:500],
        )
        return response
