"""Who may: finds the key of a request, and whether it may use a route."""

from __future__ import annotations

import fnmatch
import hmac
import time

from gateway.canon.errors import Error, GatewayError
from gateway.edge import keys
from gateway.relay.runtime import Runtime
from gateway.routing.snapshot import ApiKey, Route, Snapshot

_NO_KEY = (
    "no API key given; send it as `Authorization: Bearer <key>`, `x-api-key`, `api-key` "
    "or `x-goog-api-key`"
)
_ADMIN = ApiKey(id=0, prefix="admin", name="admin", digest=b"")


def admit(
    runtime: Runtime, snapshot: Snapshot, headers: list[tuple[bytes, bytes]], query: bytes
) -> ApiKey | None:
    """The key, or None in open mode. Raises GatewayError (401)."""
    token = keys.token_from(headers, query)
    if not token:
        if snapshot.open:
            return None
        raise _refused(_NO_KEY)
    digest = keys.digest(token, runtime.config.pepper)
    key = snapshot.keys.get(digest)
    if key is not None and hmac.compare_digest(key.digest, digest):
        if key.expires_at is not None and key.expires_at <= time.time():
            raise _refused("this API key has expired")
        return key
    if is_admin(runtime, digest):
        return _ADMIN
    if snapshot.open:
        return None
    raise _refused("this API key is not known; check it, or make one with `manage.py makekey`")


def is_admin(runtime: Runtime, digest: bytes) -> bool:
    """Whether a token's digest is an admin credential's."""
    return any(hmac.compare_digest(digest, known) for known in runtime.config.admin_digests)


def find_route(snapshot: Snapshot, key: ApiKey | None, model: str) -> Route:
    """The route of a model name. Raises GatewayError (404, 403)."""
    # Ollama's clients add its default tag to a name that has none.
    route = snapshot.route(model) or snapshot.route(model.removesuffix(":latest"))
    if route is None:
        message = f"the model `{model[:200]}` does not exist; GET /v1/models lists those that do"
        raise GatewayError(Error(kind="not_found", message=message, param="model"))
    if key is not None and not may_use(key, route):
        message = f"this API key may not use the model `{model[:200]}`"
        raise GatewayError(Error(kind="not_allowed", message=message, param="model"))
    return route


def may_use(key: ApiKey, route: Route) -> bool:
    """Whether the key is allowed this route."""
    if not key.routes:
        return True
    return any(fnmatch.fnmatchcase(route.name, pattern) for pattern in key.routes)


def _refused(message: str) -> GatewayError:
    return GatewayError(Error(kind="gateway_auth", message=message))
