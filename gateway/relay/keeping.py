"""What a Responses request leaves to the gateway to remember, before and after its answer.

`begin` finds the answer that a request goes on from. Three cases:

- the gateway made its id: all that led to it is read from the store and translated;
- a provider keeps it too, under the same id (a passthrough that said `store: true`): the
  request passes through to that provider first, as it is; others get it from the store;
- the provider made its items but keeps nothing (a WebSocket's `store: false`): the same,
  with the items written out.

An id that this key (or its team) did not get from here is not found, whichever provider
might know it: credentials upstream are shared by all keys. Only where no keys are in use,
and for the admin's, does an unknown id pass through.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.dialects.openai_responses.kept import (
    given_items,
    last_response,
    named_items,
    output_of,
    read_told,
    response_of,
    whole_body,
)
from gateway.dialects.openai_responses.state import not_kept
from gateway.relay.kept import Keeping, Kept, Native
from gateway.relay.recorder import cleaned as without_secrets
from gateway.routing.snapshot import ApiKey

if TYPE_CHECKING:
    from gateway.relay.call import Call
    from gateway.relay.entry import Entry
    from gateway.relay.runtime import Runtime

# What is larger is not kept, and the log says so.
MOST_BYTES = 8 * 1024 * 1024
OPEN, ADMIN = "open", "admin"
_REFERENCE = re.compile(rb'"item_reference"')
_REFERENCES = 100
_OFF = "bodies are not kept for this key or route, so the answer can not be named by its id"
_LARGE = f"the conversation is larger than {MOST_BYTES} bytes"


def owner_of(key: ApiKey | None) -> str:
    """Who may read what this key has made: its team, or else the key itself."""
    if key is None:
        return OPEN
    if key.team is not None:
        return f"team:{key.team.id}"
    return f"key:{key.id}" if key.id else ADMIN


def fresh_id() -> str:
    """An id for an answer, without prefix. A client may choose its request's, so not that."""
    return uuid.uuid4().hex


async def begin(runtime: Runtime, call: Call) -> None:
    """Find what the call goes on from, and see to it that its answer is kept.

    Raises GatewayError.
    """
    if not runtime.responses.on:
        return
    call.answer_id = fresh_id()
    keeping = Keeping(owner=owner_of(call.key), heard=call.heard)
    await _look_back(runtime, call, keeping)
    if call.endpoint in call.dialect.passed_only:
        _write_out(call)
    elif call.verb == "generate":
        call.keeping = keeping
        _promise(call, keeping)


def _promise(call: Call, keeping: Keeping) -> None:
    """Say whether the answer will be kept."""
    keeping.background = _field(call, "background", bool) is True
    keeping.store = keeping.store and _field(call, "store", bool) is not False
    if keeping.store and not call.recorder.on:
        call.told["store"] = False
        call.noted.append({"field": "store", "action": "dropped", "note": _OFF})


async def _look_back(runtime: Runtime, call: Call, keeping: Keeping) -> None:
    previous = _field(call, "previous_response_id", str)
    if previous:
        if bytes(call.fields.get("conversation", b"null")) != b"null":
            message = "give either previous_response_id or conversation, not both"
            raise invalid(message, "previous_response_id")
        await _go_on(runtime, call, keeping, previous)
    if _REFERENCE.search(call.body):
        await _refer(runtime, call, keeping)


def _field(call: Call, name: str, kind: type) -> Any:
    raw = call.fields.get(name)
    return None if raw is None else msgspec.json.decode(raw, type=kind | None)


async def _go_on(runtime: Runtime, call: Call, keeping: Keeping, previous: str) -> None:
    kept = call.known.get(previous) or await runtime.responses.find(keeping.owner, previous)
    if kept is None:
        if keeping.owner in {OPEN, ADMIN}:
            keeping.native = keeping.store = False  # nobody here knows what led to it
            return
        raise not_kept(previous)
    if kept.running:
        message = f"previous_response_id: {previous[:100]!r} is not finished yet"
        raise invalid(message, "previous_response_id")
    if not kept.response:
        # Its provider has it; without a copy nobody else can go on from it.
        call.kept = {}
        call.native = Native(kept.provider, call.fields)
        keeping.store = False
        return
    given, output = given_items(kept.earlier, kept.input), output_of(kept.response)
    named = named_items(given, kept.id)
    call.kept = {previous: {"input": named, "output": output}}
    keeping.earlier = msgspec.json.encode([*given, *output])
    call.native = _native(call, kept, [*given, *output])


def _native(call: Call, kept: Kept, items: list[dict[str, Any]]) -> Native | None:
    if kept.provider:
        return Native(kept.provider, call.fields)
    fields = whole_body(call.fields, items) if kept.maker else None
    return Native(kept.maker, fields) if fields is not None else None


def _write_out(call: Call) -> None:
    """Put what a call that only passes through goes on from into its input."""
    call.stream = False
    if call.native is not None or not call.kept:
        return
    (earlier,) = call.kept.values()
    fields = whole_body(call.fields, [*earlier["input"], *earlier["output"]])
    if fields is not None:
        call.fields, call.kept = fields, None
        call.body = msgspec.json.encode(fields)


async def _refer(runtime: Runtime, call: Call, keeping: Keeping) -> None:
    """Find the answers whose items the request refers to; others pass through."""
    given = msgspec.json.decode(call.fields["input"]) if "input" in call.fields else []
    ids = [item.get("id") for item in given if isinstance(item, dict)]
    named = (response_of(item_id) for item_id in ids if isinstance(item_id, str))
    wanted = dict.fromkeys(name for name in named if name)
    found: dict[str, Any] = dict(call.kept or {})
    for response_id in list(wanted)[:_REFERENCES]:
        if response_id in found:
            continue
        kept = call.known.get(response_id) or await runtime.responses.find(
            keeping.owner, response_id
        )
        if kept is not None and kept.response:
            items = named_items(given_items(kept.earlier, kept.input), kept.id)
            found[response_id] = {"input": items, "output": output_of(kept.response)}
    if found:
        call.kept = found


def result(call: Call, entry: Entry) -> Kept | None:
    """What the journal is to keep of an answer that has come to its end."""
    keeping = call.keeping
    if keeping is None or keeping.background or not call.last or entry.outcome == "client_closed":
        return None
    kept = finished(call, keeping)
    if kept is None:
        return None
    if keeping.heard is not None:
        keeping.heard(kept)
    if not keeping.store:
        return None
    if not call.recorder.on:
        bare = msgspec.structs.replace(kept, earlier=b"", input=b"", response=b"")
        return bare if kept.provider else None
    if kept.size > MOST_BYTES:
        entry.adaptations.append({"field": "store", "action": "dropped", "note": _LARGE})
        return None
    return cleaned(call, kept)


def finished(call: Call, keeping: Keeping) -> Kept | None:
    """The answer as it is to be kept; None for one without an end."""
    response = last_response(call.last) if call.stream else call.last
    try:
        told = read_told(response)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    provider = maker = ""
    if call.passthrough and call.target is not None:
        name = call.target.model.provider.name
        provider = name if told.store and not keeping.background else ""
        maker = name if keeping.native else ""
    return Kept(
        id=told.id,
        owner=keeping.owner,
        created_at=call.started_at,
        status=told.status,
        provider=provider,
        maker=maker,
        earlier=keeping.earlier,
        input=bytes(call.fields.get("input", b"")),
        response=response,
    )


def cleaned(call: Call, kept: Kept) -> Kept:
    """The same without what the log's bodies must not hold either."""
    masks = call.recorder.masks
    return msgspec.structs.replace(
        kept,
        earlier=without_secrets(kept.earlier, masks),
        input=without_secrets(kept.input, masks),
        response=without_secrets(kept.response, masks),
        events=[without_secrets(event, masks) for event in kept.events],
    )


def lost(call: Call, failure: GatewayError) -> bool:
    """Whether a provider has forgotten what the call goes on from, and the store has not.

    The call then goes on from the store.
    """
    if call.native is None or not call.kept:
        return False
    if failure.error.code != "previous_response_not_found" and failure.error.status != 404:
        return False
    call.native = None
    return True
