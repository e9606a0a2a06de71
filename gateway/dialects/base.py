"""The contract of a dialect: a record of functions for its clients, one for its providers.

Everything here is pure. A stream parser or renderer is an object with `feed` (and
`close`) that returns what is ready; it performs no input or output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec

from gateway.canon.adaptation import Adaptation
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error
from gateway.canon.events import Event
from gateway.canon.request import Document, Image, Request
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.framing.sse import Frame

Verb = Literal["generate", "count_tokens", "embed", "passthrough"]
Framing = Literal[
    "sse", "array", "ndjson", "eventstream", "whole_calls", "thinking_chunks", "api_v1", "invoke"
]
# Chat streams that have all tool calls in one event.
WHOLE_CALL_FRAMINGS = frozenset({"whole_calls", "thinking_chunks"})


# Top-level fields of a request -> its last user text; empty where it is not unambiguous.
LastUserText = Callable[[Mapping[str, msgspec.Raw]], str]
# Top-level fields of a body, the target's traits -> the fields to send, and a report.
PassthroughEdit = Callable[
    [dict[str, msgspec.Raw], Traits], tuple[dict[str, msgspec.Raw], tuple[Adaptation, ...]]
]
# A request's JSON, its headers, earlier responses by id -> the canonical request.
ParseContinuation = Callable[[dict[str, Any], Mapping[str, str], Mapping[str, Any]], Request]


class RenderedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a provider's format.

    Attributes:
        body: the JSON to send.
        report: what could not be translated exactly.
        client_names: tool name sent -> the client's tool name, where they differ.
        custom_tools: names (as sent) of tools that the client declared as free-text tools.
        headers: headers that this request needs (versions, betas), lower case.
    """

    body: dict[str, Any]
    report: tuple[Adaptation, ...] = ()
    client_names: dict[str, str] = {}
    custom_tools: frozenset[str] = frozenset()
    headers: dict[str, str] = {}


def _zero_elapsed_ms() -> int:
    """Report that no time has elapsed, for a context without a clock."""
    return 0


class ResponseContext(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about a call that a client's renderer needs besides the response.

    Attributes:
        id: the gateway's id for the response, without a dialect's prefix (`msg_`, ...).
        created: unix seconds; a renderer has no clock.
        model: the model name the client requested, echoed back.
        include_usage: whether a Chat client requested the usage chunk.
        reasoning_display: how the client sees reasoning: `none`, `summary`, `raw`.
        reasoning_field: the Chat field that carries it: `reasoning_content`,
            `reasoning`, or `both`; `reasoning_details` adds each reasoning part with its
            state to `reasoning`, for clients that send them back; `thinking`: chunks of the
            content; `none` hides it.
        framing: how the stream is framed where a dialect has several forms: `sse`, the
            elements of one JSON `array` (Gemini without `alt=sse`), `whole_calls`: Chat with
            all tool calls in one event and the usage in the last one, `thinking_chunks`: the
            same with reasoning in chunks of the content, or `api_v1`: Chat as
            OpenRouter sends it (its paths start with `/api/v1`), with the field `reasoning`,
            always with the usage, and with errors in its form. `invoke`: Messages of Amazon
            Bedrock's InvokeModel, whose events the edge encodes.
        endpoint: the name of the path the client called, for dialects whose responses
            differ by path.
        echoed_fields: settings of the request that the response repeats.
        prompt_tokens_estimate: for a dialect that reports prompt tokens before the upstream
            has counted them (`Dialect.reports_early_usage`).
        elapsed_ms: the milliseconds since the request was received.
    """

    id: str
    created: int
    model: str
    include_usage: bool = False
    reasoning_display: Literal["none", "summary", "raw"] = "summary"
    reasoning_field: Literal[
        "reasoning_content", "reasoning", "both", "reasoning_details", "thinking", "none"
    ] = "reasoning_content"
    framing: Framing = "sse"
    endpoint: str = ""
    echoed_fields: dict[str, Any] = {}
    prompt_tokens_estimate: int | None = None
    elapsed_ms: Callable[[], int] = _zero_elapsed_ms


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """An error sent before the first byte of a response: status, headers, JSON body."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}


class StreamParser(Protocol):
    """A provider's stream -> canonical events."""

    def feed(self, frame: Frame) -> list[Event]:
        """The events this frame completes; empty for keep-alives and empty deltas."""

    def close(self) -> list[Event]:
        """The final events at the end of the bytes: End, or Failed for a truncated stream."""


@runtime_checkable
class ChoicesParser(StreamParser, Protocol):
    """The parser of a dialect whose streams may contain several choices."""

    @property
    def alternatives(self) -> Sized:
        """The choices that have begun besides the first one."""


class StreamRenderer(Protocol):
    """Canonical events -> the bytes of a client's stream."""

    @property
    def report(self) -> list[Adaptation]:
        """Adaptations so far: what could not be expressed."""

    def feed(self, event: Event) -> bytes:
        """The bytes for this event, with the terminator after End; may be empty."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Serves clients of a dialect.

    Attributes:
        parse_request: a body and its headers -> the canonical request. Raises GatewayError
            naming the field at fault.
        render_response: the response's JSON and what it could not express.
        stream_renderer: a new renderer for one stream.
        render_error: an error and the gateway's request id -> the error response; only
            possible before the first byte of a response.
        render_api_v1_error: the same for clients of OpenRouter (framing `api_v1`); None for
            dialects that they do not use.
        render_count: the JSON response to a token count.
        choice_renderer: a new renderer for the further choice with this index of a stream, whose
            chunks may come between those of other choices; None if they cannot.
        render_passed_failure: an error, and the first and the last bytes sent of a stream that
            was passed through -> the event that ends it, empty if they are no such stream. None
            if a new renderer's event needs neither.
        context_length_markers: the texts in an error body by which clients recognize a request
            that exceeds the context; empty if they do not.
    """

    parse_request: Callable[[dict[str, Any], Mapping[str, str]], Request]
    render_response: Callable[
        [Response, ResponseContext], tuple[dict[str, Any], tuple[Adaptation, ...]]
    ]
    stream_renderer: Callable[[ResponseContext], StreamRenderer]
    render_error: Callable[[Error, str], ErrorReply]
    render_count: Callable[[int], dict[str, Any]]
    render_api_v1_error: Callable[[Error, str], ErrorReply] | None = None
    choice_renderer: Callable[[ResponseContext, int], StreamRenderer] | None = None
    render_passed_failure: Callable[[Error, bytes, bytes], bytes] | None = None
    context_length_markers: tuple[bytes, ...] = ()


class ProviderPath(Protocol):
    """A function that returns the path of a call below the provider's base URL."""

    def __call__(self, model: str, *, stream: bool, verb: Verb) -> str:
        """The path for a model and a verb."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Calls providers of a dialect.

    Attributes:
        path: the path below the provider's base URL.
        render_request: the JSON to send and what it could not express. Raises GatewayError.
        parse_response: a body, the target's traits and the request, if known -> the canonical
            response. Raises GatewayError for a body that is no response.
        stream_parser: a new parser for one stream.
        parse_error: status, headers (names in lower case) and body of an error response ->
            the canonical error.
        parse_count: the tokens in a response to a token count. Raises GatewayError.
    """

    path: ProviderPath
    render_request: Callable[[Request, Traits], RenderedRequest]
    parse_response: Callable[[Any, Traits, RenderedRequest | None], Response]
    stream_parser: Callable[[Traits, RenderedRequest | None], StreamParser]
    parse_error: Callable[[int, Mapping[str, str], bytes], Error]
    parse_count: Callable[[Any], int]


class EmbedClient(msgspec.Struct, frozen=True, kw_only=True):
    """Serves embeddings to clients of a dialect.

    Attributes:
        parse_embed: the canonical request. Raises GatewayError naming the field at fault.
        render_embed: the response's JSON. Raises GatewayError for vectors that it cannot encode.
    """

    parse_embed: Callable[[dict[str, Any]], EmbedRequest]
    render_embed: Callable[[EmbedResponse, EmbedRequest, ResponseContext], dict[str, Any]]


def _peek_no_embed_usage(data: bytes) -> EmbedResponse | None:
    """Return None, so that every response is parsed in full."""
    return None


class EmbedProvider(msgspec.Struct, frozen=True, kw_only=True):
    """Calls providers of a dialect for embeddings.

    Attributes:
        embed_path: a model's name -> the path below the provider's base URL.
        render_embed: the JSON to send and what it could not express. Raises GatewayError.
        parse_embed: the vectors. Raises GatewayError for a body that is no response.
        peek_embed_usage: model and usage of a passthrough response; None if it must be
            parsed in full.
    """

    embed_path: Callable[[str], str]
    render_embed: Callable[[EmbedRequest, Traits], RenderedRequest]
    parse_embed: Callable[[Any], EmbedResponse]
    peek_embed_usage: Callable[[bytes], EmbedResponse | None] = _peek_no_embed_usage


class MergedStream(Protocol):
    """Merges the consecutive streams of a split request into one stream."""

    def feed(self, index: int, chunk: bytes) -> bytes:
        """The bytes for the client of a chunk of the response with this index."""

    def close(self) -> bytes:
        """The bytes that end the merged stream."""


class SplitPlan(msgspec.Struct, frozen=True):
    """A request with several prompts becomes one request each; the responses are merged.

    Attributes:
        requests: the top-level fields of the requests to send instead.
        merge_responses: the JSON of the responses -> the JSON of one response.
        new_stream: creates the merger for their streams.
    """

    requests: list[dict[str, msgspec.Raw]]
    merge_responses: Callable[[list[dict[str, Any]]], dict[str, Any]]
    new_stream: Callable[[], MergedStream]


class IdlePlan(msgspec.Struct, frozen=True):
    """A request without input, which some clients send to have a model loaded.

    Attributes:
        render: the JSON of its response, which needs no target.
    """

    render: Callable[[ResponseContext], dict[str, Any]]


# What to do instead of one call of a target that cannot be sent the request itself.
RequestPlan = SplitPlan | IdlePlan


def _accept_any_body(body: bytes) -> None:
    """Accept any body."""


def _peek_no_usage(body: bytes) -> Response | None:
    """Return None, so that every response is parsed in full."""
    return None


def _is_url_only_image(part: Image | Document, traits: Traits) -> bool:
    """Whether the part is an image URL, for a model that accepts images but not image URLs."""
    return isinstance(part, Image) and traits.images and not traits.image_urls


def _unchanged_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """Return the body unchanged: tokens are counted for the request's own body."""
    return body


def _empty_user_text(fields: Mapping[str, msgspec.Raw]) -> str:
    """Return an empty text: the dialect's last user text cannot be read."""
    return ""


def _echo_no_fields(body: bytes) -> dict[str, Any]:
    """Return no fields: responses of the dialect repeat none."""
    return {}


class PromptFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request body has messages and parameters, for stored prompts.

    Attributes:
        messages: the field with the list of messages.
        system: the field for system messages; empty if they are in the list.
        assistant_role: the role of the model's messages.
        uses_parts: whether contents are objects with `parts`, as Gemini's.
        reference_field: the field by which the format itself refers to a stored prompt.
        foreign_id_prefix: ids in that field with this prefix are resolved by the provider.
        excluded_fields: a body with one of these has no messages.
        parameters_object: the object that contains the parameters; empty for the body.
        parameters: name of a parameter -> its names in the format, the one to write first.
    """

    messages: str = "messages"
    system: str = ""
    assistant_role: str = "assistant"
    uses_parts: bool = False
    reference_field: str = ""
    foreign_id_prefix: str = ""
    excluded_fields: frozenset[str] = frozenset()
    parameters_object: str = ""
    parameters: dict[str, tuple[str, ...]]


_NO_PROMPTS = PromptFormat(messages="", parameters={})


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A registered wire format.

    Attributes:
        name: its key in DIALECTS, as in the log and the API.
        keepalive: bytes that a client of this dialect ignores in an idle stream.
        client: serves its clients.
        provider: calls its providers.
        check_passthrough: raises GatewayError for a body that no upstream of this dialect
            accepts; for passthrough, where nothing else validates it.
        peek_usage: usage and finish reason of a complete passthrough response, or None if
            it must be parsed in full.
        model_in_path: whether the path names the model and says whether to stream; the
            relay then passes both to `parse_request` as `model` and `stream`, and keeps
            the model out of a passthrough body.
        default_reasoning_display: how a client sees reasoning unless it chooses otherwise.
        token_count_body: a request's JSON and the upstream's model -> the JSON of a token
            count, where that is not the request itself.
        framing: how its streams are framed (`gateway.framing.formats`).
        prompt_format: where stored prompts are inserted; without `messages`, they cannot be.
        serves_clients: whether clients may use it; else only providers do.
        translated_fields: a body with one of these is never passed through.
        streams_by_default: whether a request without `stream` gets a streamed response.
        passthrough_paths: endpoint name -> the upstream's path of a passthrough request,
            where it differs from the path of a chat request.
        passthrough_only: names of the endpoints that are never translated.
        parse_continuation: `parse_request` for a request that continues earlier responses,
            which are passed by id, each with its own `input` (the conversation before it)
            and `output`.
        read_echo: the fields of a request body that its response repeats
            (`ResponseContext.echoed_fields`).
        reports_early_usage: whether a stream starts with the prompt's tokens.
        embed_client, embed_provider: `client` and `provider` for embeddings; None without any.
        plan_request: the plan for a request, by its top-level fields, that is not one
            generation for a target that needs it translated; None for all others.
        carries_reasoning_state: whether its clients send opaque reasoning state back in
            fields made for it; for others the gateway stores it.
        may_omit_thoughts: whether such clients may still leave out the reasoning itself, with
            the state on it: then the gateway stores that of other dialects' providers.
        needs_inline_media: whether a target with these traits cannot fetch an image or
            document by its URL, but accepts its bytes.
        replays_reasoning: whether its reasoning models accept their earlier reasoning; else
            a model's traits say so (`replay_reasoning`).
        expects_reasoning: whether its clients are sent reasoning that they did not request,
            where the target returns any.
        last_user_text: reads the last user text from a request's top-level fields.
        inline_files: the fields of a passthrough body, with text files inlined as text for
            a target that accepts no files.
        fit_passed_tools: the fields of a passthrough body without tool fields that the target
            is known not to have.
        replace_state_tokens: the fields of a passthrough body, each state token of the
            gateway replaced by the target's own state or dropped, and a report of the
            drops; None where a body with tokens is translated instead.
        returns_choices: whether its providers return several choices of one request (`n`):
            `never`, only for a `passthrough` body, or `always`, as far as the traits say so.
        output_limits: paths of a request's fields that limit its output; the highest one counts.
        drop_reasoning_state: the fields of a passthrough body without any reasoning state,
            after the upstream refused it, and a report of the drops; None, or the same
            fields, where the request is translated instead.
    """

    name: str
    keepalive: bytes
    client: Client
    provider: Provider
    check_passthrough: Callable[[bytes], None] = _accept_any_body
    peek_usage: Callable[[bytes], Response | None] = _peek_no_usage
    model_in_path: bool = False
    default_reasoning_display: Literal["none", "summary", "raw"] = "summary"
    token_count_body: Callable[[dict[str, Any], str], dict[str, Any]] = _unchanged_body
    framing: Framing = "sse"
    prompt_format: PromptFormat = _NO_PROMPTS
    serves_clients: bool = True
    translated_fields: frozenset[str] = frozenset()
    streams_by_default: bool = False
    passthrough_paths: dict[str, str] = {}
    passthrough_only: frozenset[str] = frozenset()
    parse_continuation: ParseContinuation | None = None
    read_echo: Callable[[bytes], dict[str, Any]] = _echo_no_fields
    reports_early_usage: bool = False
    embed_client: EmbedClient | None = None
    embed_provider: EmbedProvider | None = None
    plan_request: Callable[[Mapping[str, msgspec.Raw]], RequestPlan | None] | None = None
    carries_reasoning_state: bool = False
    may_omit_thoughts: bool = False
    replays_reasoning: bool = False
    needs_inline_media: Callable[[Image | Document, Traits], bool] = _is_url_only_image
    expects_reasoning: bool = False
    last_user_text: LastUserText = _empty_user_text
    inline_files: PassthroughEdit | None = None
    fit_passed_tools: PassthroughEdit | None = None
    returns_choices: Literal["never", "passthrough", "always"] = "never"
    replace_state_tokens: PassthroughEdit | None = None
    output_limits: tuple[tuple[str, ...], ...] = ()
    drop_reasoning_state: PassthroughEdit | None = None
