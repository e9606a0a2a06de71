"""The cache control of a request: `Cache-Control`, and LiteLLM's body field `cache`.

The field is removed from the body, because no upstream supports it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.json_values import decode_or_none
from gateway.relay.exchange.cached_response import DEFAULT_CACHE_CONTROL, CacheControl
from gateway.relay.exchange.call import Exchange
from gateway.routing.cache_policy import MAX_TTL_S

FIELD = "cache"
_FLAGS = ("no-cache", "no-store", "use-cache")
_MIN_SECONDS = {"ttl": 1, "s-maxage": 0}
_NAMES = (*_FLAGS, *_MIN_SECONDS, "namespace")


def read(exchange: Exchange) -> CacheControl | None:
    """Read the request's cache control and remove the field from its body.

    None if neither the route nor the request uses the cache. Raises GatewayError that names
    the invalid field.
    """
    has_field = FIELD in exchange.fields
    if exchange.verb == "passthrough" or not (
        has_field or (exchange.route and exchange.route.cache is not None)
    ):
        return None
    header = exchange.headers.get("cache-control")
    controls = _parse_header(header) if header else DEFAULT_CACHE_CONTROL
    return _merge_field(exchange, controls) if has_field else controls


def _merge_field(exchange: Exchange, controls: CacheControl) -> CacheControl:
    raw = exchange.fields.pop(FIELD)
    exchange.body = msgspec.json.encode(exchange.fields)
    if bytes(raw) == b"null":
        return controls
    field_controls = _decode_field(raw)
    field_max_age_s = field_controls.get("s-maxage")
    ages = [seconds for seconds in (controls.max_age_s, field_max_age_s) if seconds is not None]
    return CacheControl(
        read=controls.read and not field_controls.get("no-cache", False),
        store=controls.store and not field_controls.get("no-store", False),
        max_age_s=min(ages, default=None),
        ttl_s=field_controls.get("ttl"),
        namespace=field_controls.get("namespace", ""),
        opt_in=field_controls.get("use-cache", False),
    )


def _decode_field(raw: msgspec.Raw) -> dict[str, Any]:
    field_controls = decode_or_none(raw)
    if not isinstance(field_controls, dict):
        raise invalid('cache must be an object, such as {"no-cache": true}', FIELD)
    for name, value in field_controls.items():
        if name not in _NAMES:
            supported_names = ", ".join(_NAMES)
            raise invalid(
                f"cache.{name[:80]} is not supported; supported are {supported_names}", FIELD
            )
        _check_value(name, value)
    return {name: value for name, value in field_controls.items() if value is not None}


def _check_value(name: str, value: Any) -> None:
    """Raises GatewayError for a value of the wrong type; null is ignored."""
    param = f"{FIELD}.{name}"
    if value is None:
        return
    if name in _FLAGS and not isinstance(value, bool):
        raise invalid(f"{param} must be true or false", param)
    if name == "namespace" and (not isinstance(value, str) or len(value) > 100):
        raise invalid(f"{param} must be a string of at most 100 characters", param)
    min_seconds = _MIN_SECONDS.get(name)
    if min_seconds is not None and not _is_seconds(value, min_seconds):
        raise invalid(
            f"{param} must be a whole number of seconds from {min_seconds} to {MAX_TTL_S}", param
        )


def _is_seconds(value: Any, min_seconds: int) -> bool:
    return (
        isinstance(value, int) and not isinstance(value, bool) and min_seconds <= value <= MAX_TTL_S
    )


def _parse_header(header: str) -> CacheControl:
    """`Cache-Control` of a request; unknown directives are ignored, as RFC 9111 requires."""
    reads_cache = stores_response = True
    ages = []
    for directive in header.lower().split(","):
        name, _, value = directive.strip().partition("=")
        value = value.strip().strip('"')
        if name == "no-cache":
            reads_cache = False
        elif name == "no-store":
            stores_response = False
        elif name == "max-age" and value.isascii() and value.isdigit():
            ages.append(int(value[:10]))
    return CacheControl(read=reads_cache, store=stores_response, max_age_s=min(ages, default=None))
