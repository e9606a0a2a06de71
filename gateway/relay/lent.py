"""What live traffic has beside a request, for one that is only pretended.

It remembers the reasoning of answers that a client cannot carry (`relay.reasoning`), and may
open URLs (`relay.media`). Without a call there is neither: what is lent takes its place, and
what is not is told, so that nobody takes what is shown for all that is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, invalid
from gateway.canon.request import Part
from gateway.dialects.base import Dialect
from gateway.relay.call import Call
from gateway.relay.media_fetch import Fetched
from gateway.relay.media_parts import misfit, needed, refused
from gateway.relay.prepare import goes_unread, spoken
from gateway.relay.reasoning import wanted
from gateway.relay.reasoning_turns import Kept, kept_of, keys_after, keys_in
from gateway.routing.snapshot import Route, Target

_REASONING = (
    "live traffic puts the reasoning of this turn back where the gateway has it from the answer"
)
_FETCHED = "live traffic fetches this URL and sends what it finds"


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """What there is beside the request.

    Attributes:
        answers: the target's own answers, in its words, that the history goes back to.
        files: what URLs in the request lead to.
        fetches: whether live traffic opens URLs that it is not lent.
    """

    answers: tuple[Any, ...] = ()
    files: Mapping[str, Fetched] = {}
    fetches: bool = False


class Unshown(msgspec.Struct, frozen=True):
    """One thing that live traffic adds: where it belongs in the client's body, and what it is."""

    field: str
    note: str


NOTHING = Lent()


def lend(call: Call, route: Route, target: Target, lent: Lent) -> tuple[Unshown, ...]:
    """Give a call what is lent for this target; what live traffic would add to it.

    Raises GatewayError for what does not belong to the request.
    """
    dialect = spoken(call, target)
    places = wanted(call, target)
    found = _remembered(call, target, dialect, places, lent.answers) if places else {}
    call.recalled = found if places else None
    missing = [Unshown(call.request.turns[p].at, _REASONING) for p in places if p not in found]
    return (*missing, *_media(call, route, target, dialect, lent))


def _remembered(
    call: Call, target: Target, dialect: Dialect, places: list[int], answers: tuple[Any, ...]
) -> dict[int, Kept]:
    """The reasoning of the answers by the places of their turns, as `reasoning.Memory` finds it."""
    turns, scope = call.request.turns, ""
    keys = dict(keys_in(call.request, scope, places))
    found: dict[int, Kept] = {}
    for number, answer in enumerate(answers):
        parts = _parts(call, target, dialect, answer, f"answers[{number}]")
        kept = kept_of(parts)
        if kept is None:
            continue
        for place in places:
            before = msgspec.structs.replace(call.request, turns=turns[:place])
            told = keys_after(before, parts, scope)
            if told.turn == keys[place].turn or told.call == keys[place].call:
                found.setdefault(place, kept)
                break
        else:
            where = f"answers[{number}]"
            raise invalid(f"{where}: no turn of the request has its calls", where)
    return found


def _parts(
    call: Call, target: Target, dialect: Dialect, answer: Any, where: str
) -> tuple[Part, ...]:
    traits = target.model.traits
    rendered = dialect.provider.render_request(call.request, traits)
    try:
        return dialect.provider.parse_response(answer, traits, rendered).parts
    except GatewayError as failure:
        why = failure.error.message
        raise invalid(f"{where} is no answer in {dialect.name}: {why}", where) from None


def _media(
    call: Call, route: Route, target: Target, dialect: Dialect, lent: Lent
) -> tuple[Unshown, ...]:
    """Put lent files where fetched ones would be; those that live traffic would fetch."""
    if call.verb not in {"generate", "count_tokens"} or route.strict:
        return ()
    if not (lent.files or lent.fetches) or goes_unread(call, target, dialect):
        return ()
    missing: list[Unshown] = []
    for part in needed(call.request, dialect, target.model.traits):
        file = lent.files.get(part.url or "")
        if file is None:
            if lent.fetches:
                missing.append(Unshown(part.at, _FETCHED))
            continue
        if why := misfit(part, file):
            raise refused(part, why)
        call.media[part.url or ""] = file
    return tuple(missing)
