"""What a client wishes of the cache: `Cache-Control`, and LiteLLM's body field `cache`.

The field is taken out of the body: no upstream knows it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.relay.cache_value import USUAL, Controls
from gateway.relay.call import Call
from gateway.routing.cache import MOST_TTL_S

FIELD = "cache"
_FLAGS = ("no-cache", "no-store", "use-cache")
_SECONDS = {"ttl": 1, "s-maxage": 0}
_NAMES = (*_FLAGS, *_SECONDS, "namespace")


def read(call: Call) -> Controls | None:
    """What this request wishes, without its field; None where the cache has no part in it.

    That is, where its route has none and it says nothing of it. Raises GatewayError naming
    what is wrong.
    """
    said = FIELD in call.fields
    if call.verb == "forward" or not (said or (call.route and call.route.cache is not None)):
        return None
    header = call.headers.get("cache-control")
    wishes = _header(header) if header else USUAL
    return _with_field(call, wishes) if said else wishes


def _with_field(call: Call, wishes: Controls) -> Controls:
    raw = call.fields.pop(FIELD)
    call.body = msgspec.json.encode(call.fields)
    if bytes(raw) == b"null":
        return wishes
    said = _decoded(raw)
    age = said.get("s-maxage")
    ages = [seconds for seconds in (wishes.max_age_s, age) if seconds is not None]
    return Controls(
        use=wishes.use and not said.get("no-cache", False),
        keep=wishes.keep and not said.get("no-store", False),
        max_age_s=min(ages, default=None),
        ttl_s=said.get("ttl"),
        namespace=said.get("namespace", ""),
        opted=said.get("use-cache", False),
    )


def _decoded(raw: msgspec.Raw) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise invalid('cache must be an object, such as {"no-cache": true}', FIELD)
    for name, value in said.items():
        if name not in _NAMES:
            known = ", ".join(_NAMES)
            raise invalid(f"cache.{name[:80]} is not known here; known are {known}", FIELD)
        _check(name, value)
    return {name: value for name, value in said.items() if value is not None}


def _check(name: str, value: Any) -> None:
    """Raise for a value that is not of its kind; null says nothing."""
    where = f"{FIELD}.{name}"
    if value is None:
        return
    if name in _FLAGS and not isinstance(value, bool):
        raise invalid(f"{where} must be true or false", where)
    if name == "namespace" and (not isinstance(value, str) or len(value) > 100):
        raise invalid(f"{where} must be a text of at most 100 characters", where)
    least = _SECONDS.get(name)
    if least is not None and not _whole(value, least):
        raise invalid(
            f"{where} must be a whole number of seconds from {least} to {MOST_TTL_S}", where
        )


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_TTL_S


def _header(text: str) -> Controls:
    """`Cache-Control` of a request; what is not understood is ignored, as RFC 9111 has it."""
    use = keep = True
    ages = []
    for directive in text.lower().split(","):
        name, _, value = directive.strip().partition("=")
        value = value.strip().strip('"')
        if name == "no-cache":
            use = False
        elif name == "no-store":
            keep = False
        elif name == "max-age" and value.isascii() and value.isdigit():
            ages.append(int(value[:10]))
    return Controls(use=use, keep=keep, max_age_s=min(ages, default=None))
