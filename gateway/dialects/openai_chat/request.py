"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from gateway.canon.errors import invalid
from gateway.canon.json_values import dict_items
from gateway.canon.logprobs import NOT_TRANSLATABLE, accepts_logprobs
from gateway.canon.naming import shorten_user_id
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
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.openai_chat.context import (
    ChatRenderContext,
    cache_control,
    parse_cache_breakpoint,
)
from gateway.dialects.openai_chat.known_fields import KNOWN_FIELDS
from gateway.dialects.openai_chat.messages import parse_messages, render_messages
from gateway.dialects.openai_chat.parts import NAME, Json
from gateway.dialects.openai_chat.reasoning import parse_reasoning_config, render_reasoning_config
from gateway.dialects.openai_chat.tools import parse_tool_choice, parse_tools, render_tools
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    enum_value,
    integer,
    logit_bias,
    mapping,
    number,
    passthrough_checker,
    required_mapping,
    required_text,
    strings,
    text,
)
from gateway.dialects.shared.known_fields import unread_fields
from gateway.dialects.shared.openai_schema import (
    accepts_output_schema,
    format_hint,
    mentions_json,
    output_schema_fields,
)

# --- a client's request ---------------------------------------------------------------------------

_SAMPLING_FIELDS = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "seed", "random_seed", "stop", "n"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty"),
        *("logprobs", "top_logprobs", "logit_bias"),
    }
)
_META_FIELDS = frozenset(
    {"safety_identifier", "user", "prompt_cache_key", "metadata", "service_tier", "store"}
)
_REASONING_FIELDS = frozenset({"thinking", "reasoning", "reasoning_effort", "include_reasoning"})
_TOOL_FIELDS = frozenset(
    {
        *("tools", "functions", "web_search_options"),
        *("tool_choice", "function_call", "parallel_tool_calls"),
    }
)
_CALL_FIELDS = frozenset({"tool_calls", "function_call"})
_PARSED_FIELDS = (
    _SAMPLING_FIELDS
    | _META_FIELDS
    | _REASONING_FIELDS
    | _TOOL_FIELDS
    | {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_completion_tokens",
        "max_tokens",
        "response_format",
        "verbosity",
        "cache_control",
    }
)
# Default values: dropping them loses nothing where the field has no equivalent.
_DEFAULT_VALUES = {"modalities": ["text"], "usage": {"include": True}, "safe_prompt": False}
# Fields that are passed on unparsed; only their type is checked here.
_OBJECT_FIELDS = ("audio", "prediction", "prompt_cache_options", "moderation")
_CLIENT_TIERS = (
    "auto",
    "default",
    "flex",
    "scale",
    "priority",
    "fast",
    "on_demand",
    "performance",
    "standard_only",
)
# The others are values of Bedrock (`reserved`) or of OpenAI Responses (`ultrafast`).
_PROVIDER_TIERS = ("default", "flex", "scale", "priority")
# `auto` equals an absent field; OpenAI responds to `fast` with `priority`; Groq has two values
# of its own, Mistral `standard_only`.
_CANONICAL_TIERS = {
    "auto": None,
    "fast": "priority",
    "on_demand": "default",
    "performance": "priority",
    "standard_only": "default",
}

# Canonical field -> path; for repeated values, the path below the value's own path.
_FIELD_PATHS = {
    "turns": "messages",
    "logprobs": "logprobs",
    "user_id": "user",
    "session_key": "prompt_cache_key",
    "cache": "cache_control",
    "tool_schema": "function.parameters",
    "detail": "image_url.detail",
    "title": "file.filename",
    "tool_strict": "function.strict",
    "tool_format": "custom.format",
}


def parse_request(body: dict[str, Any], headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    paths: dict[str, str] = dict(_FIELD_PATHS)
    conversation = parse_messages(body)
    extra, include_usage = _collect_extra_fields(body, paths)
    extra |= conversation.unknown_fields
    has_tools = not _TOOL_FIELDS.isdisjoint(body)
    # A conversation of texts has no objects to search for fields that are not read.
    has_objects = (
        has_tools
        or "response_format" in body
        or any(
            type(message.get("content")) is list or not _CALL_FIELDS.isdisjoint(message)
            for message in body["messages"]
        )
    )
    if has_objects and _has_openai_breakpoint(body["messages"]):
        paths["cache"] = "prompt_cache_breakpoint"
    return Request(
        model=required_text(body, "model"),
        stream=bool(boolean(body, "stream")),
        include_usage=include_usage,
        instructions=tuple(conversation.instructions),
        turns=tuple(conversation.turns),
        tools=parse_tools(body) if has_tools else (),
        tool_choice=parse_tool_choice(body, paths) if has_tools else None,
        output=parse_output_format(body, paths),
        reasoning=None
        if _REASONING_FIELDS.isdisjoint(body)
        else parse_reasoning_config(body, paths),
        max_output=_parse_max_output(body, paths),
        sampling=NO_SAMPLING if _SAMPLING_FIELDS.isdisjoint(body) else _parse_sampling(body, paths),
        meta=NO_META if _META_FIELDS.isdisjoint(body) else _parse_metadata(body, paths),
        # OpenRouter's cache breakpoint for the entire request.
        cache=parse_cache_breakpoint(body) if mapping(body, "cache_control") is not None else None,
        extra=({NAME: extra} if extra else {})
        | (unread_fields(body, KNOWN_FIELDS) if has_objects else {}),
        client_paths=paths,
    )


def _has_openai_breakpoint(messages: list[Json]) -> bool:
    """Whether a part has a cache breakpoint in OpenAI's form; OpenRouter's is `cache_control`."""
    return any(
        "prompt_cache_breakpoint" in part
        for message in messages
        if type(message.get("content")) is list
        for part in message["content"]
    )


def _collect_extra_fields(body: Json, paths: dict[str, str]) -> tuple[Json, bool | None]:
    """The fields without a canonical equivalent, and whether a usage chunk is requested."""
    extra: Json = {}
    if not body.keys() <= _PARSED_FIELDS:
        for key in _OBJECT_FIELDS:
            mapping(body, key)
        extra = {
            k: v
            for k, v in body.items()
            if k not in _PARSED_FIELDS and v is not None and v != _DEFAULT_VALUES.get(k)
        }
    user = text(body, "user")
    if user is not None and body.get("safety_identifier") not in (None, user):
        extra["user"] = user
    options = mapping(body, "stream_options")
    if options is None:
        return extra, None
    paths["include_usage"] = "stream_options"
    include_usage = boolean(options, "include_usage", "stream_options")
    other_options = {k: v for k, v in options.items() if k != "include_usage" and v is not None}
    if other_options:
        extra["stream_options"] = other_options
    return extra, include_usage


def _parse_max_output(body: Json, paths: dict[str, str]) -> int | None:
    """The output limit; the newer name wins if both are sent, as they mean the same."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = integer(body, name, minimum=0, maximum=MAX_TOKENS)
        if value is not None:
            paths["max_output"] = name
            return value
    return None


def _parse_sampling(body: Json, paths: dict[str, str]) -> Sampling:
    top_logprobs = integer(body, "top_logprobs", minimum=0, maximum=1000)
    logprobs: Any = body.get("logprobs")
    if type(logprobs) is int:
        # Together's clients send the number of alternatives as `logprobs`.
        logprobs, top_logprobs = True, logprobs if top_logprobs is None else top_logprobs
    else:
        logprobs = boolean(body, "logprobs")
    seed = integer(body, "seed")
    if seed is None and (seed := integer(body, "random_seed")) is not None:
        # Mistral's name, which its clients send to any model.
        paths["seed"] = "random_seed"
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        top_k=integer(body, "top_k", minimum=-1, maximum=MAX_TOKENS),
        min_p=number(body, "min_p"),
        frequency_penalty=number(body, "frequency_penalty"),
        presence_penalty=number(body, "presence_penalty"),
        repetition_penalty=number(body, "repetition_penalty"),
        seed=seed,
        stop=strings(body, "stop"),
        n=integer(body, "n", minimum=1, maximum=128),
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        logit_bias=logit_bias(body) if "logit_bias" in body else None,
    )


def _parse_metadata(body: Json, paths: dict[str, str]) -> Meta:
    user_id = text(body, "safety_identifier")
    if user_id is None:
        user_id = text(body, "user")
    else:
        paths["user_id"] = "safety_identifier"
    tier = enum_value(body, "service_tier", _CLIENT_TIERS)
    return Meta(
        user_id=user_id,
        session_key=text(body, "prompt_cache_key"),
        metadata=mapping(body, "metadata"),
        service_tier=_CANONICAL_TIERS.get(tier or "auto", tier),
        store=boolean(body, "store"),
    )


# --- a provider's request -------------------------------------------------------------------------

# OpenAI's limit of prompt_cache_key in characters; that of safety_identifier is USER_LIMIT.
_KEY_LIMIT = 64
_MIN_OUTPUT_TOKENS = 1


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express. Raises GatewayError."""
    context = ChatRenderContext(request, traits)
    body: Json = {"model": traits.model or request.model}
    _render_stream(context, body)
    render_output_format(context, body)
    render_messages(context, body)
    if request.tools or request.tool_choice is not None:
        render_tools(context, body)
    render_reasoning_config(context, body)
    if (limit := context.clamp_max_tokens(_MIN_OUTPUT_TOKENS)) is not None:
        body[traits.max_tokens_field] = limit
    if request.sampling != NO_SAMPLING:
        _render_sampling(context, body)
    if request.meta != NO_META:
        _render_metadata(context, body)
    _render_extra_fields(context, body)
    for name, value in traits.reasoning_output.items():
        body.setdefault(name, value)
    return context.finish(body, custom_tools=not traits.custom_tools)


def _render_stream(context: ChatRenderContext, body: Json) -> None:
    request = context.request
    if request.stream:
        body["stream"] = True
        if context.traits.stream_options:
            body["stream_options"] = {"include_usage": True}
    if request.include_usage is not None and not context.traits.stream_options:
        context.drop(
            request.client_path("include_usage"),
            "the upstream always reports the usage at the end",
        )


def _render_sampling(context: ChatRenderContext, body: Json) -> None:
    sampling, traits = context.request.sampling, context.traits
    # OpenAI's reasoning models accept sampling fields when reasoning is off.
    accepts_sampling = traits.sampling or body.get("reasoning_effort") == "none"
    model = traits.model or "the upstream"
    rejection_reason = f"{model} rejects sampling parameters"
    no_equivalent = "no equivalent"
    temperature = sampling.temperature
    if temperature is not None and accepts_sampling:
        temperature = context.clamp_temperature(temperature)
    context.set_if_supported(
        body, "temperature", temperature, supported=accepts_sampling, reason=rejection_reason
    )
    for name, is_supported, reason in (
        ("top_p", accepts_sampling, rejection_reason),
        ("top_k", accepts_sampling and traits.top_k, no_equivalent),
        ("min_p", traits.min_p, no_equivalent),
        ("frequency_penalty", traits.penalties, f"{model} does not support penalties"),
        ("presence_penalty", traits.penalties, f"{model} does not support penalties"),
        ("repetition_penalty", traits.repetition_penalty, no_equivalent),
        ("seed", traits.seed, no_equivalent),
        ("logit_bias", traits.logit_bias, no_equivalent),
    ):
        context.set_if_supported(
            body, name, getattr(sampling, name), supported=is_supported, reason=reason
        )
    if stop := context.limit_stop_sequences(sampling.stop):
        body["stop"] = stop
    _render_logprobs(context, body)
    if sampling.n is not None and sampling.n > 1:
        sent_n = min(sampling.n, traits.n_max)
        if sent_n != sampling.n:
            reason = f"{model} returns at most {sent_n} choices"
            context.approximate(
                context.request.client_path("n"), reason, before=sampling.n, after=sent_n
            )
        if sent_n > 1:
            body["n"] = sent_n


def _render_logprobs(context: ChatRenderContext, body: Json) -> None:
    sampling = context.request.sampling
    reason = "no equivalent"
    supported = context.traits.logprobs
    if supported and not accepts_logprobs(context.request):
        supported, reason = False, NOT_TRANSLATABLE
    if sampling.logprobs:
        context.set_if_supported(
            body, "logprobs", sampling.logprobs, supported=supported, reason=reason
        )
        context.set_if_supported(
            body, "top_logprobs", sampling.top_logprobs, supported=supported, reason=reason
        )


def _render_metadata(context: ChatRenderContext, body: Json) -> None:
    meta, traits, request = context.request.meta, context.traits, context.request
    if meta.user_id is not None:
        field = traits.user_field
        if field == "none":
            context.drop(request.client_path("user_id"), "no equivalent")
        else:
            body[field] = context.user_id(meta.user_id)
    if meta.session_key is not None and traits.session_field != "none":
        body[traits.session_field] = shorten_user_id(meta.session_key, _KEY_LIMIT)
    else:
        context.drop_metadata("session_key")
    is_supported = traits.metadata and (traits.metadata_without_store or bool(meta.store))
    reason = "it requires `store: true`" if traits.metadata else "no equivalent"
    context.set_if_supported(body, "metadata", meta.metadata, supported=is_supported, reason=reason)
    tier = meta.service_tier
    is_supported = traits.service_tier and tier in _PROVIDER_TIERS
    context.set_if_supported(
        body, "service_tier", tier, supported=is_supported, reason="no equivalent"
    )
    if meta.store or traits.store:
        context.set_if_supported(
            body, "store", meta.store, supported=traits.store, reason="no equivalent"
        )


def _render_extra_fields(context: ChatRenderContext, body: Json) -> None:
    request = context.request
    if request.cache is not None and context.traits.cache == "cache_control":
        body["cache_control"] = cache_control(request.cache)
    elif request.cache is not None:
        context.drop_cache_marks(request.cache)
    if request.previous_response_id is not None:
        context.drop(
            "previous_response_id", "OpenAI Chat does not store responses that can be continued"
        )
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            # A key with a dot or a bracket is the path of a field inside a message.
            if dialect != NAME or "." in key or "[" in key:
                context.drop(key, "no equivalent")
            elif key == "stream_options":
                if "stream_options" in body:
                    body["stream_options"] |= value
            elif key == "prediction":
                body[key] = _join_prediction(value)
            else:
                body.setdefault(key, value)


def _join_prediction(prediction: Json) -> Json:
    """The prediction with its text as one string, as Mistral requires."""
    parts = prediction.get("content")
    if not isinstance(parts, list):
        return prediction
    texts = [part["text"] for part in dict_items(parts) if isinstance(part.get("text"), str)]
    return {**prediction, "content": "".join(texts)} if len(texts) == len(parts) else prediction


# --- output formats, both ways --------------------------------------------------------------------

_FORMATS = ("text", "json_object", "json_schema")


def parse_output_format(body: Json, paths: dict[str, str]) -> Output:
    """The output format that the client requests."""
    if "response_format" not in body and "verbosity" not in body:
        return PLAIN_OUTPUT
    verbosity = text(body, "verbosity")
    response_format = mapping(body, "response_format")
    if response_format is None:
        return Output(verbosity=verbosity)
    paths["format"] = "response_format"
    kind = enum_value(response_format, "type", _FORMATS, "response_format")
    if kind is None:
        field_path = "response_format.type"
        raise invalid(
            f"{field_path} is required and must be one of {', '.join(_FORMATS)}", field_path
        )
    if kind != "json_schema":
        return Output(format="json" if kind == "json_object" else "text", verbosity=verbosity)
    field_path = "response_format.json_schema"
    json_schema = required_mapping(response_format, "json_schema", "response_format")
    for name in ("name", "description", "schema", "strict"):
        paths[name] = f"{field_path}.{name}"
    return Output(
        format="schema",
        name=text(json_schema, "name", field_path),
        description=text(json_schema, "description", field_path),
        schema=mapping(json_schema, "schema", field_path) or {},
        # An absent field means false in this dialect; None leaves it to the target.
        strict=bool(boolean(json_schema, "strict", field_path)),
        verbosity=verbosity,
    )


def render_output_format(context: ChatRenderContext, body: Json) -> None:
    """Render the output format into the body, or as a hint if there is no field for it."""
    output, traits = context.request.output, context.traits
    if output.verbosity is not None and traits.verbosity:
        body["verbosity"] = output.verbosity
    elif output.verbosity is not None:
        context.drop(
            context.request.client_path("verbosity"), "no equivalent", before=output.verbosity
        )
    if output.format == "text":
        return
    if traits.structured == "none" or not accepts_output_schema(output, traits):
        context.hints.append(format_hint(context, output))
    elif output.format == "json":
        body["response_format"] = {"type": "json_object"}
        if not _mentions_json(context.request):
            context.hints.append("Answer with JSON.")
            reason = (
                "the upstream requires the word JSON in the conversation: an instruction is added"
            )
            context.approximate(context.request.client_path("format"), reason)
    elif traits.structured == "json":
        body["response_format"] = {"type": "json_object"}
        context.hints.append(format_hint(context, output))
    else:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": output_schema_fields(context, output),
        }


def _mentions_json(request: Request) -> bool:
    """Whether the conversation contains the word JSON, which OpenAI requires for JSON mode.

    A Chat client follows that rule itself; so does what the console sends as one, which names no
    field for the format. (Anthropic's API, which also has `messages`, has no JSON mode.)
    """
    paths = request.client_paths
    if "format" not in paths or paths.get("turns") == "messages":
        return True
    parts = (part for turn in request.turns for part in turn.parts)
    return mentions_json((*request.instructions, *parts))


# --- the schema of a request that passes through --------------------------------------------------

# The union of the roles that providers document; `model` is a placeholder of no provider.
Role = Literal["system", "developer", "user", "assistant", "tool", "function", "latest_reminder"]
_NonNegativeInt = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_BoundedFloat = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Function(msgspec.Struct):
    """The function of a tool."""

    name: str


class Tool(msgspec.Struct):
    """An offered tool."""

    type: str
    function: Function | None = None


class Message(msgspec.Struct):
    """One message of the history."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class PassthroughSchema(msgspec.Struct):
    """The fields that have the same type with every Chat provider."""

    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    tools: list[Tool] | None = None
    max_tokens: _NonNegativeInt | None = None
    max_completion_tokens: _NonNegativeInt | None = None
    n: _NonNegativeInt | None = None
    temperature: _BoundedFloat | None = None
    top_p: _BoundedFloat | None = None
    frequency_penalty: _BoundedFloat | None = None
    presence_penalty: _BoundedFloat | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: str | dict[str, Any] | None = None


check_passthrough = passthrough_checker(PassthroughSchema)


# --- paths and token counts -----------------------------------------------------------------------


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    return "/chat/completions"
