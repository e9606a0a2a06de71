"""Guardrails that a request adds: LiteLLM's body field `guardrails`.

A request can add guardrails to those of its route, its key and all requests, and remove none:
`disable_global_guardrail` has no effect. The fields are removed from the body, because no
upstream supports them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.errors import invalid
from gateway.relay.exchange.call import Exchange
from gateway.routing.snapshot import Snapshot

FIELD = "guardrails"
FIELDS = frozenset({FIELD, "disable_global_guardrail", "disable_global_guardrails"})
MAX_NAMES = 50


def apply(exchange: Exchange) -> None:
    """Add the requested guardrails to the route of the exchange. Raises GatewayError."""
    removed_fields = {name: exchange.fields.pop(name) for name in FIELDS if name in exchange.fields}
    if not removed_fields:
        return
    exchange.body = msgspec.json.encode(exchange.fields)
    state = exchange.passthrough_state
    if state is not None and state.form is not None:
        state.form = [part for part in state.form if part.name not in FIELDS]
    names = _parse_names(removed_fields.get(FIELD, msgspec.Raw(b"null")), exchange.snapshot)
    if names and exchange.route is not None:
        all_names = tuple(dict.fromkeys((*exchange.route.guardrails, *names)))
        exchange.route = msgspec.structs.replace(exchange.route, guardrails=all_names)


def _parse_names(raw: msgspec.Raw, snapshot: Snapshot) -> list[str]:
    try:
        value: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise invalid("guardrails must be a list of names", FIELD) from None
    if value is None:
        return []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise invalid(f"guardrails must be a list of at most {MAX_NAMES} names", FIELD)
    for index, name in enumerate(value):
        param = f"{FIELD}[{index}]"
        if not isinstance(name, str):
            message = f"{param} must be the name of a guardrail; parameters are not supported"
            raise invalid(message, param)
        if name not in snapshot.guardrails:
            raise invalid(f"{param}: there is no active guardrail `{name[:80]}`", param)
    return value
