"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.request import (
    NO_META,
    NO_SAMPLING,
    PLAIN_OUTPUT,
    Meta,
    Output,
    Request,
    Sampling,
)
from gateway.canon.traits import Traits
from gateway.dialects.anthropic_messages.blocks import parse_cache_control, parse_system
from gateway.dialects.anthropic_messages.context import (
    FIELD_PATHS,
    NAME,
    NESTED_OBJECTS,
    VERSION,
    Json,
    RenderContext,
    render_cache_control,
)
from gateway.dialects.anthropic_messages.known_fields import KNOWN_FIELDS
from gateway.dialects.anthropic_messages.messages import parse_turns, render_messages, render_system
from gateway.dialects.anthropic_messages.reasoning import (
    parse_reasoning_config,
    render_reasoning_config,
)
from gateway.dialects.anthropic_messages.threads import FIELD as THREAD
from gateway.dialects.anthropic_messages.threads import PREVIOUS_MESSAGE
from gateway.dialects.anthropic_messages.tools import (
    parse_tool_choice,
    parse_tools,
    render_history_tools,
    render_tools,
)
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.shared import mcp
from gateway.dialects.shared.claude import MAX_CACHE_BREAKPOINTS
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    enum_value,
    integer,
    mapping,
    number,
    passthrough_checker,
    required_mapping,
    required_text,
    strings,
    text,
)
from gateway.dialects.shared.known_fields import unread_fields
from gateway.dialects.shared.render_context import UNLIMITED_TOP_K, check_supported

# --- a client's request ---------------------------------------------------------------------------

_SAMPLING_FIELDS = frozenset({"temperature", "top_p", "top_k", "stop_sequences"})
_META_FIELDS = frozenset({"service_tier", "metadata"})
_PARSED_FIELDS = (
    _SAMPLING_FIELDS
    | _META_FIELDS
    | {
        "model",
        "max_tokens",
        "messages",
        "system",
        "stream",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "cache_control",
    }
)
_PARSED_OUTPUT_CONFIG = frozenset({"effort", "format"})
# They request nothing: clients send an empty `mcp_servers`.
_EMPTY_VALUES: tuple[Any, ...] = (None, [], {})
# The relay passes the verb in a header, as dialects do not see the path.
_VERB_HEADER = "x-dragoman-verb"


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra = {
        key: value
        for key, value in body.items()
        if key not in _PARSED_FIELDS and value not in _EMPTY_VALUES
    }
    field_paths = dict(FIELD_PATHS)
    output = PLAIN_OUTPUT
    if "output_config" in body or "output_format" in body:
        output = parse_output_format(body, field_paths)
        config = mapping(body, "output_config") or {}
        extra |= {
            f"output_config.{k}": v
            for k, v in config.items()
            if k not in _PARSED_OUTPUT_CONFIG and v is not None
        }
    turns = parse_turns(body, extra)
    has_thinking = "thinking" in body or "output_config" in body
    return Request(
        model=required_text(body, "model"),
        stream=boolean(body, "stream") or False,
        instructions=parse_system(body["system"], "system", extra) if "system" in body else (),
        turns=turns,
        tools=parse_tools(body, turns) if "tools" in body else (),
        tool_choice=parse_tool_choice(body) if "tool_choice" in body else None,
        output=output,
        reasoning=parse_reasoning_config(body, extra) if has_thinking else None,
        max_output=_parse_max_output(body, counting=headers.get(_VERB_HEADER) == "count_tokens"),
        sampling=NO_SAMPLING if _SAMPLING_FIELDS.isdisjoint(body) else _parse_sampling(body),
        meta=NO_META if _META_FIELDS.isdisjoint(body) else _parse_meta(body, extra),
        cache=parse_cache_control(body),
        version=headers.get("anthropic-version") or VERSION,
        betas=_parse_betas(headers),
        # After the parsers above, which add to it.
        extra=({NAME: extra} if extra else {}) | unread_fields(body, KNOWN_FIELDS),
        client_paths=field_paths,
    )


def _parse_max_output(body: Json, *, counting: bool) -> int | None:
    max_tokens = integer(body, "max_tokens", minimum=0, maximum=MAX_TOKENS)
    if max_tokens is None and not counting:
        raise invalid("max_tokens is required and must be a whole number", "max_tokens")
    return max_tokens


def _parse_sampling(body: Json) -> Sampling:
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k"),
        stop=strings(body, "stop_sequences"),
    )


def _parse_meta(body: Json, extra: Json) -> Meta:
    tier = enum_value(body, "service_tier", ("auto", "standard_only"))
    metadata = mapping(body, "metadata") or {}
    extra |= {f"metadata.{k}": v for k, v in metadata.items() if k != "user_id" and v is not None}
    user_id = text(metadata, "user_id", "metadata")
    return Meta(
        user_id=user_id,
        session_key=_parse_session_id(user_id),
        # `auto` equals an absent field.
        service_tier="default" if tier == "standard_only" else None,
    )


def _parse_session_id(user_id: str | None) -> str | None:
    """The session that Claude Code puts into `user_id`, a JSON object in a string."""
    if user_id is None or not user_id.startswith("{"):
        return None
    try:
        user_object: Any = msgspec.json.decode(user_id)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    session_id = user_object.get("session_id") if isinstance(user_object, dict) else None
    return session_id if isinstance(session_id, str) and session_id else None


def _parse_betas(headers: Mapping[str, str]) -> tuple[str, ...]:
    header = headers.get("anthropic-beta")
    if not header:
        return ()
    return tuple(beta for item in header.split(",") if (beta := item.strip()))


# --- a provider's request -------------------------------------------------------------------------

_MAX_USER_ID_LENGTH = 256
_FILES_BETA = "files-api-2025-04-14"
# Sampling fields that this dialect does not have.
_UNSUPPORTED_SAMPLING = (
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError."""
    check_supported(request, "Anthropic models return one choice per request")
    context = RenderContext(request, traits)
    max_tokens = request.max_output
    if max_tokens is None:
        max_tokens = context.default_max_tokens
    if traits.max_output is not None:
        max_tokens = min(max_tokens, traits.max_output)
    body: Json = {"model": traits.model or request.model, "max_tokens": max_tokens}
    if request.stream:
        body["stream"] = True
    if request.tools or request.tool_choice is not None:
        render_tools(context, body)
    system = render_system(context) if context.request.instructions else []
    body["messages"] = render_messages(context, system)
    if context.sent_names and "tools" not in body:
        render_history_tools(context, body)
    if request.output != PLAIN_OUTPUT:
        render_output_format(context, body)
    system += [{"type": "text", "text": hint} for hint in context.hints]
    if system:
        body["system"] = system
    if request.reasoning is not None or context.effort_override is not None:
        render_reasoning_config(context, body)
    if request.sampling != NO_SAMPLING:
        _render_sampling(context, body)
    if max_tokens != request.max_output:
        _report_max_tokens(context, body)
    if request.meta != NO_META:
        _render_metadata(context, body)
    if request.extra or request.cache is not None:
        _render_extra_fields(context, body)
    if context.blocks_with_breakpoint:
        context.limit_cache_breakpoints(MAX_CACHE_BREAKPOINTS - ("cache_control" in body))
    return context.finish(body, custom_tools=True, headers=_request_headers(context, body))


def _request_headers(context: RenderContext, body: Json) -> dict[str, str]:
    request = context.request
    uses_older_version = (
        context.requires_older_version
        or "temperature" in body
        or "top_p" in body
        or "top_k" in body
    )
    version = VERSION if uses_older_version else request.version or context.traits.anthropic_version
    headers = {"anthropic-version": version}
    betas = dict.fromkeys(request.betas)
    if _refers_to_file(body["messages"]):
        betas[_FILES_BETA] = None
    if mcp.SERVERS in body and not any(beta.startswith("mcp-client-") for beta in betas):
        betas[mcp.BETA] = None
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    return headers


def _refers_to_file(messages: list[Json]) -> bool:
    """Whether a block of the messages is a file that the provider stores."""
    for message in messages:
        for block in message["content"]:
            if "source" in block:
                source = block["source"]
                if isinstance(source, dict) and source.get("type") == "file":
                    return True
    return False


# --- the output limit -----------------------------------------------------------------------------


def _report_max_tokens(context: RenderContext, body: Json) -> None:
    requested_tokens, sent_tokens = context.request.max_output, body["max_tokens"]
    if requested_tokens is None:
        context.default(
            "max_tokens",
            f"required by the upstream; set to the route's default of {sent_tokens}",
            after=sent_tokens,
        )
    else:
        reason = f"{requested_tokens} clamped to the model's output limit of {sent_tokens}"
        context.approximate(
            context.request.client_path("max_output"),
            reason,
            before=requested_tokens,
            after=sent_tokens,
        )


# --- sampling -------------------------------------------------------------------------------------


def _render_sampling(context: RenderContext, body: Json) -> None:
    _render_temperature_and_top_p(context, body)
    sampling, request = context.request.sampling, context.request
    for name in _UNSUPPORTED_SAMPLING:
        value = getattr(sampling, name)
        # A penalty of 0 is none at all; a seed of 0 is a seed.
        if value or (name == "seed" and value is not None):
            context.drop(request.client_path(name), "no equivalent")
    _render_stop(context, body)


def _render_temperature_and_top_p(context: RenderContext, body: Json) -> None:
    """Temperature, top_p and top_k, if the model accepts them."""
    sampling = context.request.sampling
    sampling_values = {name: getattr(sampling, name) for name in ("temperature", "top_p", "top_k")}
    sampling_values = {name: value for name, value in sampling_values.items() if value is not None}
    if not context.traits.sampling:
        for name in sampling_values:
            context.drop(
                context.request.client_path(name), f"{context.model} rejects sampling parameters"
            )
        return
    if body.get("thinking", {}).get("type") in {"adaptive", "enabled"}:
        _render_top_p_with_thinking(context, body, sampling_values)
        return
    if (temperature := sampling_values.get("temperature")) is not None:
        body["temperature"] = context.clamp_temperature(temperature)
    if "top_p" in sampling_values:
        if "temperature" in sampling_values:
            context.drop(
                context.request.client_path("top_p"), "cannot be combined with temperature"
            )
        else:
            body["top_p"] = sampling_values["top_p"]
    if "top_k" in sampling_values:
        _render_top_k(context, body, sampling_values["top_k"])


def _render_top_p_with_thinking(context: RenderContext, body: Json, sampling_values: Json) -> None:
    """With thinking, the API accepts only temperature 1 and a large top_p."""
    for name, value in sampling_values.items():
        if name == "top_p" and value >= 0.95:
            body["top_p"] = value
        elif not (name == "temperature" and value == 1):
            context.drop(context.request.client_path(name), "cannot be combined with thinking")


def _render_top_k(context: RenderContext, body: Json, top_k: int) -> None:
    if context.traits.top_k and top_k >= 0:
        body["top_k"] = top_k
    else:
        reason = UNLIMITED_TOP_K if context.traits.top_k else "no equivalent"
        context.drop(context.request.client_path("top_k"), reason)


def _render_stop(context: RenderContext, body: Json) -> None:
    stop_sequences = context.request.sampling.stop
    accepted_stops = [text for text in stop_sequences if text and not text.isspace()]
    if len(accepted_stops) < len(stop_sequences):
        reason = "whitespace-only stop sequences are not accepted upstream"
        context.drop(context.request.client_path("stop"), reason)
    if sent_stops := context.limit_stop_sequences(accepted_stops):
        body["stop_sequences"] = sent_stops


# --- metadata and extra fields --------------------------------------------------------------------


def _render_metadata(context: RenderContext, body: Json) -> None:
    meta = context.request.meta
    if meta.user_id is not None:
        _render_user_id(context, body, meta.user_id)
    context.drop_metadata("session_key", "metadata", "store")
    if meta.service_tier is not None:
        _render_service_tier(context, body, meta.service_tier)


def _render_user_id(context: RenderContext, body: Json, user_id: str) -> None:
    path = context.request.client_path("user_id")
    if context.traits.user_field == "none":
        context.drop(path, "no equivalent")
        return
    if len(user_id) > _MAX_USER_ID_LENGTH:
        digest = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
        context.approximate(path, f"longer than {_MAX_USER_ID_LENGTH} characters: its hash is sent")
        user_id = f"sha256:{digest}"
    body["metadata"] = {"user_id": user_id}


def _render_service_tier(context: RenderContext, body: Json, tier: str) -> None:
    path = context.request.client_path("service_tier")
    if not context.traits.service_tier:
        context.drop(path, "no equivalent")
    elif tier == "default":
        body["service_tier"] = "standard_only"
    elif tier == "priority":
        body["service_tier"] = "auto"
        context.approximate(
            path, "priority only while capacity is available", before=tier, after="auto"
        )
    elif tier != "auto":
        context.drop(path, "no equivalent")


def _render_extra_fields(context: RenderContext, body: Json) -> None:
    """Render fields without a canonical equivalent for this dialect; report those of others."""
    request = context.request
    if request.cache is not None:
        if context.traits.cache == "cache_control":
            body["cache_control"] = render_cache_control(request.cache)
        else:
            context.drop_cache_marks(request.cache)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if key == THREAD and not context.traits.message_threads:
                context.drop(key, "the provider does not store conversations")
            elif dialect != NAME or not _set_extra_field(body, key, value):
                context.drop(key, "no equivalent")


def _set_extra_field(body: Json, key: str, value: object) -> bool:
    """Set a field by its path; False for a field inside a message."""
    parent, _, child = key.partition(".")
    if child and parent in NESTED_OBJECTS:
        # A value set by this module stays; `thinking` exists only if it is enabled.
        if parent != "thinking":
            body.setdefault(parent, {}).setdefault(child, value)
        return parent != "thinking" or body.get("thinking", {}).get(child) == value
    if "[" in key:
        return False
    body.setdefault(key, value)
    return True


# --- output formats, both ways --------------------------------------------------------------------


def parse_output_format(body: Json, field_paths: dict[str, str]) -> Output:
    """The schema of the response, in `output_config` or the older `output_format`."""
    config = mapping(body, "output_config") or {}
    output_format, path = mapping(config, "format", "output_config"), "output_config.format"
    if output_format is None:
        output_format, path = mapping(body, "output_format"), "output_format"
    if output_format is None:
        return Output()
    format_type = text(output_format, "type", path)
    if format_type != "json_schema":
        raise invalid(f"{path}.type must be 'json_schema'", f"{path}.type")
    field_paths |= {"format": path, "schema": f"{path}.schema"}
    return Output(format="schema", schema=required_mapping(output_format, "schema", path))


def render_output_format(context: RenderContext, body: Json) -> None:
    """Render the output format into the body, or as a hint if it cannot be enforced."""
    output, request = context.request.output, context.request
    if output.format == "schema" and output.schema is not None:
        schema = context.enforceable_schema(output.schema, "Anthropic cannot enforce this schema")
        if schema is not None:
            if output.description is not None:
                schema.setdefault("description", output.description)
            output_format = {"type": "json_schema", "schema": schema}
            body.setdefault("output_config", {})["format"] = output_format
    elif output.format != "text":
        context.add_json_hint()
    if output.name is not None:
        context.drop(request.client_path("name"), "no equivalent")
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")


# --- the schema of a request that passes through --------------------------------------------------

_TokenCount = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_SamplingNumber = Annotated[float, msgspec.Meta(ge=0, le=1000)]


class Message(msgspec.Struct):
    """One message of the history."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]


class PassthroughSchema(msgspec.Struct, kw_only=True):
    """The fields whose types are fixed; token counts come without `max_tokens`."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    max_tokens: _TokenCount | None = None
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    stop_sequences: list[str] | None = None
    temperature: _SamplingNumber | None = None
    top_p: _SamplingNumber | None = None
    top_k: _TokenCount | None = None


class ThreadPassthroughSchema(PassthroughSchema, kw_only=True):
    """The fields of a request that continues a thread: after `pause_turn` without a new message."""

    messages: list[Message]


_check_whole_conversation = passthrough_checker(PassthroughSchema)
_check_thread_turn = passthrough_checker(ThreadPassthroughSchema)


def check_passthrough(body: bytes) -> None:
    """Raises GatewayError naming the first field with an invalid value."""
    if PREVIOUS_MESSAGE in body:
        _check_thread_turn(body)
    else:
        _check_whole_conversation(body)


# --- paths and token counts -----------------------------------------------------------------------


# The fields that a token count accepts; the API rejects the others.
_COUNTED_FIELDS = frozenset(
    {
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "context_management",
        "mcp_servers",
    }
)


def token_count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The part of a request that is counted."""
    return {name: value for name, value in body.items() if name in _COUNTED_FIELDS}


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    return "/v1/messages/count_tokens" if verb == "count_tokens" else "/v1/messages"
