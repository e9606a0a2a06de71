"""Inputs of a dry run in addition to the request: reasoning state and fetched files.

Live traffic stores the reasoning of responses (`relay.state.reasoning`) and may fetch URLs
(`relay.translate.media`). A dry run does neither: it uses `SimulationInputs`, and reports each
missing input as a `RuntimeInput`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.canon.request import Part, Request
from gateway.dialects.base import Dialect
from gateway.relay.exchange.call import Call
from gateway.relay.exchange.reasoning_turns import (
    ReasoningState,
    extract_state,
    keys_after,
    keys_in,
)
from gateway.relay.state.reasoning import turns_to_restore
from gateway.relay.translate.media_parts import fetch_error, parts_to_fetch, type_mismatch
from gateway.relay.translate.prepare import upstream_dialect, uses_passthrough
from gateway.relay.upstream.media_fetch import FetchedFile
from gateway.routing.snapshot import Route, Target

_REASONING = "live requests restore the reasoning of this turn if the gateway stored it"
_FETCHED_LIVE = "live requests fetch this URL and send its content"


class SimulationInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of a simulation in addition to the request.

    Attributes:
        responses: earlier responses of the target, in its own dialect, in the request's history.
        files: the content of URLs in the request.
        fetch_media: whether live traffic fetches URLs.
    """

    responses: tuple[Any, ...] = ()
    files: Mapping[str, FetchedFile] = {}
    fetch_media: bool = False


class RuntimeInput(msgspec.Struct, frozen=True):
    """An addition of live traffic: its field in the client's body, and a note."""

    field: str
    note: str


NO_INPUTS = SimulationInputs()


def apply_inputs(
    call: Call, route: Route, target: Target, inputs: SimulationInputs
) -> tuple[RuntimeInput, ...]:
    """Apply the inputs to a call; return the inputs that live traffic would add.

    Raises GatewayError for inputs that do not belong to the request.
    """
    dialect = upstream_dialect(call, target)
    turn_indexes = turns_to_restore(call, target)
    recalled_reasoning = (
        _match_reasoning(call, target, dialect, turn_indexes, inputs.responses)
        if turn_indexes
        else {}
    )
    call.attempt.recalled_reasoning = recalled_reasoning if turn_indexes else None
    missing_inputs = [
        RuntimeInput(call.exchange.request.turns[p].path, _REASONING)
        for p in turn_indexes
        if p not in recalled_reasoning
    ]
    return (*missing_inputs, *_apply_files(call, route, target, dialect, inputs))


def multiple_calls_note(call: Call, choices: tuple[Request, ...]) -> tuple[RuntimeInput, ...]:
    """The note that live traffic sends several calls for `choices`; empty for one call."""
    if not choices:
        return ()
    field = call.exchange.request.client_path("n")
    note = f"live traffic sends {len(choices)} calls for the choices; this is the first"
    return (RuntimeInput(field, note),)


def _match_reasoning(
    call: Call,
    target: Target,
    dialect: Dialect,
    turn_indexes: list[int],
    responses: tuple[Any, ...],
) -> dict[int, ReasoningState]:
    """Return the reasoning of the responses by turn index, matched as live traffic does."""
    exchange = call.exchange
    turns, scope = exchange.request.turns, ""
    keys = dict(keys_in(exchange.request, scope, turn_indexes))
    state_by_turn: dict[int, ReasoningState] = {}
    for index, response in enumerate(responses):
        parts = _parse_earlier_response(call, target, dialect, response, f"responses[{index}]")
        reasoning = extract_state(parts)
        if reasoning is None:
            continue
        for turn_index in turn_indexes:
            before = msgspec.structs.replace(exchange.request, turns=turns[:turn_index])
            reasoning_keys = keys_after(before, parts, scope)
            if (
                reasoning_keys.turn == keys[turn_index].turn
                or reasoning_keys.call == keys[turn_index].call
            ):
                state_by_turn.setdefault(turn_index, reasoning)
                break
        else:
            path = f"responses[{index}]"
            raise invalid(f"{path}: no turn of the request contains its tool calls", path)
    return state_by_turn


def _parse_earlier_response(
    call: Call, target: Target, dialect: Dialect, response: Any, path: str
) -> tuple[Part, ...]:
    traits = target.model.traits
    rendered_request = dialect.provider.render_request(call.exchange.request, traits)
    try:
        return dialect.provider.parse_response(response, traits, rendered_request).parts
    except GatewayError as failure:
        message = failure.error.message
        raise invalid(
            f"{path} is not a response in the format {dialect.name}: {message}", path
        ) from None


def _apply_files(
    call: Call, route: Route, target: Target, dialect: Dialect, inputs: SimulationInputs
) -> tuple[RuntimeInput, ...]:
    """Apply the files as fetched media; return those that live traffic would fetch."""
    exchange = call.exchange
    if exchange.verb not in {"generate", "count_tokens"} or route.strict:
        return ()
    if not (inputs.files or inputs.fetch_media) or uses_passthrough(call, target, dialect):
        return ()
    missing_inputs: list[RuntimeInput] = []
    for part in parts_to_fetch(exchange.request, dialect, target.model.traits):
        file = inputs.files.get(part.url or "")
        if file is None:
            if inputs.fetch_media:
                missing_inputs.append(RuntimeInput(part.path, _FETCHED_LIVE))
            continue
        if mismatch := type_mismatch(part, file):
            raise fetch_error(part, mismatch)
        call.fetched_media[part.url or ""] = file
    return tuple(missing_inputs)
