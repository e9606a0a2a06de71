"""Who may: finds the key of a request, and whether it may use a route."""

from __future__ import annotations

import fnmatch
import hmac
import time

from gateway.canon import model_names
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.edge import keys
from gateway.edge.site import check_site
from gateway.relay.runtime import Runtime
from gateway.routing.snapshot import ApiKey, Route, Snapshot

_MISSING_KEY = (
    "no API key given; send it as `Authorization: Bearer <key>`, `x-api-key`, `api-key` "
    "or `x-goog-api-key`"
)
_ADMIN = ApiKey(id=0, prefix="admin", name="admin", digest=b"")


def authenticate(
    runtime: Runtime, snapshot: Snapshot, headers: list[tuple[bytes, bytes]], query: bytes
) -> ApiKey | None:
    """The key, or None in open mode. Raises GatewayError (401; 403 for a foreign page)."""
    token = keys.token_from(headers, query)
    if not token:
        if snapshot.open:
            check_site(runtime.config, headers)
            return None
        raise _auth_error(_MISSING_KEY)
    digest = keys.digest(token, runtime.config.pepper)
    key = snapshot.keys.get(digest)
    if key is not None and hmac.compare_digest(key.digest, digest):
        if key.expires_at is not None and key.expires_at <= time.time():
            raise _auth_error("this API key has expired")
        return key
    if is_admin(runtime, digest):
        return _ADMIN
    if snapshot.open:
        check_site(runtime.config, headers)
        return None
    raise _auth_error("this API key is not known; check it, or make one with `manage.py makekey`")


def is_admin(runtime: Runtime, digest: bytes) -> bool:
    """Whether a token's digest is an admin credential's."""
    return any(
        hmac.compare_digest(digest, admin_digest) for admin_digest in runtime.config.admin_digests
    )


def find_route(snapshot: Snapshot, key: ApiKey | None, model: str, param: str = "model") -> Route:
    """The route of a model name; `param` is the field it stands in.

    Raises GatewayError (400 for a name that no model may have, 404, 403).
    """
    if model not in snapshot.routes and model not in snapshot.aliases:
        check_model_name(model, param)
    # Ollama's clients add its default tag to a name that has none.
    route = snapshot.route(model) or snapshot.route(model.removesuffix(":latest"))
    if route is None:
        message = f"the model `{model[:200]}` does not exist; GET /v1/models lists those that do"
        raise GatewayError(Error(kind="not_found", message=message, param=param))
    if key is not None and not may_use(key, route):
        message = f"this API key may not use the model `{model[:200]}`"
        raise GatewayError(Error(kind="not_allowed", message=message, param=param))
    return route


def check_model_name(model: str, param: str = "model") -> None:
    """Raise GatewayError (400) for a name that would be read as something else upstream."""
    fault = model_names.find_name_fault(model)
    if fault is not None:
        raise invalid(f"{param} is not a model's name: {fault}", param)


def may_use(key: ApiKey, route: Route) -> bool:
    """Whether the key is allowed this route."""
    if not key.routes:
        return True
    names = (route.name, route.alternate_name) if route.alternate_name else (route.name,)
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in key.routes for name in names)


def _auth_error(message: str) -> GatewayError:
    return GatewayError(Error(kind="gateway_auth", message=message))
