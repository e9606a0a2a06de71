"""The canonical request and response of a logged request, rebuilt from its stored bodies.

A body that was cut at the size limit is parsed as far as it goes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.dialects import with_path_fields
from console.pages.requests.translation import framings, translators_of, verb_of
from console.playground.partial_json import InvalidJson, parse_partial
from console.tracing.stream_timeline import parse_events
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import GatewayError
from gateway.canon.events import BlockEnd, BlockStart, End, Event, Failed
from gateway.canon.fold import ResponseBuilder
from gateway.canon.request import Request, Text, Turn
from gateway.canon.response import Finish, Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import Dialect
from gateway.framing.sse import Frame
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Bodies

Json = dict[str, Any]

# Fields with the list of messages in any dialect; a cut body loses its last items first.
_MESSAGE_FIELDS = ("messages", "input", "contents", "tools")
_MAX_DROPPED_ITEMS = 8
# What a cut body may lack although its dialect requires it.
_REQUIRED_FIELDS: dict[str, Json] = {"anthropic_messages": {"max_tokens": 1}}
_PARSE_ERRORS = (GatewayError, ValueError, KeyError, TypeError, AttributeError)


class LoggedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A logged request in canonical form: a conversation or inputs to embed.

    Attributes:
        request: the conversation; None if there is none or it cannot be parsed.
        embed: the inputs of an embeddings request.
        truncated: whether the log has only the beginning of the body.
        continues: the id of the earlier response that this request continues, if the earlier
            messages are not in it.
        problem: why nothing can be displayed; empty if something can.
    """

    request: Request | None = None
    embed: EmbedRequest | None = None
    truncated: bool = False
    continues: str = ""
    problem: str = ""


class LoggedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A logged response in canonical form.

    Attributes:
        response: the response, or as much of it as was received.
        embed: the vectors of an embeddings request.
        complete: whether it has its end.
    """

    response: Response | None = None
    embed: EmbedResponse | None = None
    complete: bool = True


def has_conversation(row: RequestLog) -> bool:
    """Whether the dialect of the row's client has messages or inputs."""
    dialect = DIALECTS.get(row.client_dialect)
    return dialect is not None and dialect.serves_clients and verb_of(row) != "passthrough"


# --- the request ----------------------------------------------------------------------------


def request_of(row: RequestLog, bodies: Bodies) -> LoggedRequest:
    """The client's request in canonical form, parsed from its stored body."""
    data, dialect = bodies.client_request, DIALECTS.get(row.client_dialect)
    if dialect is None or not data:
        return LoggedRequest(problem=_("The body of this request is not stored."))
    body, truncated = _decode_body(data)
    truncated = truncated or "client_request" in bodies.truncated
    if body is None:
        return LoggedRequest(problem=_("The body is not a JSON object."), truncated=truncated)
    body = with_path_fields(row.client_dialect, body, row.requested_model, stream=row.stream)
    if truncated:
        body = {"model": row.requested_model, **_REQUIRED_FIELDS.get(dialect.name, {}), **body}
    try:
        if verb_of(row) == "embed" and dialect.embed_client is not None:
            embed = dialect.embed_client.parse_embed(body)
            return LoggedRequest(embed=embed, truncated=truncated)
        return _parse_conversation(row, dialect, body, bodies.client_headers, truncated=truncated)
    except _PARSE_ERRORS as error:
        return LoggedRequest(
            problem=_problem_message(error, truncated=truncated), truncated=truncated
        )


def _decode_body(data: bytes) -> tuple[Json | None, bool]:
    """The body as an object, and whether it is only the beginning of one."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            body = parse_partial(data.decode("utf-8", "ignore")).value
        except (InvalidJson, RecursionError):
            return None, True
        return (body if isinstance(body, dict) else None), True
    return (body if isinstance(body, dict) else None), False


def _problem_message(error: Exception, *, truncated: bool) -> str:
    if truncated:
        return _("Only the beginning of the body is in the log, and it has no message.")
    reason = error.error.message if isinstance(error, GatewayError) else type(error).__name__
    return _("The messages cannot be displayed: %(reason)s") % {"reason": reason}


def _parse_conversation(
    row: RequestLog, dialect: Dialect, body: Json, headers: dict[str, str], *, truncated: bool
) -> LoggedRequest:
    if verb_of(row) == "count_tokens":
        headers = {**headers, "x-dragoman-verb": "count_tokens"}
    continues = str(body.get("previous_response_id") or "")
    if dialect.parse_continuation is not None:
        body = {name: value for name, value in body.items() if name != "previous_response_id"}
    prompts = _completion_prompts(body)
    if len(prompts) > 1:
        body = {**body, "prompt": prompts[0]}
    request = (
        _parse_beginning(dialect, body, headers)
        if truncated
        else dialect.client.parse_request(body, headers)
    )
    if len(prompts) > 1:
        turns = tuple(Turn(role="user", parts=(Text(text=prompt),)) for prompt in prompts)
        request = msgspec.structs.replace(request, turns=turns)
    return LoggedRequest(request=request, truncated=truncated, continues=continues)


def _completion_prompts(body: Json) -> list[str]:
    """The prompts of a Completions request with several of them."""
    prompts = body.get("prompt")
    return [p for p in prompts if isinstance(p, str)] if isinstance(prompts, list) else []


def _parse_beginning(dialect: Dialect, body: Json, headers: dict[str, str]) -> Request:
    """Parse a cut body without the incomplete items at its end. Raises GatewayError."""
    for _attempt in range(_MAX_DROPPED_ITEMS):
        try:
            return dialect.client.parse_request(body, headers)
        except _PARSE_ERRORS:
            # The last list in the body is the one that was cut.
            names = [name for name in body if name in _MESSAGE_FIELDS]
            if not names or not isinstance(body[names[-1]], list):
                raise
            items = body[names[-1]][:-1]
            body = {name: value for name, value in body.items() if name != names[-1]}
            body = {**body, names[-1]: items} if items else body
    return dialect.client.parse_request(body, headers)


# --- the response ---------------------------------------------------------------------------


def response_of(row: RequestLog, bodies: Bodies) -> LoggedResponse:
    """The response in canonical form: as the upstream sent it, else as the client received it."""
    translators = translators_of(row, bodies)
    upstream_framing, client_framing = framings(row, bodies)
    response = LoggedResponse()
    # Several upstream calls sent several responses; the client's is what they make together.
    is_combined = any(attempt.get("calls") for attempt in row.attempts)
    if translators is not None and bodies.upstream_response and not is_combined:
        dialect = translators.upstream_dialect
        response = _parse_response(
            row, bodies, dialect, translators.traits, bodies.upstream_response, upstream_framing
        )
    client = DIALECTS.get(row.client_dialect)
    if response == LoggedResponse() and client is not None and bodies.client_response:
        traits = Traits(model=row.requested_model)
        response = _parse_response(
            row, bodies, client, traits, bodies.client_response, client_framing
        )
    return response


def _parse_response(
    row: RequestLog,
    bodies: Bodies,
    dialect: Dialect,
    traits: Traits,
    data: bytes,
    framing: str,
) -> LoggedResponse:
    """A response in one dialect; empty if it is no response of it, such as an error."""
    chunks = bodies.upstream_chunks if data is bodies.upstream_response else bodies.client_chunks
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = None
    try:
        if verb_of(row) == "embed":
            if dialect.embed_provider is None:
                return LoggedResponse()
            return LoggedResponse(embed=dialect.embed_provider.parse_embed(body))
        if verb_of(row) == "count_tokens":
            return LoggedResponse()
        if isinstance(body, dict) and not _is_single_event(row, framing):
            return LoggedResponse(response=dialect.provider.parse_response(body, traits, None))
        parser = dialect.provider.stream_parser(traits, None)
        events: list[Event] = []
        for event in parse_events(data, chunks, framing):
            events += parser.feed(Frame(event.event_name, event.text.encode()))
        return _collect_stream([*events, *parser.close()])
    except _PARSE_ERRORS:
        return LoggedResponse()


def _is_single_event(row: RequestLog, framing: str) -> bool:
    """Whether one JSON object may be a stream of a single line."""
    return row.stream and framing == "ndjson"


def _collect_stream(events: list[Event]) -> LoggedResponse:
    """The response of a stream, which may have broken off within a block."""
    builder, is_open, complete = ResponseBuilder(), False, False
    for event in events:
        if isinstance(event, Failed):
            break
        builder.feed(event)
        is_open = isinstance(event, BlockStart) or (is_open and not isinstance(event, BlockEnd))
        complete = complete or isinstance(event, End)
    if is_open:
        builder.feed(BlockEnd())
    if not complete:
        builder.feed(End(Finish(reason="stop")))
    response = builder.close()
    return LoggedResponse(
        response=response if complete or response.parts else None, complete=complete
    )
