"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from gateway.canon.errors import invalid, unsupported
from gateway.canon.logprobs import NOT_TRANSLATABLE, accepts_logprobs
from gateway.canon.naming import shorten_user_id
from gateway.canon.request import Meta, Output, Request, Sampling, Text
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.openai_responses.context import (
    ENCRYPTED,
    FIELD_PATHS,
    LOGPROBS,
    NAME,
    NESTED_FIELDS,
    Json,
    ResponsesRenderContext,
)
from gateway.dialects.openai_responses.conversation import Conversation
from gateway.dialects.openai_responses.items import (
    parse_conversation,
    parse_pathed_items,
    render_input,
)
from gateway.dialects.openai_responses.known_fields import KNOWN_FIELDS
from gateway.dialects.openai_responses.reasoning import (
    parse_reasoning_config,
    render_reasoning_config,
)
from gateway.dialects.openai_responses.stored_responses import load_history
from gateway.dialects.openai_responses.tools import (
    merge_tools,
    parse_tool_choice,
    parse_tools,
    render_tools,
)
from gateway.dialects.shared import mcp
from gateway.dialects.shared.code_execution import OPENAI_OUTPUTS
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
from gateway.dialects.shared.openai_schema import (
    accepts_output_schema,
    format_hint,
    mentions_json,
    output_schema_fields,
)

# --- a client's request ---------------------------------------------------------------------------

_PARSED_FIELDS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "stream_options",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "include",
        "metadata",
        "safety_identifier",
        "user",
        "prompt_cache_key",
        "service_tier",
        # The gateway stores responses itself, whichever provider created them.
        "store",
        "previous_response_id",
        "background",
    }
)
_CLIENT_TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
# Default values: dropping them loses nothing where the field has no equivalent.
_DEFAULT_VALUES = {"truncation": "disabled"}
# State that only OpenAI stores; without it the request would have another meaning.
_OPENAI_STATE_FIELDS = ("conversation", "prompt")


def parse_request(
    body: Json, headers: Mapping[str, str], stored_response: Mapping[str, Any] | None = None
) -> Request:
    """The canonical request, with the conversation of the responses in `stored_response`.

    Raises GatewayError naming the field at fault.
    """
    _refuse_openai_state(body)
    earlier_items, items_by_id = load_history(body, stored_response or {})
    extra = {
        k: v
        for k, v in body.items()
        if k not in _PARSED_FIELDS and v is not None and v != _DEFAULT_VALUES.get(k)
    }
    user = text(body, "user")
    if user is not None and body.get("safety_identifier") not in (None, user):
        extra["user"] = user
    paths = dict(FIELD_PATHS)
    output = parse_output_format(body, extra)
    reasoning = parse_reasoning_config(body, extra)
    include = _parse_include(body, extra)
    conversation = parse_conversation([*earlier_items, *parse_pathed_items(body)], items_by_id)
    tools = merge_tools(parse_tools(body, ""), conversation.tools)
    extra |= conversation.unknown_fields
    return Request(
        model=required_text(body, "model"),
        stream=bool(boolean(body, "stream")),
        instructions=_parse_instructions(body, conversation),
        turns=tuple(conversation.turns),
        tools=tools,
        tool_choice=parse_tool_choice(body),
        output=output,
        reasoning=reasoning,
        max_output=integer(body, "max_output_tokens", minimum=0, maximum=MAX_TOKENS),
        sampling=_parse_sampling(body, include),
        meta=_parse_metadata(body, paths),
        extra=({NAME: extra} if extra else {}) | unread_fields(body, KNOWN_FIELDS),
        client_paths=paths,
    )


def _refuse_openai_state(body: Json) -> None:
    """Refuse a request that continues state which only OpenAI stores."""
    for name in _OPENAI_STATE_FIELDS:
        if body.get(name) is not None:
            raise unsupported(name, "only OpenAI stores it; send the items in `input` instead")


def _parse_instructions(body: Json, conversation: Conversation) -> tuple[Text, ...]:
    instructions = text(body, "instructions")
    first = (Text(text=instructions, path="instructions"),) if instructions else ()
    return (*first, *conversation.instructions)


# The output of code is always requested with the tool that runs it.
_HANDLED_INCLUDES = frozenset({ENCRYPTED, LOGPROBS, OPENAI_OUTPUTS})


def _parse_include(body: Json, extra: Json) -> tuple[str, ...]:
    """The `include` values; values specific to this dialect go to `extra`."""
    include = strings(body, "include")
    other_values = [value for value in include if value not in _HANDLED_INCLUDES]
    if other_values:
        extra["include"] = other_values
    return include


def _parse_sampling(body: Json, include: tuple[str, ...]) -> Sampling:
    top_logprobs = integer(body, "top_logprobs", minimum=0, maximum=1000)
    return Sampling(
        temperature=number(body, "temperature"),
        top_p=number(body, "top_p"),
        logprobs=True if LOGPROBS in include else None,
        top_logprobs=top_logprobs,
    )


def _parse_metadata(body: Json, paths: dict[str, str]) -> Meta:
    user_id = text(body, "safety_identifier")
    if user_id is None:
        user_id = text(body, "user")
        paths["user_id"] = "user"
    tier = enum_value(body, "service_tier", _CLIENT_TIERS)
    return Meta(
        user_id=user_id,
        session_key=text(body, "prompt_cache_key"),
        metadata=mapping(body, "metadata"),
        # `auto` equals an absent field; OpenAI responds to `fast` with `priority`.
        service_tier={"auto": None, "fast": "priority"}.get(tier or "auto", tier),
    )


# --- a provider's request -------------------------------------------------------------------------

# OpenAI's limit of prompt_cache_key in characters; that of safety_identifier is USER_LIMIT.
_KEY_LIMIT = 64
_MIN_OUTPUT_TOKENS = 16
# Sampling fields that this dialect does not have.
_UNSUPPORTED_SAMPLING = (
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "logit_bias",
)
# Fields that OpenAI's Chat has in the same form.
_CHAT = "openai_chat"
_CHAT_FIELDS = frozenset({"prompt_cache_options", "prompt_cache_retention", "moderation"})
# The fields inside an item that are restored to their items.
_ITEM_FIELD_SUFFIXES = ("].phase", "].detail")
# The fields that a token count accepts; it rejects others with a 400.
_TOKEN_COUNT_FIELDS = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "reasoning", "text", "truncation"}
)


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express. Raises GatewayError."""
    if request.sampling.n is not None and request.sampling.n > 1:
        raise unsupported(
            request.client_path("n"), "OpenAI Responses returns one choice per request"
        )
    context = ResponsesRenderContext(request, traits)
    body: Json = {"model": traits.model or request.model}
    if request.stream:
        body["stream"] = True
    # The provider stores nothing: the gateway stores responses itself, and reasoning is
    # restored from its encrypted state.
    body |= {"store": False, "include": [ENCRYPTED]}
    render_output_format(context, body)
    render_input(context, body)
    render_tools(context, body)
    render_reasoning_config(context, body)
    if (limit := context.clamp_max_tokens(_MIN_OUTPUT_TOKENS)) is not None:
        body["max_output_tokens"] = limit
    _render_sampling(context, body)
    _render_metadata(context, body)
    _render_extra_fields(context, body)
    return context.finish(body, custom_tools=not traits.custom_tools)


def token_count_body(body: Json, model: str) -> Json:
    """The body of a token count, from the body of the request."""
    return {key: value for key, value in body.items() if key in _TOKEN_COUNT_FIELDS}


def _render_sampling(context: ResponsesRenderContext, body: Json) -> None:
    sampling, traits, request = context.request.sampling, context.traits, context.request
    # OpenAI's reasoning models accept sampling fields when reasoning is off.
    accepts_sampling = traits.sampling or body.get("reasoning", {}).get("effort") == "none"
    rejects = f"{context.model} rejects sampling parameters"
    temperature = sampling.temperature
    if temperature is not None and accepts_sampling:
        temperature = context.clamp_temperature(temperature)
    context.set_if_supported(
        body, "temperature", temperature, supported=accepts_sampling, reason=rejects
    )
    context.set_if_supported(
        body, "top_p", sampling.top_p, supported=accepts_sampling, reason=rejects
    )
    for name in _UNSUPPORTED_SAMPLING:
        value = getattr(sampling, name)
        context.set_if_supported(
            body, name, value, supported=False, reason="no equivalent in OpenAI Responses"
        )
    if sampling.stop:
        context.drop(
            request.client_path("stop"), "OpenAI Responses does not support stop sequences"
        )
    if sampling.logprobs or sampling.top_logprobs:
        _render_logprobs(context, body)


def _render_logprobs(context: ResponsesRenderContext, body: Json) -> None:
    sampling = context.request.sampling
    if not context.traits.logprobs or not accepts_logprobs(context.request):
        context.drop(context.request.client_path("logprobs"), NOT_TRANSLATABLE)
        return
    if sampling.logprobs:
        body["include"] = [*body["include"], LOGPROBS]
    if sampling.top_logprobs is not None:
        body["top_logprobs"] = sampling.top_logprobs


def _render_metadata(context: ResponsesRenderContext, body: Json) -> None:
    meta, traits, request = context.request.meta, context.traits, context.request
    if meta.user_id is not None:
        if traits.user_field == "none":
            context.drop(request.client_path("user_id"), "no equivalent")
        else:
            body[traits.user_field] = context.user_id(meta.user_id)
    if meta.session_key is not None and traits.session_field != "none":
        body[traits.session_field] = shorten_user_id(meta.session_key, _KEY_LIMIT)
    else:
        context.drop_metadata("session_key")
    context.set_if_supported(
        body, "metadata", meta.metadata, supported=traits.metadata, reason="no equivalent"
    )
    tier = meta.service_tier
    is_supported = traits.service_tier and tier in _CLIENT_TIERS
    context.set_if_supported(
        body, "service_tier", tier, supported=is_supported, reason="no equivalent"
    )
    if meta.store:
        context.drop(request.client_path("store"), "the provider must not store responses")


def _render_extra_fields(context: ResponsesRenderContext, body: Json) -> None:
    """Send fields that only this dialect and OpenAI's Chat have; report all others."""
    request = context.request
    context.drop_cache_marks(request.cache)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if key == mcp.SERVERS and any(t.get("type") == mcp.TOOL for t in body.get("tools", ())):
                continue  # they are in the tools
            if dialect == _CHAT and key in _CHAT_FIELDS:
                body.setdefault(key, value)
            elif dialect != NAME:
                context.drop(key, "no equivalent")
            elif key == "include":
                body["include"] = [*body["include"], *value]
            elif not _restore_field(body, key, value) and not key.endswith(_ITEM_FIELD_SUFFIXES):
                context.drop(key, "no equivalent")


def _restore_field(body: Json, key: str, value: Any) -> bool:
    """Write a field under its path; False if it was inside an item."""
    if "[" in key:
        return False
    holder, _, inner_key = key.partition(".")
    if inner_key and holder in NESTED_FIELDS:
        # Fields that are already set stay; `reasoning` exists only if reasoning is on.
        if inner_key != "summary":
            body.setdefault(holder, {}).setdefault(inner_key, value)
        return True
    body.setdefault(key, value)
    return True


# --- output formats, both ways --------------------------------------------------------------------

_FORMATS = ("text", "json_object", "json_schema")
_FORMAT_PATH = "text.format"
_PARSED_FORMAT_FIELDS = frozenset({"format", "verbosity"})


def parse_output_format(body: Json, extra: Json) -> Output:
    """The requested output format; unknown fields of `text` go to `extra`."""
    text_options = mapping(body, "text") or {}
    extra |= {
        f"text.{name}": value
        for name, value in text_options.items()
        if name not in _PARSED_FORMAT_FIELDS and value is not None
    }
    verbosity = text(text_options, "verbosity", "text")
    response_format = mapping(text_options, "format", "text")
    if response_format is None:
        return Output(verbosity=verbosity)
    kind = enum_value(response_format, "type", _FORMATS, _FORMAT_PATH)
    if kind is None:
        path = f"{_FORMAT_PATH}.type"
        raise invalid(f"{path} is required and must be one of {', '.join(_FORMATS)}", path)
    if kind != "json_schema":
        return Output(format="json" if kind == "json_object" else "text", verbosity=verbosity)
    return Output(
        format="schema",
        name=text(response_format, "name", _FORMAT_PATH),
        description=text(response_format, "description", _FORMAT_PATH),
        schema=required_mapping(response_format, "schema", _FORMAT_PATH),
        # An absent field means false; None leaves it to the target.
        strict=bool(boolean(response_format, "strict", _FORMAT_PATH)),
        verbosity=verbosity,
    )


def render_output_format(context: ResponsesRenderContext, body: Json) -> None:
    """Render the output format into the body, or as a hint if there is no field for it."""
    output, traits = context.request.output, context.traits
    out: Json = {}
    if not accepts_output_schema(output, traits):
        context.hints.append(format_hint(context, output))
    elif output.format == "schema" and traits.structured == "schema":
        out["format"] = {"type": "json_schema", **output_schema_fields(context, output)}
    elif output.format != "text":
        if traits.structured != "none":
            out["format"] = {"type": "json_object"}
        if output.format == "schema" or not out:
            context.hints.append(format_hint(context, output))
        if out and not context.native:
            _require_json_mention(context)
    if output.verbosity is not None and traits.verbosity:
        out["verbosity"] = output.verbosity
    elif output.verbosity is not None:
        context.drop(
            context.request.client_path("verbosity"), "no equivalent", before=output.verbosity
        )
    if out:
        body["text"] = out


def _require_json_mention(context: ResponsesRenderContext) -> None:
    """Put the word JSON into the items, where the API requires it for JSON mode."""
    request = context.request
    context.all_in_items = not mentions_json(part for turn in request.turns for part in turn.parts)
    if not context.all_in_items or context.hints or mentions_json(request.instructions):
        return
    context.hints.append("Answer with JSON.")
    reason = "the upstream requires the word JSON in the conversation: an instruction is added"
    context.approximate(request.client_path("format"), reason)


# --- fields that a response repeats ---------------------------------------------------------------

# In the order of the official response object; the values are the API's defaults.
_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_echo(body: bytes) -> Json:
    """The settings of the request, as the client wrote them, for the response.

    The defaults if it is nested so deeply that it could only be parsed with fewer calls in
    progress: its response is not lost.
    """
    try:
        fields = _decoder.decode(body)
        return {
            name: _value_or_default(fields.get(name), default)
            for name, default in _DEFAULTS.items()
        }
    except RecursionError:
        return dict(_DEFAULTS)


def _value_or_default(raw: msgspec.Raw | None, default: Any) -> Any:
    value = msgspec.json.decode(raw) if raw is not None else None
    return default if value is None else value


# --- the schema of a request that passes through --------------------------------------------------

_NonNegativeInt = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_BoundedFloat = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Item(msgspec.Struct):
    """One input item; vendors add types often, but not roles."""

    type: str | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None


class Tool(msgspec.Struct):
    """An offered tool."""

    type: str


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed."""

    input: str | list[Item] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    max_output_tokens: _NonNegativeInt | None = None
    temperature: _BoundedFloat | None = None
    top_p: _BoundedFloat | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    background: bool | None = None


check_passthrough = passthrough_checker(PassthroughSchema)


# --- paths and token counts -----------------------------------------------------------------------


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    return "/responses/input_tokens" if verb == "count_tokens" else "/responses"
