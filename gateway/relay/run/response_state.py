"""Server-side state of the Responses API: loads `previous_response_id`, stores the new response.

Three cases of a previous response:

- the gateway created its id: its items are read from the store and translated;
- the provider also stores it, under the same id (a passthrough with `store: true`): the request
  passes through unchanged to that provider first; other providers get the stored items;
- the provider created its items but does not store them (a WebSocket's `store: false`): the
  request passes through to that provider first, with the items inlined.

An id that was not issued to this key (or its team) is not found, even if a provider knows it:
all keys share the provider's credential. Only without keys, and for the admin key, does
an unknown id pass through.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import decode_or_none, dict_items
from gateway.dialects.openai_responses.stored_responses import (
    input_items,
    items_with_ids,
    last_response,
    output_items,
    read_response_head,
    resolve_references,
    response_id_of_item,
    response_not_found,
    self_contained_body,
)
from gateway.providers.masks import Mask
from gateway.relay.event_loop import offload
from gateway.relay.exchange.recorder import mask_secrets, mask_split
from gateway.relay.exchange.stored_response import NativeRequest, StoredResponse, StorePolicy
from gateway.relay.run.guardrails import guard_earlier_responses
from gateway.relay.upstream.client import send_with_token
from gateway.routing.snapshot import ApiKey

if TYPE_CHECKING:
    from gateway.relay.exchange.call import Call
    from gateway.relay.exchange.log_record import LogRecord
    from gateway.relay.runtime import Runtime

# Larger responses are not stored, which the log records.
MAX_STORED_BYTES = 8 * 1024 * 1024
OPEN, ADMIN = "open", "admin"
_ITEM_REFERENCE = b'"item_reference"'
_MAX_ITEM_REFERENCES = 100
_NOT_STORED_NOTE = (
    "bodies are not stored for this key or route, so the response cannot be referenced by its ID"
)
_TOO_LARGE_NOTE = f"the conversation is larger than {MAX_STORED_BYTES} bytes"


def owner_of(key: ApiKey | None) -> str:
    """Who may read what this key has created: its team, or else the key itself."""
    if key is None:
        return OPEN
    if key.team is not None:
        return f"team:{key.team.id}"
    return f"key:{key.id}" if key.id else ADMIN


def new_response_id() -> str:
    """A new response id, without prefix. Independent of the request id."""
    return uuid.uuid4().hex


async def load_state(runtime: Runtime, call: Call) -> None:
    """Load the state that the call continues from, and set its store policy.

    Raises GatewayError.
    """
    exchange = call.exchange
    if not runtime.responses.enabled:
        return
    exchange.response_id = new_response_id()
    policy = StorePolicy(owner=owner_of(exchange.key), on_response=exchange.on_response)
    await _load_referenced(runtime, call, policy)
    await guard_earlier_responses(runtime, call)
    if exchange.endpoint in exchange.dialect.passthrough_only:
        _inline_state(call)
    elif exchange.verb == "generate":
        exchange.store_policy = policy
        _apply_store_policy(call, policy)


def _apply_store_policy(call: Call, policy: StorePolicy) -> None:
    """Determine whether the response will be stored."""
    exchange = call.exchange
    policy.background = _decode_field(call, "background", bool) is True
    policy.store = policy.store and _decode_field(call, "store", bool) is not False
    if policy.store and not call.recorder.enabled:
        exchange.echoed_fields["store"] = False
        exchange.gateway_adaptations.append(
            {"field": "store", "action": "dropped", "note": _NOT_STORED_NOTE}
        )


async def _load_referenced(runtime: Runtime, call: Call, policy: StorePolicy) -> None:
    exchange = call.exchange
    previous = _decode_field(call, "previous_response_id", str)
    if previous:
        if bytes(exchange.fields.get("conversation", b"null")) != b"null":
            message = "set either previous_response_id or conversation, not both"
            raise invalid(message, "previous_response_id")
        await _load_previous(runtime, call, policy, previous)
    body = exchange.body
    if await offload.run_scan(len(body), offload.contains, body, (_ITEM_REFERENCE,)):
        await _load_item_references(runtime, call, policy)


def _decode_field(call: Call, name: str, kind: type) -> Any:
    raw = call.exchange.fields.get(name)
    return None if raw is None else msgspec.json.decode(raw, type=kind | None)


async def _load_previous(runtime: Runtime, call: Call, policy: StorePolicy, previous: str) -> None:
    exchange = call.exchange
    stored_response = exchange.connection_responses.get(previous) or await runtime.responses.find(
        policy.owner, previous
    )
    if stored_response is None:
        if policy.owner in {OPEN, ADMIN}:
            policy.same_provider = policy.store = False  # its earlier items are unknown here
            return
        raise response_not_found(previous)
    if stored_response.running:
        message = f"previous_response_id: {previous[:100]!r} is not finished yet"
        raise invalid(message, "previous_response_id")
    if not stored_response.response:
        # Only its provider has the content; without a copy no other provider can continue it.
        exchange.earlier_responses = {}
        exchange.native_continuation = NativeRequest(stored_response.provider, exchange.fields)
        policy.store = False
        return
    previous_items = input_items(stored_response.previous_items, stored_response.input)
    output = output_items(stored_response.response)
    earlier_with_ids = items_with_ids(previous_items, stored_response.id)
    exchange.earlier_responses = {previous: {"input": earlier_with_ids, "output": output}}
    policy.previous_items = msgspec.json.encode([*previous_items, *output])
    exchange.native_continuation = _native_request(
        call, stored_response, [*previous_items, *output]
    )


def _native_request(
    call: Call, stored: StoredResponse, items: list[dict[str, Any]]
) -> NativeRequest | None:
    exchange = call.exchange
    if stored.provider:
        return NativeRequest(stored.provider, exchange.fields)
    fields = self_contained_body(exchange.fields, items) if stored.native_provider else None
    return NativeRequest(stored.native_provider, fields) if fields is not None else None


def _inline_state(call: Call) -> None:
    """Move the state that a passthrough-only call continues from into its input."""
    exchange = call.exchange
    exchange.stream = False
    if exchange.native_continuation is not None or not exchange.earlier_responses:
        return
    (state,) = exchange.earlier_responses.values()
    fields = self_contained_body(exchange.fields, [*state["input"], *state["output"]])
    if fields is not None:
        exchange.fields, exchange.earlier_responses = fields, None
        exchange.body = msgspec.json.encode(fields)


async def _load_item_references(runtime: Runtime, call: Call, policy: StorePolicy) -> None:
    """Load the responses whose items the request references; unknown references pass through."""
    exchange = call.exchange
    # A value that cannot be decoded is reported where the request is parsed.
    request_items = decode_or_none(exchange.fields.get("input", b"null"))
    ids = [item.get("id") for item in dict_items(request_items)]
    response_ids = (response_id_of_item(item_id) for item_id in ids if isinstance(item_id, str))
    unique_ids = dict.fromkeys(name for name in response_ids if name)
    responses: dict[str, Any] = dict(exchange.earlier_responses or {})
    for response_id in list(unique_ids)[:_MAX_ITEM_REFERENCES]:
        if response_id in responses:
            continue
        stored_response = exchange.connection_responses.get(
            response_id
        ) or await runtime.responses.find(policy.owner, response_id)
        if stored_response is not None and stored_response.response:
            items = items_with_ids(
                input_items(stored_response.previous_items, stored_response.input),
                stored_response.id,
            )
            responses[response_id] = {
                "input": items,
                "output": output_items(stored_response.response),
            }
    if responses:
        exchange.earlier_responses = responses


def response_to_store(call: Call, record: LogRecord) -> StoredResponse | None:
    """The response that the journal stores; None if it is not to be stored."""
    policy = call.exchange.store_policy
    if (
        policy is None
        or policy.background
        or not call.attempt.final_bytes
        or record.outcome == "client_closed"
    ):
        return None
    stored_response = build_stored_response(call, policy)
    if stored_response is None:
        return None
    if policy.on_response is not None:
        policy.on_response(stored_response)
    if not policy.store:
        return None
    if not call.recorder.enabled:
        placeholder = msgspec.structs.replace(
            stored_response, previous_items=b"", input=b"", response=b""
        )
        return placeholder if stored_response.provider else None
    if stored_response.size > MAX_STORED_BYTES:
        record.adaptations.append({"field": "store", "action": "dropped", "note": _TOO_LARGE_NOTE})
        return None
    return mask_stored_response(call, stored_response)


def build_stored_response(call: Call, policy: StorePolicy) -> StoredResponse | None:
    """The response in its stored form; None for one without an end."""
    exchange = call.exchange
    response = (
        last_response(call.attempt.final_bytes) if exchange.stream else call.attempt.final_bytes
    )
    try:
        response_head = read_response_head(response)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    provider = items_provider = ""
    if call.attempt.passthrough and call.attempt.target is not None:
        name = call.attempt.target.model.provider.name
        provider = name if response_head.store and not policy.background else ""
        items_provider = name if policy.same_provider else ""
    request_input = bytes(exchange.fields.get("input", b""))
    if exchange.earlier_responses and _ITEM_REFERENCE in request_input:
        # A later request loads this response, perhaps without those that it refers to.
        request_input = resolve_references(request_input, exchange.earlier_responses)
    return StoredResponse(
        id=response_head.id,
        owner=policy.owner,
        created_at=exchange.started_at,
        status=response_head.status,
        provider=provider,
        native_provider=items_provider,
        previous_items=policy.previous_items,
        input=request_input,
        response=response,
    )


def mask_stored_response(call: Call, stored: StoredResponse) -> StoredResponse:
    """The response with the masks of logged bodies applied."""
    masks = call.recorder.masks
    return msgspec.structs.replace(
        stored,
        previous_items=mask_secrets(stored.previous_items, masks),
        input=mask_secrets(stored.input, masks),
        response=mask_secrets(stored.response, masks),
        events=_mask_events(stored.events, masks),
    )


def _mask_events(events: list[bytes], masks: tuple[Mask, ...]) -> list[bytes]:
    """The events with masks applied, also to what is split across their deltas."""
    stream = mask_split(b"\n".join(events), (), masks)
    masked, offset = [], 0
    for event in events:
        masked.append(mask_secrets(stream[offset : offset + len(event)], masks))
        offset += len(event) + 1
    return masked


def recover_missing_state(call: Call, error: GatewayError) -> bool:
    """Whether a provider has lost the state that the call continues from, but the store has it.

    If so, the call now continues from the store.
    """
    if call.exchange.native_continuation is None or not call.exchange.earlier_responses:
        return False
    if error.error.code != "previous_response_not_found" and error.error.status != 404:
        return False
    call.exchange = call.exchange.replace(native_continuation=None)
    return True


# --- deletion ---------------------------------------------------------------------------

_MAX_BYTES = 1024 * 1024


async def delete_upstream(runtime: Runtime, stored_response: StoredResponse) -> None:
    """Delete it upstream; it is not an error if it does not exist. Raises GatewayError."""
    provider = runtime.snapshot.providers.get(stored_response.provider)
    if provider is None:
        return
    url = runtime.request_templates.url(
        provider, f"/responses/{quote(stored_response.id, safe='')}"
    )
    headers = runtime.request_templates.headers(provider, {})
    connect_s = provider.timeouts.connect_s
    response = await send_with_token(
        runtime.upstreams, runtime.tokens, provider, "DELETE", url, headers, b"", connect_s
    )
    try:
        await response.read_all(_MAX_BYTES)
    finally:
        await response.close()
    if response.status not in {200, 202, 204, 404}:
        message = f"the provider did not delete the response (status {response.status}); try again"
        raise GatewayError(Error(kind="upstream_error", message=message, status=response.status))
