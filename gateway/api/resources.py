"""The registry over the API: each kind of row read, made, changed and deleted alike.

    GET    /api/{kind}            a page; `cursor` is the `next` of the page before
    POST   /api/{kind}            make one; 201
    GET    /api/{kind}/{name}     one
    PUT    /api/{kind}/{name}     all of it; what is not said is as usual
    PATCH  /api/{kind}/{name}     some of it (JSON merge patch: null sets back to the usual)
    DELETE /api/{kind}/{name}

The documents are those of `gateway.store.documents`; beside them a row tells its `id`,
who owns it and when it changed, which is ignored in what is written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from gateway.api.auth import Reader
from gateway.api.failures import failure
from gateway.api.idempotency import once
from gateway.models import ApiKey
from gateway.store import end_grace, rotate_key
from gateway.store.documents import KINDS, Document, Kind, Owned, Refused, merged, owned
from gateway.store.keys import fresh_row

MAX_PAGE = 200
# What a row tells beside its document.
TOLD = (
    "id",
    "source",
    "source_ref",
    "created_at",
    "updated_at",
    "learned",
    "revoked_at",
    "last_used_at",
)
MOST_GRACE_S = 366 * 86_400


def told(kind: Kind, row: Any) -> Document:
    """A row as the API tells it."""
    beside = {"id": row.pk}
    beside |= {name: getattr(row, name) for name in TOLD[1:] if hasattr(row, name)}
    return {**kind.read(row), **beside}


def reply(status: int, value: Any) -> HttpResponse:
    """JSON."""
    return HttpResponse(msgspec.json.encode(value), status=status, content_type="application/json")


def body_of(request: HttpRequest) -> Document:
    """The request's JSON object without what is only told. Raises Refused."""
    try:
        found = msgspec.json.decode(request.body)
    except msgspec.DecodeError as error:
        raise Refused("", f"the body is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused("", "the body must be a JSON object")
    return {name: value for name, value in found.items() if name not in TOLD}


def guarded(act: Callable[[], HttpResponse]) -> HttpResponse:
    """What `act` answers, or why it would not, as JSON with the field's name."""
    try:
        with transaction.atomic():
            return act()
    except Owned as error:
        return failure(409, error.why, error.field)
    except Refused as error:
        return failure(422, error.why, error.field)
    except ProtectedError as error:
        others = sorted({str(row) for row in error.protected_objects})
        return failure(409, f"others stand on it: {', '.join(others[:5])}")


def resource(kind: Kind) -> Router:
    """The router of a kind."""
    router = Router(tags=[kind.name])
    one, many = f"/{kind.name}/{{path:name}}", f"/{kind.name}"
    if kind.name == "keys":
        _secrets(router, kind)

    @router.get(
        many, auth=Reader(), operation_id=f"list_{kind.name}", openapi_extra=_gives_page(kind)
    )
    def list_rows(request: HttpRequest, cursor: int = 0, limit: int = 50) -> HttpResponse:
        """A page of them, oldest first; `next` is the cursor of the next, null at the end."""
        size = min(max(limit, 1), MAX_PAGE)
        rows = list(kind.rows().filter(pk__gt=max(cursor, 0)).order_by("pk")[: size + 1])
        more = len(rows) > size
        items = [told(kind, row) for row in rows[:size]]
        return reply(200, {"items": items, "next": rows[size - 1].pk if more else None})

    @router.post(many, operation_id=f"make_{kind.name}", openapi_extra=_wants(kind, 201))
    def make(request: HttpRequest) -> HttpResponse:
        """Make one. With an `Idempotency-Key`, only once, however often it is sent."""
        return once(request, lambda: guarded(lambda: _made(kind, body_of(request))))

    @router.get(one, auth=Reader(), operation_id=f"get_{kind.name}", openapi_extra=gives_one(kind))
    def get(request: HttpRequest, name: str) -> HttpResponse:
        """One, by its name."""
        row = kind.find(name)
        return missing(kind, name) if row is None else reply(200, told(kind, row))

    @router.put(one, operation_id=f"replace_{kind.name}", openapi_extra=_wants(kind))
    def replace(request: HttpRequest, name: str) -> HttpResponse:
        """All of it anew: what is not said is as usual. What is hidden as `***` stays."""
        return _change(request, kind, name, lambda _held, given: given)

    @router.patch(one, operation_id=f"change_{kind.name}", openapi_extra=_patches(kind))
    def change(request: HttpRequest, name: str) -> HttpResponse:
        """Some of it (RFC 7396): null sets back to the usual."""
        return _change(request, kind, name, merged)

    @router.delete(one, operation_id=f"delete_{kind.name}", openapi_extra=_GONE)
    def delete(request: HttpRequest, name: str) -> HttpResponse:
        """Remove it, with what can not be without it."""
        row = kind.find(name)
        if row is None:
            return missing(kind, name)
        return guarded(lambda: _deleted(row))

    return router


def _made(kind: Kind, document: Document) -> HttpResponse:
    if kind.name != "keys":
        return reply(201, told(kind, kind.write(document, None)))
    row, plain = fresh_row()
    return reply(201, {**told(kind, kind.write(document, row)), "key": plain})


def _change(
    request: HttpRequest,
    kind: Kind,
    name: str,
    meant: Callable[[Document, Document], Document],
) -> HttpResponse:
    row = kind.find(name)
    if row is None:
        return missing(kind, name)

    def act() -> HttpResponse:
        document = {"name": kind.read(row)["name"], **meant(kind.read(row), body_of(request))}
        return reply(200, told(kind, kind.write(document, row)))

    return guarded(act)


def _deleted(row: Any) -> HttpResponse:
    if place := owned(row):
        raise Owned("", f"{row} is owned by {place}: take it out there")
    row.delete()
    return HttpResponse(status=204)


def missing(kind: Kind, name: str) -> HttpResponse:
    """The answer for a name that no row has."""
    return failure(404, f"there is no {kind.one} `{name[:200]}`")


def _secrets(router: Router, kind: Kind) -> None:
    """What keys have beside the others."""

    @router.post(
        "/keys/{path:name}/rotate",
        operation_id="rotate_key",
        openapi_extra=gives_one(kind, secret=True),
    )
    def rotate(request: HttpRequest, name: str, grace_s: int = 0) -> HttpResponse:
        """Give it a new secret; the old one stays good for `grace_s` seconds.

        Its identity stays, and so does what it spent and how far its windows are.
        """
        return once(
            request,
            lambda: guarded(lambda: _with_key(kind, name, lambda row: _rotated(row, grace_s))),
        )

    @router.post(
        "/keys/{path:name}/revoke", operation_id="revoke_key", openapi_extra=gives_one(kind)
    )
    def revoke(request: HttpRequest, name: str) -> HttpResponse:
        """Refuse it from now on, within a second. It can be restored."""
        return guarded(lambda: _with_key(kind, name, lambda row: _revoked(row, gone=True)))

    @router.post(
        "/keys/{path:name}/restore", operation_id="restore_key", openapi_extra=gives_one(kind)
    )
    def restore(request: HttpRequest, name: str) -> HttpResponse:
        """Let a revoked key in again."""
        return guarded(lambda: _with_key(kind, name, lambda row: _revoked(row, gone=False)))

    @router.post(
        "/keys/{path:name}/end-grace", operation_id="end_key_grace", openapi_extra=gives_one(kind)
    )
    def end(request: HttpRequest, name: str) -> HttpResponse:
        """Refuse the secret from before the last rotation, though its grace goes on."""
        return guarded(lambda: _with_key(kind, name, _graceless))


def _with_key(kind: Kind, name: str, act: Callable[[ApiKey], Document]) -> HttpResponse:
    """What `act` does to a key, and the key then, with what `act` tells beside it."""
    row: ApiKey | None = kind.find(name)
    if row is None:
        return missing(kind, name)
    beside = act(row)
    return reply(200, {**told(kind, row), **beside})


def _graceless(row: ApiKey) -> Document:
    end_grace(row)
    return {}


def _rotated(row: ApiKey, grace_s: int) -> Document:
    if not 0 <= grace_s <= MOST_GRACE_S:
        raise Refused("grace_s", f"must be 0 to {MOST_GRACE_S} seconds")
    try:
        return {"key": rotate_key(row, grace=timedelta(seconds=grace_s))}
    except ValueError as error:
        raise Refused("", str(error)) from None


def _revoked(row: ApiKey, *, gone: bool) -> Document:
    if gone:
        end_grace(row)
    row.revoked_at = (row.revoked_at or timezone.now()) if gone else None
    row.save()
    return {}


# The shapes that the operations refer to; `app` puts them into the document.
SCHEMAS: dict[str, Any] = {
    "Told": {
        "title": "Told",
        "description": "What a row tells beside its document; ignored where it is written.",
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "source": {"type": "string", "description": "who owns it: `database`, `file`, ..."},
            "source_ref": {"type": "string", "description": "where in the file"},
            "created_at": {"type": "string", "format": "date-time"},
            "updated_at": {"type": "string", "format": "date-time"},
            "learned": {"type": "object", "description": "models: facts that the doctor found"},
            "revoked_at": {"type": ["string", "null"], "format": "date-time"},
            "last_used_at": {"type": ["string", "null"], "format": "date-time"},
        },
        "required": ["id", "source", "source_ref"],
    },
    "Secret": {
        "title": "Secret",
        "description": "A key's secret, which is told this once.",
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "required": ["key"],
    },
}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(kind: Kind) -> dict[str, Any]:
    """The document of a kind, its parts put down in SCHEMAS."""
    (out,), components = msgspec.json.schema_components(
        [kind.shape], ref_template="#/components/schemas/{name}"
    )
    SCHEMAS.update(components)
    return out


def _row(kind: Kind) -> dict[str, Any]:
    """A row as it is told."""
    name = f"{kind.shape.__name__.removesuffix('Doc')}Row"
    SCHEMAS[name] = {"title": name, "allOf": [_schema(kind), _ref("Told")]}
    return _ref(name)


def _said(status: int, words: str, schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"responses": {str(status): {"description": words, "content": content}}}


def gives_one(kind: Kind, status: int = 200, *, secret: bool = False) -> dict[str, Any]:
    """What the document says of an operation that answers with a row."""
    row = _row(kind)
    words = "the row, and its secret" if secret else "the row"
    return _said(status, words, {"allOf": [row, _ref("Secret")]} if secret else row)


def _gives_page(kind: Kind) -> dict[str, Any]:
    page = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": _row(kind)},
            "next": {"type": ["integer", "null"], "description": "the next page's `cursor`"},
        },
        "required": ["items", "next"],
    }
    return _said(200, "a page of rows", page)


def _wants(kind: Kind, status: int = 200) -> dict[str, Any]:
    content = {"application/json": {"schema": _schema(kind)}}
    secret = status == 201 and kind.name == "keys"
    return {
        "requestBody": {"required": True, "content": content},
        **gives_one(kind, status, secret=secret),
    }


def _patches(kind: Kind) -> dict[str, Any]:
    """A merge patch: any part of the document, null for what is to be as usual."""
    words = f"any fields of {kind.shape.__name__}; null sets one back to the usual"
    schema = {"type": "object", "description": words, "minProperties": 0}
    named = _schema(kind)["$ref"].rpartition("/")[2]
    fields = SCHEMAS[named].get("properties", {})
    schema["properties"] = {
        name: {"anyOf": [{k: v for k, v in told.items() if k != "default"}, {"type": "null"}]}
        for name, told in fields.items()
    }
    types = ("application/json", "application/merge-patch+json")
    content = {name: {"schema": schema} for name in types}
    return {"requestBody": {"required": True, "content": content}, **gives_one(kind)}


_GONE = {"responses": {"204": {"description": "it is gone"}}}

ROUTERS = tuple(resource(kind) for kind in KINDS.values())
