"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Annotated, Any, Literal

import msgspec
from msgspec.structs import replace

from gateway.canon.errors import invalid, unsupported
from gateway.canon.json_values import string_items
from gateway.canon.logprobs import NOT_TRANSLATABLE, accepts_logprobs
from gateway.canon.request import Meta, Output, Part, Request, Role, Sampling, Text, Turn
from gateway.canon.schema import with_description, without_meta_keywords
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.gemini.contents import (
    PendingCalls,
    parse_parts,
    render_contents,
    render_system,
)
from gateway.dialects.gemini.context import (
    FIELD_PATHS,
    GENERATION_CONFIG,
    NAME,
    SERVICE_TIERS,
    WIRE_TIERS,
    Json,
    RenderContext,
    camel_case_keys,
    resource_path,
    split_resource,
)
from gateway.dialects.gemini.known_fields import KNOWN_FIELDS
from gateway.dialects.gemini.reasoning import (
    merge_split_reasoning,
    parse_reasoning_config,
    render_reasoning_config,
)
from gateway.dialects.gemini.tools import (
    find_schema_field,
    from_google_schema,
    parse_tool_choice,
    parse_tools,
    render_tools,
    to_gemini_schema,
)
from gateway.dialects.shared import image_generation
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    integer,
    mapping,
    number,
    objects,
    passthrough_checker,
    required_text,
    strings,
    text,
)
from gateway.dialects.shared.known_fields import unread_fields
from gateway.dialects.shared.render_context import UNLIMITED_TOP_K

# --- a client's request ---------------------------------------------------------------------------
#
# The path contains the model and whether to stream; the relay puts them into the body as
# `model` and `stream` before it is read here.

_PARSED_FIELDS = frozenset(
    {
        "model",
        "stream",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "labels",
        "serviceTier",
        "store",
    }
)
_RESPONSE_FORMAT = "responseFormat"
_PARSED_CONFIG_FIELDS = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        _RESPONSE_FORMAT,
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
    }
)
# Default values: dropping them loses nothing.
_DEFAULT_CONFIG_VALUES = {"responseModalities": ["TEXT"]}
_ROLES: dict[str | None, Role] = {
    None: "user",
    "": "user",
    "user": "user",
    "function": "user",
    "tool": "user",
    "model": "assistant",
    "system": "system",
}


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    body = _unwrap_counted_request(camel_case_keys(body))
    extra = {key: value for key, value in body.items() if key not in _PARSED_FIELDS}
    config = mapping(body, "generationConfig") or {}
    extra |= {
        f"{GENERATION_CONFIG}.{k}": v
        for k, v in config.items()
        if k not in _PARSED_CONFIG_FIELDS and v != _DEFAULT_CONFIG_VALUES.get(k)
    }
    pending_calls = PendingCalls()
    turns = _parse_turns(body, pending_calls)
    extra |= pending_calls.extra_fields
    field_paths = FIELD_PATHS | {"tool_schema": find_schema_field(body)}
    tool_choice, strict = parse_tool_choice(body, extra)
    return Request(
        model=_parse_model(body),
        stream=boolean(body, "stream") or False,
        instructions=_parse_instructions(body),
        turns=turns,
        tools=parse_tools(body, strict=strict),
        tool_choice=tool_choice,
        output=parse_output_format(config, field_paths, extra),
        reasoning=parse_reasoning_config(config, extra),
        max_output=integer(
            config, "maxOutputTokens", minimum=0, maximum=MAX_TOKENS, path=GENERATION_CONFIG
        ),
        sampling=_parse_sampling(config),
        meta=_parse_metadata(body, extra),
        extra={NAME: extra} | unread_fields(body, KNOWN_FIELDS),
        client_paths=field_paths,
    )


# The field of a token count that contains a whole request.
COUNTED_REQUEST = frozenset({"generateContentRequest", "generate_content_request"})


def _unwrap_counted_request(body: Json) -> Json:
    """The request inside a countTokens body, which may contain one instead of contents."""
    generate_request = mapping(body, "generateContentRequest")
    if generate_request is None:
        return body
    outer: Json = {key: body[key] for key in ("model", "stream") if key in body}
    return {**generate_request, **outer}


def _parse_model(body: Json) -> str:
    model = required_text(body, "model")
    return model.removeprefix("models/") or model


def _parse_instructions(body: Json) -> tuple[Text, ...]:
    value = body.get("systemInstruction")
    if type(value) is str:
        return (Text(text=value, path="systemInstruction"),) if value else ()
    content = mapping(body, "systemInstruction") or {}
    parts = parse_parts(content, "systemInstruction", PendingCalls(), model=False)
    for part in parts:
        if not isinstance(part, Text):
            raise invalid(f"{part.path}: a system instruction can only contain text", part.path)
    return tuple(part for part in parts if isinstance(part, Text) and part.text)


def _parse_turns(body: Json, pending_calls: PendingCalls) -> tuple[Turn, ...]:
    contents = objects(body, "contents")
    if not contents:
        raise invalid(
            "contents is required and must be a list with at least one content", "contents"
        )
    turns = merge_split_reasoning(
        [_parse_turn(item, index, pending_calls) for index, item in enumerate(contents)]
    )
    return tuple(_merge_split_responses(turns))


def _merge_split_responses(turns: tuple[Turn, ...]) -> Iterator[Turn]:
    """Join the fragments of each response: chats of Google's SDK store every chunk as a turn.

    An empty response is dropped.
    """
    for role, turn_run in groupby(turns, key=lambda turn: turn.role):
        if role != "assistant":
            yield from turn_run
            continue
        fragments = list(turn_run)
        parts = _join_fragments(fragments)
        if parts:
            yield replace(fragments[0], parts=parts)


def _join_fragments(fragments: list[Turn]) -> tuple[Part, ...]:
    """The parts of a response, with fragments of a text joined; no empty parts."""
    joined_parts: list[Part] = []
    text_fragments: list[str] = []  # of the last part, if it is a text
    for fragment in fragments:
        continues_text = bool(text_fragments)
        for part in fragment.parts:
            if not isinstance(part, Text):
                _end_text(joined_parts, text_fragments)
                joined_parts.append(part)
            elif not part.text:
                continue
            elif continues_text:
                text_fragments.append(part.text)
            else:
                _end_text(joined_parts, text_fragments)
                joined_parts.append(part)
                text_fragments.append(part.text)
            continues_text = False
    _end_text(joined_parts, text_fragments)
    return tuple(joined_parts)


def _end_text(joined_parts: list[Part], text_fragments: list[str]) -> None:
    if text_fragments and isinstance(joined_parts[-1], Text):
        joined_parts[-1] = replace(joined_parts[-1], text="".join(text_fragments))
    text_fragments.clear()


def _parse_turn(content: Json, index: int, pending_calls: PendingCalls) -> Turn:
    path = f"contents[{index}]"
    pending_calls.start_content(index)
    role_value = text(content, "role", path)
    role = _ROLES.get(role_value)
    if role is None:
        role_path = f"{path}.role"
        raise invalid(
            f"{role_path} must be 'user' or 'model', not {str(role_value)[:60]!r}", role_path
        )
    parts = parse_parts(content, path, pending_calls, model=role == "assistant")
    return Turn(role=role, parts=parts, path=path)


def _parse_sampling(config: Json) -> Sampling:
    logprobs = boolean(config, "responseLogprobs", GENERATION_CONFIG)
    return Sampling(
        temperature=number(config, "temperature", path=GENERATION_CONFIG),
        top_p=number(config, "topP", path=GENERATION_CONFIG),
        top_k=_round_or_none(number(config, "topK", bound=1e6, path=GENERATION_CONFIG)),
        frequency_penalty=number(config, "frequencyPenalty", path=GENERATION_CONFIG),
        presence_penalty=number(config, "presencePenalty", path=GENERATION_CONFIG),
        seed=integer(config, "seed", path=GENERATION_CONFIG),
        stop=strings(config, "stopSequences", GENERATION_CONFIG),
        n=integer(config, "candidateCount", minimum=1, maximum=128, path=GENERATION_CONFIG),
        logprobs=logprobs,
        top_logprobs=integer(config, "logprobs", minimum=0, maximum=20, path=GENERATION_CONFIG),
    )


def _round_or_none(value: float | None) -> int | None:
    """The value as an integer: Google types `topK` as a float."""
    return None if value is None else round(value)


def _parse_metadata(body: Json, extra: Json) -> Meta:
    tier_value = text(body, "serviceTier")
    tier: Any = SERVICE_TIERS.get((tier_value or "").lower().removeprefix("service_tier_"))
    if tier_value is not None and tier is None:
        extra["serviceTier"] = tier_value
    labels = mapping(body, "labels")
    return Meta(metadata=labels or None, service_tier=tier, store=boolean(body, "store"))


# --- a provider's request -------------------------------------------------------------------------

# canonical sampling field -> Gemini's, where the traits accept it.
_SAMPLING_FIELDS = {
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
}
_UNSUPPORTED_SAMPLING = ("min_p", "repetition_penalty", "logit_bias")


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError."""
    if request.previous_response_id is not None:
        path = request.client_path("previous_response_id")
        raise unsupported(path, "the upstream does not store earlier responses")
    context = RenderContext(request, traits)
    body: Json = {}
    system = render_system(context)
    body["contents"], effort = render_contents(context, system)
    render_tools(context, body)
    config: Json = {}
    if (limit := context.clamp_max_tokens(0)) is not None:
        config["maxOutputTokens"] = limit
    _render_sampling(context, config)
    if "tools" in body and not context.traits.structured_with_tools:
        system += _output_format_hint(context)
    else:
        render_output_format(context, config)
    if system:
        body["systemInstruction"] = {"parts": system}
    extra_fields = _render_image_output(context, config)
    render_reasoning_config(context, config, effort)
    if config:
        body[GENERATION_CONFIG] = config
    _render_metadata(context, body)
    context.drop_cache_marks(request.cache)
    _render_extra_fields(context, extra_fields, body)
    return context.finish(body, custom_tools=True)


def _render_image_output(context: RenderContext, config: Json) -> dict[str, Json]:
    """Requests images for OpenAI's image generation tool, or for fields of a Chat client.

    Returns the extra fields of the request that remain to be rendered.
    """
    extra_fields = context.request.extra
    if not context.traits.image_output:
        return extra_fields
    chat_config, extra_fields = image_generation.chat_image_config(extra_fields)
    config |= chat_config
    tool = next(filter(image_generation.is_image_generation, context.request.tools), None)
    if tool is None:
        return extra_fields
    config["responseModalities"] = ["TEXT", "IMAGE"]
    for name in image_generation.tool_losses(tool):
        context.drop(f"{tool.path}.{name}", "no equivalent")
    image_config, is_exact = image_generation.image_config(tool)
    if image_config:
        config["imageConfig"] = image_config
    if not is_exact:
        reason = "the nearest aspect ratio is requested"
        context.approximate(f"{tool.path}.size", reason, after=image_config["aspectRatio"])
    return extra_fields


def _render_sampling(context: RenderContext, config: Json) -> None:
    sampling, request, traits = context.request.sampling, context.request, context.traits
    _render_temperature(context, config)
    supported_fields = {
        "top_p": traits.sampling,
        "top_k": traits.top_k,
        "frequency_penalty": traits.penalties,
        "presence_penalty": traits.penalties,
        "seed": traits.seed,
    }
    for name, key in _SAMPLING_FIELDS.items():
        value = getattr(sampling, name)
        if name == "top_k" and value is not None and value <= 0 and not context.same_dialect:
            context.drop(request.client_path(name), UNLIMITED_TOP_K)
        elif value is not None and supported_fields[name]:
            config[key] = value
        elif value is not None:
            context.drop(request.client_path(name), f"{context.model} does not support it")
    _fit_seed(context, config)
    for name in _UNSUPPORTED_SAMPLING:
        if getattr(sampling, name) not in (None, {}):
            context.drop(request.client_path(name), "no equivalent")
    if stop := context.limit_stop_sequences([text for text in sampling.stop if text]):
        config["stopSequences"] = stop
    _render_candidates_and_logprobs(context, config)


def _fit_seed(context: RenderContext, config: Json) -> None:
    """Reduce a seed to the 32 bits that Google accepts: equal seeds stay equal."""
    seed = config.get("seed")
    if seed is not None and not -(2**31) <= seed < 2**31:
        config["seed"] = seed % 2**31
        path = context.request.client_path("seed")
        context.approximate(path, "reduced to 32 bits", before=seed, after=config["seed"])


def _render_temperature(context: RenderContext, config: Json) -> None:
    temperature = context.request.sampling.temperature
    if temperature is None:
        return
    if context.traits.sampling:
        config["temperature"] = context.clamp_temperature(temperature)
    else:
        path = context.request.client_path("temperature")
        context.drop(path, f"{context.model} does not support it")


def _render_candidates_and_logprobs(context: RenderContext, config: Json) -> None:
    """Render the number of candidates, and the log probabilities."""
    sampling, request, traits = context.request.sampling, context.request, context.traits
    if sampling.n is not None:
        sent_count = min(sampling.n, traits.n_max)
        if sent_count != sampling.n:
            reason = f"{context.model} returns at most {sent_count} choices"
            context.approximate(
                request.client_path("n"), reason, before=sampling.n, after=sent_count
            )
        config["candidateCount"] = sent_count
    accepts_client_logprobs = context.same_dialect or accepts_logprobs(request)
    if not traits.logprobs or not accepts_client_logprobs:
        reason = NOT_TRANSLATABLE if traits.logprobs else f"{context.model} does not return them"
        for name in ("logprobs", "top_logprobs"):
            if getattr(sampling, name):
                context.drop(request.client_path(name), reason)
        return
    if sampling.logprobs is not None:
        config["responseLogprobs"] = sampling.logprobs
    if sampling.top_logprobs is not None:
        config["logprobs"] = sampling.top_logprobs


# --- metadata and extra fields --------------------------------------------------------------------

# A label's key and value, in lowercase letters of any language (`GenerateContentRequest.labels`).
_LABEL_KEY = re.compile(r"[^\W\d_][\w-]{0,62}")
_LABEL_VALUE = re.compile(r"[\w-]{0,63}")


def _render_metadata(context: RenderContext, body: Json) -> None:
    meta, request, traits = context.request.meta, context.request, context.traits
    context.drop_metadata("user_id", "session_key")
    if meta.metadata and traits.metadata:
        if labels := _valid_labels(context, meta.metadata):
            body["labels"] = labels
    elif meta.metadata:
        context.drop(request.client_path("metadata"), "only Vertex AI accepts labels")
    if meta.store is not None and traits.store:
        body["store"] = meta.store
    else:
        context.drop_metadata("store")
    if meta.service_tier is None:
        return
    tier = WIRE_TIERS.get(meta.service_tier)
    if tier is None or not traits.service_tier:
        context.drop(request.client_path("service_tier"), "no equivalent")
    else:
        body["serviceTier"] = tier


def _valid_labels(context: RenderContext, metadata: Json) -> Json:
    """The metadata that Vertex AI accepts as labels; a Google client's labels are unchanged."""
    if context.same_dialect:
        return metadata
    labels: Json = {}
    for key, value in metadata.items():
        if _is_label(_LABEL_KEY, key) and _is_label(_LABEL_VALUE, value):
            labels[key] = value
        else:
            reason = "labels have at most 63 lowercase letters, digits, underscores and dashes"
            context.drop(f"{context.request.client_path('metadata')}.{key}", reason)
    return labels


def _is_label(pattern: re.Pattern[str], text: Any) -> bool:
    return isinstance(text, str) and text == text.lower() and pattern.fullmatch(text) is not None


def _render_extra_fields(context: RenderContext, extra_fields: dict[str, Json], body: Json) -> None:
    """Render fields without a canonical equivalent for this dialect; report those of others."""
    for dialect, fields in extra_fields.items():
        for key, value in fields.items():
            # A key with a bracket is the path of a field inside a part.
            if dialect == NAME and "[" not in key:
                _set_extra_field(body, key, value)
            else:
                context.drop(key, "no equivalent")


def _set_extra_field(body: Json, key: str, value: Any) -> None:
    """Set a field by its dotted path; an existing value stays."""
    *parent_keys, last_key = key.split(".")
    parent = body
    for parent_key in parent_keys:
        parent = parent.setdefault(parent_key, {})
    parent.setdefault(last_key, value)


# --- output formats, both ways --------------------------------------------------------------------

_JSON_MEDIA_TYPE, _ENUM_MEDIA_TYPE = "application/json", "text/x.enum"
# Both spellings of a text format's `mimeType` (google-genai 3.4: a string or an enumeration).
_MEDIA_TYPES = {
    _JSON_MEDIA_TYPE: _JSON_MEDIA_TYPE,
    "APPLICATION_JSON": _JSON_MEDIA_TYPE,
    "text/plain": "text/plain",
    "TEXT_PLAIN": "text/plain",
}


def parse_output_format(config: Json, field_paths: dict[str, str], extra: Json) -> Output:
    """The requested output format, with its schema in any of the three fields."""
    media_type = text(config, "responseMimeType", GENERATION_CONFIG)
    schema: Any = mapping(config, "responseJsonSchema", GENERATION_CONFIG)
    text_format = _parse_response_format(config, extra)
    if text_format is not None:
        media_type = _MEDIA_TYPES[text_format["mimeType"]]
        if isinstance(text_format.get("schema"), dict):
            schema = text_format["schema"]
            field_paths["schema"] = f"{GENERATION_CONFIG}.{_RESPONSE_FORMAT}"
    elif schema is not None:
        field_paths["schema"] = f"{GENERATION_CONFIG}.responseJsonSchema"
    else:
        schema = from_google_schema(mapping(config, "responseSchema", GENERATION_CONFIG))
    if media_type not in (None, "text/plain", _JSON_MEDIA_TYPE):
        if media_type == _ENUM_MEDIA_TYPE and (choices := string_items((schema or {}).get("enum"))):
            field_paths["choices"] = f"{GENERATION_CONFIG}.responseMimeType"
            return Output(choices=tuple(choices))
        # Other types are specific to Google.
        for name in ("responseMimeType", "responseSchema", "responseJsonSchema"):
            if config.get(name) is not None:
                extra[f"{GENERATION_CONFIG}.{name}"] = config[name]
        return Output()
    if schema is not None:
        return Output(format="schema", schema=schema)
    return Output(format="json") if media_type == _JSON_MEDIA_TYPE else Output()


def _parse_response_format(config: Json, extra: Json) -> Json | None:
    """The text format in `responseFormat`, which replaces the older fields; None without one.

    A list with formats of other media, or of unknown types, is left to Google.
    """
    formats = config.get(_RESPONSE_FORMAT)
    if formats is None:
        return None
    if isinstance(formats, list) and len(formats) == 1 and isinstance(formats[0], dict):
        text_format = formats[0].get("text")
        if formats[0].keys() == {"text"} and _is_known_format(text_format):
            return text_format
    extra[f"{GENERATION_CONFIG}.{_RESPONSE_FORMAT}"] = formats
    return None


def _is_known_format(text_format: Any) -> bool:
    if not isinstance(text_format, dict) or not text_format.keys() <= {"mimeType", "schema"}:
        return False
    media_type = text_format.get("mimeType")
    return isinstance(media_type, str) and media_type in _MEDIA_TYPES


def render_output_format(context: RenderContext, config: Json) -> None:
    """Render the output format into the generation config."""
    output, request = context.request.output, context.request
    if output.format == "schema" and output.schema is not None:
        schema, changed_keywords = to_gemini_schema(output.schema)
        if output.description is not None:
            schema.setdefault("description", output.description)
        if changed_keywords:
            reason = (
                f"{'/'.join(changed_keywords)}: not in Gemini's JSON Schema, moved to descriptions"
            )
            context.approximate(request.client_path("schema"), reason)
        config["responseMimeType"] = _JSON_MEDIA_TYPE
        config["responseJsonSchema"] = schema
    elif output.format != "text":
        config["responseMimeType"] = _JSON_MEDIA_TYPE
    elif output.choices:
        config["responseMimeType"] = _ENUM_MEDIA_TYPE
        config["responseJsonSchema"] = {"type": "string", "enum": [*output.choices]}
    _drop_output_fields(context)


def _output_format_hint(context: RenderContext) -> list[Json]:
    """The output format as an instruction, for a model that accepts none together with tools."""
    output, request = context.request.output, context.request
    hints = []
    if output.format != "text":
        path, hint = request.client_path("format"), "Answer only with one JSON object."
        if output.format == "schema" and output.schema is not None:
            schema = with_description(without_meta_keywords(output.schema), output.description)
            schema_text = msgspec.json.encode(schema).decode()
            path = request.client_path("schema")
            hint = f"Answer only with JSON that follows this JSON Schema:\n{schema_text}"
        reason = f"{context.model} accepts no output format with tools: sent as an instruction"
        context.approximate(path, reason)
        hints.append({"text": hint})
    _drop_output_fields(context)
    return hints


def _drop_output_fields(context: RenderContext) -> None:
    output, request = context.request.output, context.request
    if output.name is not None:
        context.drop(request.client_path("name"), "no equivalent")
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent")


# --- the schema of a request that passes through --------------------------------------------------

# An object may stand in place of a list with one item, as in Google's own examples.
_ObjectOrList = list[dict[str, Any]] | dict[str, Any]


class Content(msgspec.Struct):
    """One content of the history."""

    parts: _ObjectOrList | None = None
    role: Literal["user", "model", "function", "tool", "system", ""] | None = None


_Contents = Annotated[list[Content], msgspec.Meta(min_length=1)] | Content


class CountedRequest(msgspec.Struct):
    """The request inside a token count."""

    contents: _Contents


class PassthroughSchema(msgspec.Struct, rename="camel"):
    """The fields whose types are fixed; a token count may contain a request instead."""

    contents: _Contents | None = None
    generate_content_request: CountedRequest | None = None
    system_instruction: dict[str, Any] | str | None = None
    tools: _ObjectOrList | None = None
    tool_config: dict[str, Any] | None = None
    safety_settings: _ObjectOrList | None = None
    generation_config: dict[str, Any] | None = None
    cached_content: str | None = None


_check_schema = passthrough_checker(PassthroughSchema)
# The fields with the input: a conversation, or texts to embed.
_INPUT_FIELDS = (b'"contents"', b'"content"', b'"requests"', b'"instances"')


def check_passthrough(body: bytes) -> None:
    """Raise GatewayError naming the first field that is not valid."""
    _check_schema(body)
    if not any(field in body for field in _INPUT_FIELDS):
        raise invalid(
            "contents is required and must be a list with at least one content", "contents"
        )


# --- paths and token counts -----------------------------------------------------------------------


_ACTIONS: dict[str, str] = {"generate": "generateContent", "count_tokens": "countTokens"}


def token_count_body(body: dict[str, Any], model: str) -> dict[str, Any]:
    """The body of a token count, which includes instructions and tools."""
    return {"generateContentRequest": {"model": "/".join(split_resource(model)), **body}}


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    action = "streamGenerateContent" if stream and verb == "generate" else _ACTIONS[verb]
    tail = "?alt=sse" if stream and verb == "generate" else ""
    return f"/v1beta/{resource_path(model)}:{action}{tail}"
