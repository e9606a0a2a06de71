"""The contract of a dialect: a client half we serve, a provider half we call.

Everything here is pure. A parser or renderer of a stream is an object with
`feed` (and `close`) that returns what is ready; it never reads or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error
from gateway.canon.events import Event
from gateway.canon.request import Document, Image, Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects.ending import Ending
from gateway.framing.sse import Frame

Verb = Literal["generate", "count_tokens", "embed", "forward"]
Framing = Literal["sse", "array", "ndjson", "eventstream"]


# A request's JSON, its headers and earlier answers by id -> the canonical request.
Resume = Callable[[dict[str, Any], Mapping[str, str], Mapping[str, Any]], Request]


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a provider's words.

    Attributes:
        body: the JSON to send.
        report: what could not be carried exactly.
        names: tool name sent -> tool name the client knows, where they differ.
        custom: names (as sent) of tools that the client declared as free-text tools.
        headers: headers that belong to this request (versions, betas), lower case.
    """

    body: dict[str, Any]
    report: tuple[Adaptation, ...] = ()
    names: dict[str, str] = {}
    custom: frozenset[str] = frozenset()
    headers: dict[str, str] = {}


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """What a client's renderer must know beside the answer itself.

    Attributes:
        id: the gateway's id for the answer, without a dialect's prefix (`msg_`, ...).
        created: unix seconds; a renderer has no clock.
        model: the name the client asked for, echoed back.
        include_usage: whether a Chat client asked for the usage chunk.
        thinking: how reasoning is shown to the client: `none`, `summary`, `raw`.
        reasoning_field: the Chat field that shows it: `reasoning_content`,
            `reasoning`, or `both`; `reasoning_details` adds each thought with its state
            to `reasoning`, for clients that send them back; `none` hides it.
        framing: how a stream is cut where a dialect knows several ways: `sse`, or the
            items of one JSON `array` (Gemini without `alt=sse`).
        endpoint: the name of the path the client called, for dialects that answer in
            different shapes on different paths.
        echo: settings of the request that the answer tells back.
    """

    id: str
    created: int
    model: str
    include_usage: bool = False
    thinking: Literal["none", "summary", "raw"] = "summary"
    reasoning_field: Literal[
        "reasoning_content", "reasoning", "both", "reasoning_details", "none"
    ] = "reasoning_content"
    framing: Framing = "sse"
    endpoint: str = ""
    echo: dict[str, Any] = {}


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """An error as a client sees it before any answer byte: status, headers, JSON body."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}


class StreamParser(Protocol):
    """A provider's stream -> canonical events."""

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes; empty for keep-alives and empty deltas."""

    def close(self) -> list[Event]:
        """What is still owed at the end of the bytes: End, or Failed for a cut stream."""


class StreamRenderer(Protocol):
    """Canonical events -> the bytes of a client's stream."""

    report: list[Adaptation]

    def feed(self, event: Event) -> bytes:
        """The bytes this event prints, terminator included after End; may be empty."""


class ClientHalf(Protocol):
    """What it takes to serve a dialect."""

    def parse_request(self, body: dict[str, Any], headers: Mapping[str, str]) -> Request:
        """The canonical request. Raises GatewayError naming the field at fault."""

    def render_response(
        self, response: Response, exchange: Exchange
    ) -> tuple[dict[str, Any], tuple[Adaptation, ...]]:
        """The answer's JSON and what it could not say."""

    def stream_renderer(self, exchange: Exchange) -> StreamRenderer:
        """A fresh renderer for one stream."""

    def render_error(self, error: Error, request_id: str) -> ErrorReply:
        """The error before the first byte of an answer."""

    def render_count(self, tokens: int) -> dict[str, Any]:
        """The JSON answer to a token count."""


class ProviderHalf(Protocol):
    """What it takes to call a provider that speaks a dialect."""

    def path(self, model: str, *, stream: bool, verb: Verb) -> str:
        """The path below the provider's base URL."""

    def render_request(self, request: Request, traits: Traits) -> Rendered:
        """The JSON to send and what it could not carry. Raises GatewayError."""

    def parse_response(self, body: Any, traits: Traits, rendered: Rendered | None) -> Response:
        """The canonical answer. Raises GatewayError for a shape that is no answer."""

    def stream_parser(self, traits: Traits, rendered: Rendered | None) -> StreamParser:
        """A fresh parser for one stream."""

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Error:
        """What the upstream's refusal means; headers have lower-case names."""

    def parse_count(self, body: Any) -> int:
        """The tokens in a count answer. Raises GatewayError."""


class EmbedClientHalf(Protocol):
    """What it takes to serve a dialect's embeddings."""

    def parse_embed(self, body: dict[str, Any]) -> EmbedRequest:
        """The canonical request. Raises GatewayError naming the field at fault."""

    def render_embed(
        self, response: EmbedResponse, request: EmbedRequest, exchange: Exchange
    ) -> dict[str, Any]:
        """The answer's JSON. Raises GatewayError for vectors that it can not write."""


class EmbedProviderHalf(Protocol):
    """What it takes to have a provider make embeddings."""

    def embed_path(self, model: str) -> str:
        """The path below the provider's base URL."""

    def render_embed(self, request: EmbedRequest, traits: Traits) -> Rendered:
        """The JSON to send and what it could not carry. Raises GatewayError."""

    def parse_embed(self, body: Any) -> EmbedResponse:
        """The vectors. Raises GatewayError for a shape that is no answer."""

    def glance_embed(self, data: bytes) -> EmbedResponse | None:
        """Model and counts of an answer that passes through; None to have it parsed."""


class JoinedAnswers(Protocol):
    """The streams of several answers, one after the other, as one stream."""

    def feed(self, place: int, data: bytes) -> bytes:
        """The bytes for the client of a piece of the answer at this place."""

    def close(self) -> bytes:
        """The end of all."""


class Several(msgspec.Struct, frozen=True):
    """How one request for several answers becomes several requests, and back.

    Attributes:
        split: a request's JSON -> those to send instead; empty for an ordinary one.
        joined: the JSON of the answers -> that of one.
        stream: makes what joins their streams.
    """

    split: Callable[[dict[str, Any]], list[dict[str, Any]]]
    joined: Callable[[list[dict[str, Any]]], dict[str, Any]]
    stream: Callable[[], JoinedAnswers]


def _unchecked(body: bytes) -> None:
    """Accept any body."""


def _no_glance(body: bytes) -> Response | None:
    """Have every answer parsed in full."""
    return None


def _needs_bytes(part: Image | Document, traits: Traits) -> bool:
    """Whether it is a picture, for a model that looks at pictures but opens no URLs."""
    return isinstance(part, Image) and traits.images and not traits.image_urls


def _same_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """Count what would be sent."""
    return body


def _no_ending(fields: Mapping[str, msgspec.Raw]) -> str:
    """See no last words."""
    return ""


def _no_echo(body: bytes) -> dict[str, Any]:
    """Tell nothing back."""
    return {}


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A registered wire format.

    Attributes:
        name: its key in DIALECTS, as the log and the API name it.
        keepalive: bytes that a client of this dialect ignores in an idle stream.
        client: the half we serve.
        provider: the half we call.
        check: raises GatewayError for a body that no upstream of this dialect could
            mean; for passthrough, where nobody else reads it.
        glance: the counts and finish of a whole answer that passes through, or None
            to have it parsed in full.
        model_in_path: whether the path names the model and says whether to stream; the
            relay then shows both to `parse_request` as `model` and `stream`, and keeps
            the model out of a body that passes through.
        visible: how reasoning is shown to a client that said nothing about it.
        count_body: a request's JSON and the upstream's model -> the JSON of a token
            count, where that is not the request itself.
        framing: how its streams are cut (`gateway.framing.kinds`).
        served: whether clients may speak it; else only providers do.
        streams: whether a client that says nothing of `stream` means one.
        passed_paths: the name of an endpoint -> the upstream's path for a request that
            passes through, where it is not the one of a chat.
        passed_only: the names of those of them that only pass through.
        resume: `parse_request` for a request that goes on from earlier answers, which are
            given by id, each with its own `input` (all that led to it) and `output`.
        echo: what an answer tells back of the request's body (`Exchange.echo`).
        embed_client, embed_provider: the two halves of its embeddings, where it has any.
        several: how a request for several answers is taken apart where a target gives
            one at a time; `parse_request` refuses it with the code `several`.
        idle: the answer to a request that asks for nothing, as some clients send it to
            have a model loaded; `parse_request` refuses it with the code `idle`.
        carries_state: whether its clients bring opaque state back, in places of its own;
            for others the gateway remembers it.
        needs_bytes: whether a target of these traits has no way to be given a picture or
            document by its URL, but could be given its bytes.
        replays_state: whether its reasoning models take their own thoughts back; else a
            model's traits say so (`replay_reasoning`).
        expects_thoughts: whether its clients are shown thoughts that they did not ask for,
            where the target gives any.
        ending: reads a request's last words from its outermost fields.
    """

    name: str
    keepalive: bytes
    client: ClientHalf
    provider: ProviderHalf
    check: Callable[[bytes], None] = _unchecked
    glance: Callable[[bytes], Response | None] = _no_glance
    model_in_path: bool = False
    visible: Literal["none", "summary", "raw"] = "summary"
    count_body: Callable[[dict[str, Any], str], dict[str, Any]] = _same_body
    framing: Framing = "sse"
    served: bool = True
    streams: bool = False
    passed_paths: dict[str, str] = {}
    passed_only: frozenset[str] = frozenset()
    resume: Resume | None = None
    echo: Callable[[bytes], dict[str, Any]] = _no_echo
    embed_client: EmbedClientHalf | None = None
    embed_provider: EmbedProviderHalf | None = None
    several: Several | None = None
    idle: Callable[[dict[str, Any], Exchange], dict[str, Any]] | None = None
    carries_state: bool = False
    replays_state: bool = False
    needs_bytes: Callable[[Image | Document, Traits], bool] = _needs_bytes
    expects_thoughts: bool = False
    ending: Ending = _no_ending
