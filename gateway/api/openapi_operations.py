"""Adds the error responses and headers that operations share to the OpenAPI document."""

from __future__ import annotations

from typing import Any

Operation = dict[str, Any]

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_UNSAFE = frozenset({"post", "put", "patch", "delete"})
_DESCRIPTIONS = {
    401: "The credential is missing or not valid for this operation.",
    403: "The caller lacks permission, or the session's CSRF token is missing.",
    404: "Not found.",
    409: "The object is managed elsewhere, is being changed, or is still in use.",
    413: "The body is too large.",
    500: "Internal error of the gateway; see its log.",
    503: "The database is not responding.",
    422: "The request is not valid; `field` names the field.",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A request repeated with the same key within 24 hours gets the first "
    "response and is not executed again.",
    "schema": {"type": "string", "maxLength": 255},
}
# POST operations that create nothing or are idempotent, so need no Idempotency-Key.
IDEMPOTENT_OPERATIONS = frozenset(
    {
        "translate_example",
        "dry_run_route",
        "test_alert_channel",
        "test_provider",
        "test_new_provider",
        "list_upstream_models",
        "preview_import",
        "stop_capability_report",
        "reset_target",
        "switch_provider",
        "switch_model",
        "revoke_key",
        "restore_key",
        "end_key_grace",
    }
)


def error_responses(method: str) -> dict[str, Any]:
    """The error `responses` that all operations with this method share."""
    statuses = [401, 403, 404, 422, 500, 503]
    if method in _UNSAFE:
        statuses += [409, 413]
    content = {"application/json": {"schema": _PROBLEM}}
    return {
        str(status): {"description": _DESCRIPTIONS[status], "content": content}
        for status in sorted(statuses)
    }


def summary_of(operation_id: str) -> str:
    """The operation ID as a sentence; ninja's default is the name of the view function."""
    words = operation_id.removeprefix("litellm_").split("_")
    return " ".join((words[0].capitalize(), *words[1:]))


def complete_operation(method: str, operation: Operation) -> None:
    """Add a summary, the shared responses, and the Idempotency-Key header where it applies."""
    operation["summary"] = summary_of(operation["operationId"])
    responses = operation.setdefault("responses", {})
    # ninja's placeholder for a function that declares no response.
    for status in [key for key, response in responses.items() if set(response) == {"description"}]:
        if len(responses) > 1 and str(status) == "200":
            del responses[status]
    operation["responses"] = {str(key): value for key, value in responses.items()}
    for status, error_response in error_responses(method).items():
        operation["responses"].setdefault(status, error_response)
    if method == "post" and operation["operationId"] not in IDEMPOTENT_OPERATIONS:
        names = {parameter["name"] for parameter in operation.setdefault("parameters", [])}
        if _KEY["name"] not in names:
            operation["parameters"] = [*operation["parameters"], _KEY]
