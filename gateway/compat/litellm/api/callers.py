"""Who asks a LiteLLM-shaped endpoint: an admin, or the holder of a gateway key.

As in LiteLLM, `/model/info` and the like answer any key, with what it may use only.
"""

from __future__ import annotations

import hmac
import time
from typing import Any

import msgspec
from django.http import HttpRequest

from gateway import store
from gateway.api.auth import Reader, token_of
from gateway.compat.litellm.api.failures import Wrong
from gateway.edge.auth import may_use
from gateway.routing.snapshot import ApiKey, Route, Snapshot


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `key` is None for an admin, and where any client is let in."""

    key: ApiKey | None
    admin: bool
    snapshot: Snapshot

    def may(self, route: Route) -> bool:
        """Whether the route is theirs to use."""
        return self.key is None or may_use(self.key, route)


class Holder(Reader):
    """As Reader; and whoever has a gateway key, or is let in without one. Gives a Caller."""

    def __call__(self, request: HttpRequest) -> Any | None:
        """The Caller, or None (401)."""
        snapshot = store.load_snapshot()
        if super().__call__(request) is not None:
            return Caller(key=None, admin=True, snapshot=snapshot)
        key = _key(snapshot, token_of(request))
        if key is None and not snapshot.open:
            return None
        return Caller(key=key, admin=False, snapshot=snapshot)


def _key(snapshot: Snapshot, token: str) -> ApiKey | None:
    """The live key of a token. Raises Wrong for one that has expired."""
    digest = store.digest(token) if token else b""
    key = snapshot.keys.get(digest)
    if key is None or not hmac.compare_digest(key.digest, digest):
        return None
    if key.expires_at is not None and key.expires_at <= time.time():
        raise Wrong(401, "this API key has expired", type_="expired_key")
    return key


def caller_of(request: HttpRequest) -> Caller:
    """Who asks, as `Holder` put it down."""
    caller: Caller = request.auth  # type: ignore[attr-defined]
    return caller
