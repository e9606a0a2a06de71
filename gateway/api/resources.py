"""The registry over the API: uniform CRUD operations for each kind of row.

    GET    /api/{kind}            a page; `cursor` is the `next` of the previous page
    POST   /api/{kind}            create one; 201
    GET    /api/{kind}/{name}     read one
    PUT    /api/{kind}/{name}     replace; missing fields are reset to their defaults
    PATCH  /api/{kind}/{name}     change some fields (JSON merge patch: null resets to the default)
    DELETE /api/{kind}/{name}

The documents are those of `gateway.store.documents`. Responses add METADATA_FIELDS such as `id`,
owner and times of change, which are ignored in requests.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError

from gateway.api.auth import Admin, Editor, Reader
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import page_of_rows
from gateway.models import ApiKey
from gateway.roles import has_permission, may_rotate
from gateway.store import end_grace, rotate_key
from gateway.store.documents import (
    KINDS,
    Document,
    Kind,
    OwnedElsewhere,
    Refused,
    merge_patch,
)
from gateway.store.documents.schemas import HIDDEN
from gateway.store.keys import new_key_row

# Fields of a row in addition to its document.
METADATA_FIELDS = (
    "id",
    "source",
    "source_ref",
    "created_at",
    "updated_at",
    "learned",
    "active_version",
    "revoked_at",
    "last_used_at",
)
# What a guardrail's service gets, which may include keys.
_SERVICE_FIELDS = frozenset({"parameters", "metadata"})
MAX_GRACE_S = 366 * 86_400


def row_item(kind: Kind, row: Any) -> Document:
    """A row as JSON: its document and metadata."""
    metadata = {"id": row.pk}
    metadata |= {name: getattr(row, name) for name in METADATA_FIELDS[1:] if hasattr(row, name)}
    return {**kind.read(row), **metadata}


def _readable_item(request: HttpRequest, kind: Kind, row: Any) -> Document:
    """A row as JSON for a caller who may not change it: a guardrail without possible secrets."""
    item = row_item(kind, row)
    caller = request.auth  # type: ignore[attr-defined]
    if kind.name == "guardrails" and not (
        isinstance(caller, str) or has_permission(caller, "administer")
    ):
        settings = dict(item["settings"])
        for name in _SERVICE_FIELDS & settings.keys():
            settings[name] = dict.fromkeys(settings[name], HIDDEN)
        if "url" in settings:
            settings["url"] = settings["url"].partition("?")[0]
        item["settings"] = settings
    return item


def reply(status: int, value: Any) -> HttpResponse:
    """A JSON response."""
    return HttpResponse(msgspec.json.encode(value), status=status, content_type="application/json")


def body_of(request: HttpRequest) -> Document:
    """The request's JSON object without metadata fields. Raises Refused."""
    try:
        body = msgspec.json.decode(request.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("", f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused("", "the body must be a JSON object")
    return {name: value for name, value in body.items() if name not in METADATA_FIELDS}


def run_guarded(operation: Callable[[], HttpResponse]) -> HttpResponse:
    """Run `operation` in a transaction; refusals become error responses that name the field."""
    try:
        with transaction.atomic():
            return operation()
    except OwnedElsewhere as error:
        return failure(409, error.reason, error.field)
    except Refused as error:
        return failure(422, error.reason, error.field)
    except ProtectedError as error:
        dependents = sorted({str(row) for row in error.protected_objects})
        return failure(409, f"still in use by: {', '.join(dependents[:5])}")


def change_auth(kind: Kind) -> Admin:
    """Who may change rows: editors, but only admins those with credentials."""
    return Admin() if kind.name in {"providers", "guardrails"} else Editor()


def read_auth(kind: Kind) -> Admin:
    """Who may read rows: teams have budgets, so editors only."""
    return Editor() if kind.name == "teams" else Reader()


def resource(kind: Kind) -> Router:
    """The router of one kind."""
    router = Router(tags=[kind.name], auth=change_auth(kind))
    row_path, list_path = f"/{kind.name}/{{path:name}}", f"/{kind.name}"
    singular = kind.label.removeprefix("API ")
    if kind.name == "keys":
        _add_secret_operations(router, kind)

    @router.get(
        list_path,
        auth=read_auth(kind),
        operation_id=f"list_{kind.name}",
        openapi_extra=_page_response(kind),
    )
    def list_rows(request: HttpRequest, cursor: int = 0, limit: int = 50) -> HttpResponse:
        """A page of rows, oldest first; `next` is the cursor of the next page, null at the end."""
        later_rows = kind.rows().filter(pk__gt=max(cursor, 0)).order_by("pk")
        rows, next_cursor = page_of_rows(lambda count: later_rows[:count], limit)
        items = [_readable_item(request, kind, row) for row in rows]
        return reply(200, {"items": items, "next": next_cursor})

    @router.post(
        list_path, operation_id=f"create_{singular}", openapi_extra=_row_request(kind, 201)
    )
    def create(request: HttpRequest) -> HttpResponse:
        """Create a row. A repeated request with the same `Idempotency-Key` creates it only once."""
        return run_once(request, lambda: run_guarded(lambda: _create_row(kind, body_of(request))))

    @router.get(
        row_path,
        auth=read_auth(kind),
        operation_id=f"get_{singular}",
        openapi_extra=row_response(kind),
    )
    def get(request: HttpRequest, name: str) -> HttpResponse:
        """Get a row by name."""
        row = kind.find(name)
        return (
            not_found_response(kind, name)
            if row is None
            else reply(200, _readable_item(request, kind, row))
        )

    @router.put(row_path, operation_id=f"replace_{singular}", openapi_extra=_row_request(kind))
    def replace(request: HttpRequest, name: str) -> HttpResponse:
        """Replace a row: omitted fields get their defaults; values shown as `***` are unchanged."""
        return _change_row(request, kind, name, lambda _stored, body: body)

    @router.patch(row_path, operation_id=f"change_{singular}", openapi_extra=_patch_request(kind))
    def change(request: HttpRequest, name: str) -> HttpResponse:
        """Update fields (JSON merge patch, RFC 7396); null resets a field to its default."""
        return _change_row(request, kind, name, merge_patch)

    @router.delete(row_path, operation_id=f"delete_{singular}", openapi_extra=_NO_CONTENT)
    def delete(request: HttpRequest, name: str) -> HttpResponse:
        """Delete a row and everything that depends on it."""
        row = kind.find(name)
        if row is None:
            return not_found_response(kind, name)
        return run_guarded(lambda: _delete_row(row))

    return router


def _create_row(kind: Kind, document: Document) -> HttpResponse:
    if kind.name != "keys":
        return reply(201, row_item(kind, kind.write(document, None)))
    row, secret = new_key_row()
    return reply(201, {**row_item(kind, kind.write(document, row)), "key": secret})


def _change_row(
    request: HttpRequest,
    kind: Kind,
    name: str,
    merge: Callable[[Document, Document], Document],
) -> HttpResponse:
    row = kind.find(name)
    if row is None:
        return not_found_response(kind, name)

    def operation() -> HttpResponse:
        document = {"name": kind.read(row)["name"], **merge(kind.read(row), body_of(request))}
        return reply(200, row_item(kind, kind.write(document, row)))

    return run_guarded(operation)


def _delete_row(row: Any) -> HttpResponse:
    if row.read_only:
        raise OwnedElsewhere("", f"{row} is managed by {row.managed_by}; remove it there")
    row.delete()
    return HttpResponse(status=204)


def not_found_response(kind: Kind, name: str) -> HttpResponse:
    """A 404 for a name without a row."""
    return failure(404, f"there is no {kind.label} `{name[:200]}`")


def _add_secret_operations(router: Router, kind: Kind) -> None:
    """Add the operations that only keys have."""

    @router.post(
        "/keys/{path:name}/rotate",
        operation_id="rotate_key",
        openapi_extra=row_response(kind, secret=True),
    )
    def rotate(request: HttpRequest, name: str, grace_s: int = 0) -> HttpResponse:
        """Create a new secret; the old one stays valid for `grace_s` seconds.

        The key keeps its identity, its spend and the state of its limits. Requires permission to
        read bodies, except for your personal keys: the secret also reads stored responses and
        files of the key.
        """
        return run_once(
            request,
            lambda: run_guarded(
                lambda: _with_key(kind, name, lambda row: _rotate_key(request, row, grace_s))
            ),
        )

    @router.post(
        "/keys/{path:name}/revoke", operation_id="revoke_key", openapi_extra=row_response(kind)
    )
    def revoke(request: HttpRequest, name: str) -> HttpResponse:
        """Revoke a key. Takes effect within a second; the key can be restored."""
        return run_guarded(
            lambda: _with_key(kind, name, lambda row: _set_revoked(row, revoke=True))
        )

    @router.post(
        "/keys/{path:name}/restore", operation_id="restore_key", openapi_extra=row_response(kind)
    )
    def restore(request: HttpRequest, name: str) -> HttpResponse:
        """Restore a revoked key."""
        return run_guarded(
            lambda: _with_key(kind, name, lambda row: _set_revoked(row, revoke=False))
        )

    @router.post(
        "/keys/{path:name}/end-grace",
        operation_id="end_key_grace",
        openapi_extra=row_response(kind),
    )
    def end(request: HttpRequest, name: str) -> HttpResponse:
        """Stop accepting the secret from before the last rotation immediately."""
        return run_guarded(lambda: _with_key(kind, name, _end_grace))


def _with_key(kind: Kind, name: str, operation: Callable[[ApiKey], Document]) -> HttpResponse:
    """Apply `operation` to a key; respond with the key and the fields that `operation` returns."""
    row: ApiKey | None = kind.find(name)
    if row is None:
        return not_found_response(kind, name)
    extra = operation(row)
    return reply(200, {**row_item(kind, row), **extra})


def _end_grace(row: ApiKey) -> Document:
    end_grace(row)
    return {}


def _rotate_key(request: HttpRequest, row: ApiKey, grace_s: int) -> Document:
    caller = request.auth  # type: ignore[attr-defined]
    if not (isinstance(caller, str) or may_rotate(caller, row.owner_id)):
        raise HttpError(
            403, "to rotate a key, you need permission to read bodies: create a new key"
        )
    if not 0 <= grace_s <= MAX_GRACE_S:
        raise Refused("grace_s", f"must be 0 to {MAX_GRACE_S} seconds")
    try:
        return {"key": rotate_key(row, grace=timedelta(seconds=grace_s))}
    except ValueError as error:
        raise Refused("", str(error)) from None


def _set_revoked(row: ApiKey, *, revoke: bool) -> Document:
    if revoke:
        end_grace(row)
    row.revoked_at = (row.revoked_at or timezone.now()) if revoke else None
    row.save()
    return {}


# Schemas that the operations refer to; `app` adds them to the OpenAPI document.
SCHEMAS: dict[str, Any] = {
    "RowMetadata": {
        "title": "RowMetadata",
        "description": "Metadata of a row; ignored in requests.",
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "source": {"type": "string", "description": "what manages it: `database`, `file`, ..."},
            "source_ref": {"type": "string", "description": "position in the file"},
            "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"},
            "learned": {
                "type": "object",
                "description": "models only: properties that the doctor verified",
            },
            "active_version": {
                "type": "integer",
                "description": "prompts only: the version that is used where none is named",
            },
            "revoked_at": {"type": ["string", "null"], "format": "date-time"},
            "last_used_at": {"type": ["string", "null"], "format": "date-time"},
        },
        "required": ["id", "source", "source_ref"],
    },
    "Secret": {
        "title": "Secret",
        "description": "The secret of a key, returned only once.",
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "required": ["key"],
    },
}


def _schema_reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


@cache  # needed 71 times at the start, for seven kinds
def _document_schema(kind: Kind) -> dict[str, Any]:
    """The schema of a kind's document; its components are added to SCHEMAS."""
    (out,), components = msgspec.json.schema_components(
        [kind.schema], ref_template="#/components/schemas/{name}"
    )
    for schema in components.values():
        if "description" in schema:  # a docstring, which Python 3.13 and later dedents
            schema["description"] = inspect.cleandoc(schema["description"])
    SCHEMAS.update(components)
    return out


def _row_schema(kind: Kind) -> dict[str, Any]:
    """The schema of a row in responses."""
    name = f"{kind.schema.__name__.removesuffix('Doc')}Row"
    SCHEMAS[name] = {
        "title": name,
        "allOf": [_document_schema(kind), _schema_reference("RowMetadata")],
    }
    return _schema_reference(name)


def _responses_schema(status: int, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"responses": {str(status): {"description": description, "content": content}}}


def row_response(kind: Kind, status: int = 200, *, secret: bool = False) -> dict[str, Any]:
    """The `responses` of an operation that returns a row."""
    row = _row_schema(kind)
    description = "The row and its secret." if secret else "The row."
    return _responses_schema(
        status, description, {"allOf": [row, _schema_reference("Secret")]} if secret else row
    )


def _page_response(kind: Kind) -> dict[str, Any]:
    page = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": _row_schema(kind)},
            "next": {"type": ["integer", "null"], "description": "`cursor` of the next page"},
        },
        "required": ["items", "next"],
    }
    return _responses_schema(200, "One page of rows.", page)


def _row_request(kind: Kind, status: int = 200) -> dict[str, Any]:
    content = {"application/json": {"schema": _document_schema(kind)}}
    secret = status == 201 and kind.name == "keys"
    return {
        "requestBody": {"required": True, "content": content},
        **row_response(kind, status, secret=secret),
    }


def _patch_request(kind: Kind) -> dict[str, Any]:
    """The request body of a merge patch: any fields of the document, or null."""
    description = f"any fields of {kind.schema.__name__}; null resets a field to its default"
    schema = {"type": "object", "description": description, "minProperties": 0}
    schema_name = _document_schema(kind)["$ref"].rpartition("/")[2]
    fields = SCHEMAS[schema_name].get("properties", {})
    schema["properties"] = {
        name: {
            "anyOf": [{k: v for k, v in field_schema.items() if k != "default"}, {"type": "null"}]
        }
        for name, field_schema in fields.items()
    }
    types = ("application/json", "application/merge-patch+json")
    content = {name: {"schema": schema} for name in types}
    return {"requestBody": {"required": True, "content": content}, **row_response(kind)}


_NO_CONTENT = {"responses": {"204": {"description": "Deleted."}}}

ROUTERS = tuple(resource(kind) for kind in KINDS.values())
