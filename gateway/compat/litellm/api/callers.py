"""Authentication of the LiteLLM-compatible endpoints: an admin or the holder of a gateway key.

As in LiteLLM, `/model/info` and similar endpoints accept any key and show only what it may use.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from django.http import HttpRequest

from gateway import store
from gateway.api.auth import Editor, Reader, token_of
from gateway.compat.litellm.api.failures import RejectedRequest
from gateway.models import ApiKey as ApiKeyRow
from gateway.routing.snapshot import ApiKey, Route, Snapshot, may_use


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated caller. `key` is None for an admin and for a caller without a key."""

    key: ApiKey | None
    admin: bool
    snapshot: Snapshot

    def may_use(self, route: Route) -> bool:
        """Whether the caller may use the route."""
        return self.key is None or may_use(self.key, route)


class KeyHolder(Reader):
    """Allows what `Reader` allows, a live gateway key, or any caller if the gateway is open.

    Returns a Caller.
    """

    def __call__(self, request: HttpRequest) -> Any | None:
        """Return the Caller, or None (401)."""
        return _caller(request, is_admin=super().__call__(request) is not None)


class EditorOrKeyHolder(Editor):
    """Allows what `Editor` allows, a live gateway key, or any caller if the gateway is open.

    Returns a Caller, who is an admin if `Editor` allows it.
    """

    def __call__(self, request: HttpRequest) -> Any | None:
        """Return the Caller, or None (401)."""
        return _caller(request, is_admin=super().__call__(request) is not None)


def _caller(request: HttpRequest, *, is_admin: bool) -> Caller | None:
    snapshot = store.current_snapshot()
    if is_admin:
        return Caller(key=None, admin=True, snapshot=snapshot)
    key = _live_key(snapshot, token_of(request))
    if key is None and not snapshot.open:
        return None
    return Caller(key=key, admin=False, snapshot=snapshot)


def _live_key(snapshot: Snapshot, token: str) -> ApiKey | None:
    """Return the live key of a token. Raises RejectedRequest if it has expired."""
    key = store.find_key(snapshot, token) if token else None
    if key is None:
        return None
    if key.expires_at is not None and key.expires_at <= time.time():
        raise RejectedRequest(401, "this API key has expired", type_="expired_key")
    return key


def caller_of(request: HttpRequest) -> Caller:
    """Return the caller that `KeyHolder` authenticated."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller


def own_key_row(caller: Caller, param: str) -> ApiKeyRow:
    """Return the row of the caller's key. Raises RejectedRequest for a caller without one.

    `param` is the field that the caller may not choose.
    """
    if caller.key is None:
        raise RejectedRequest(403, f"{param}: only admins may read others", param, "auth_error")
    row = ApiKeyRow.objects.select_related("team__parent").filter(pk=caller.key.id).first()
    if row is None:
        raise RejectedRequest(401, "this API key no longer exists")
    return row
