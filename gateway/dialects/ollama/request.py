"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from gateway.canon.errors import invalid, unsupported
from gateway.canon.logprobs import NOT_TRANSLATABLE, accepts_logprobs
from gateway.canon.request import EFFORTS, Output, ReasoningConfig, Request, Sampling, Text, Turn
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, Verb
from gateway.dialects.ollama.context import (
    CHAT_PATH,
    FIELD_PATHS,
    NAME,
    PROMPT_ONLY_FIELDS,
    Json,
    RenderContext,
)
from gateway.dialects.ollama.known_fields import KNOWN_FIELDS
from gateway.dialects.ollama.messages import (
    empty_request_error,
    parse_images,
    parse_messages,
    render_messages,
)
from gateway.dialects.ollama.tools import parameters_schema, parse_tools, render_tools
from gateway.dialects.shared.effort import (
    drop_effort_of_disabled_reasoning,
    effort_for_budget,
    next_lower_effort,
)
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    compact_json,
    integer,
    mapping,
    number,
    passthrough_checker,
    required_text,
    strings,
    text,
    wrong_type,
)
from gateway.dialects.shared.known_fields import unread_fields

# --- a client's request ---------------------------------------------------------------------------

_PARSED_FIELDS = frozenset(
    {
        *("model", "stream", "messages", "tools", "think", "format", "options"),
        *("logprobs", "top_logprobs", "prompt", "system", "images"),
    }
)
_PARSED_OPTIONS = frozenset(
    {
        *("num_predict", "temperature", "top_p", "top_k", "min_p", "seed", "stop"),
        *("frequency_penalty", "presence_penalty", "repeat_penalty"),
    }
)


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    options = mapping(body, "options") or {}
    extra = _collect_extra_fields(body, options)
    if "prompt" in body and "messages" not in body:
        instructions, turns = _parse_prompt(body)
    else:
        conversation = parse_messages(body)
        instructions, turns = conversation.instructions, conversation.turns
        extra |= conversation.extra_fields
    stream = boolean(body, "stream")
    return Request(
        model=required_text(body, "model"),
        # In this API, unlike in others, a request without `stream` is streamed.
        stream=stream is not False,
        instructions=tuple(instructions),
        turns=tuple(turns),
        tools=parse_tools(body),
        output=_parse_output(body),
        reasoning=_parse_reasoning_config(body),
        max_output=_parse_max_tokens(options),
        sampling=_parse_sampling(body, options),
        extra=({NAME: extra} if extra else {}) | unread_fields(body, KNOWN_FIELDS),
        client_paths=dict(FIELD_PATHS),
    )


def _parse_prompt(body: Json) -> tuple[list[Text], list[Turn]]:
    """The conversation of /api/generate: a prompt, and the system text."""
    prompt, system = text(body, "prompt"), text(body, "system")
    images = parse_images(body)
    if not prompt and not images:
        raise empty_request_error("prompt is required", "prompt")
    text_parts = [Text(text=prompt, path="prompt")] if prompt else []
    turn = Turn(role="user", parts=(*text_parts, *images), path="prompt")
    return [Text(text=system, path="system")] if system else [], [turn]


def _collect_extra_fields(body: Json, options: Json) -> Json:
    """The fields without a canonical equivalent; an option's key begins with `options.`."""
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    for key, value in options.items():
        if key not in _PARSED_OPTIONS and value is not None:
            extra[f"options.{key}"] = value
    if (limit := options.get("num_predict")) == -2:
        extra["options.num_predict"] = limit
    return extra


def _parse_max_tokens(options: Json) -> int | None:
    """The maximum number of tokens; None for -1 (no limit) and -2 (fill the context)."""
    limit = integer(options, "num_predict", minimum=-2, maximum=MAX_TOKENS, path="options")
    return limit if limit is not None and limit >= 0 else None


def _parse_sampling(body: Json, options: Json) -> Sampling:
    path = "options"
    return Sampling(
        temperature=number(options, "temperature", path=path),
        top_p=number(options, "top_p", path=path),
        top_k=integer(options, "top_k", minimum=-1, maximum=MAX_TOKENS, path=path),
        min_p=number(options, "min_p", path=path),
        frequency_penalty=number(options, "frequency_penalty", path=path),
        presence_penalty=number(options, "presence_penalty", path=path),
        repetition_penalty=number(options, "repeat_penalty", path=path),
        seed=integer(options, "seed", path=path),
        stop=strings(options, "stop", path),
        logprobs=boolean(body, "logprobs"),
        top_logprobs=integer(body, "top_logprobs", minimum=0, maximum=1000),
    )


def _parse_output(body: Json) -> Output:
    output_format = body.get("format")
    if output_format is None or output_format == "":
        return Output()
    if output_format == "json" or output_format == {}:
        return Output(format="json")
    if type(output_format) is not dict:
        raise wrong_type("format", "'json' or a JSON Schema", output_format)
    return Output(format="schema", schema=output_format)


def _parse_reasoning_config(body: Json) -> ReasoningConfig | None:
    think = body.get("think")
    if think is None or think == "":
        return None
    if type(think) is bool:
        return ReasoningConfig(mode="auto" if think else "off")
    if type(think) is not str:
        raise wrong_type("think", "true, false or an effort", think)
    if think not in EFFORTS:
        effort_names = ", ".join(EFFORTS)
        raise invalid(
            f"think must be true, false or one of {effort_names}, not {think[:40]!r}", "think"
        )
    return ReasoningConfig(mode="off") if think == "none" else ReasoningConfig(effort=think)


# --- a provider's request -------------------------------------------------------------------------


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError."""
    if request.sampling.n is not None and request.sampling.n > 1:
        raise unsupported(request.client_path("n"), "Ollama returns one choice per request")
    context = RenderContext(request, traits)
    # Always set: the default of this API is to stream.
    body: Json = {"model": traits.model or request.model, "stream": request.stream}
    _render_output_format(context, body)
    render_messages(context, body)
    render_tools(context, body)
    _render_reasoning_config(context, body)
    options = _render_options(context)
    _render_logprobs(context, body)
    _report_metadata(context)
    _render_extra_fields(context, body, options)
    if options:
        body["options"] = options
    custom_names = (tool.name for tool in request.tools if tool.kind == "custom")
    return RenderedRequest(
        body=body, report=tuple(context.report), custom_tools=frozenset(custom_names)
    )


# --- the output format ----------------------------------------------------------------------------


def _render_output_format(context: RenderContext, body: Json) -> None:
    output, request = context.request.output, context.request
    if output.verbosity is not None:
        context.drop(request.client_path("verbosity"), "no equivalent", before=output.verbosity)
    if output.format == "text":
        return
    if output.format == "schema" and output.description is not None:
        context.drop(request.client_path("description"), "no equivalent")
    if context.traits.structured == "none":
        _add_format_hint(context, output)
    elif output.format == "schema" and output.schema and context.traits.structured == "schema":
        body["format"] = {k: v for k, v in output.schema.items() if k != "$schema"}
        if output.name is not None:
            context.drop(request.client_path("name"), "no equivalent")
    else:
        body["format"] = "json"
        if output.schema:
            _add_format_hint(context, output)


def _add_format_hint(context: RenderContext, output: Output) -> None:
    """Add the format to the instructions, as the target has no field for it."""
    if output.schema:
        schema_text = compact_json(parameters_schema(output.schema))
        context.hints.append(f"Answer only with JSON that follows this JSON Schema:\n{schema_text}")
        path, limitation = context.request.client_path("schema"), "does not support JSON Schema"
    else:
        context.hints.append("Answer only with one JSON object.")
        path, limitation = context.request.client_path("format"), "has no JSON mode"
    context.approximate(path, f"the upstream {limitation}: sent as an instruction")


# --- reasoning ------------------------------------------------------------------------------------


def _render_reasoning_config(context: RenderContext, body: Json) -> None:
    request, traits = context.request, context.traits
    reasoning = _effective_reasoning_config(request)
    if reasoning is None or (reasoning.mode is None and reasoning.effort is None):
        return
    if reasoning.mode == "off":
        drop_effort_of_disabled_reasoning(context)
    if reasoning.effort is not None:
        path = request.client_path("effort")
    else:
        path = context.reasoning_path if reasoning.budget is None else request.client_path("budget")
    if reasoning.mode == "off" or reasoning.effort == "none":
        _render_disabled(context, body, path)
    elif not traits.reasoning:
        context.drop(path, f"{context.model} is not a reasoning model", before=reasoning.effort)
    else:
        body["think"] = _select_think_value(context, reasoning, path)


def _effective_reasoning_config(request: Request) -> ReasoningConfig | None:
    """The reasoning for this request; the last turn's effort overrides it."""
    turn_effort = next((turn.effort for turn in reversed(request.turns) if turn.effort), None)
    return request.reasoning if turn_effort is None else ReasoningConfig(effort=turn_effort)


def _render_disabled(context: RenderContext, body: Json, path: str) -> None:
    traits = context.traits
    if not traits.reasoning:
        return
    if traits.reasoning_always_on:
        context.approximate(path, f"{context.model} always reasons", before="off")
    elif traits.efforts and "none" not in traits.efforts:
        # A model that reasons with an effort ignores `false`.
        body["think"] = traits.efforts[0]
        reason = f"{context.model} cannot disable reasoning"
        context.approximate(path, reason, before="off", after=traits.efforts[0])
    else:
        body["think"] = False


def _select_think_value(
    context: RenderContext, reasoning: ReasoningConfig, path: str
) -> bool | str:
    """`true`, or an effort if the model supports several."""
    effort, efforts = reasoning.effort, context.traits.efforts
    if effort is None and reasoning.budget is not None:
        effort = effort_for_budget(reasoning.budget)
        fallback = effort if efforts else "true"
        reason = "this model does not support a token budget"
        context.approximate(
            path,
            reason,
            before=reasoning.budget,
            after=_nearest_effort(effort, efforts) or fallback,
        )
        return _nearest_effort(effort, efforts) or True
    if effort is None:
        return True
    sent_effort = _nearest_effort(effort, efforts)
    if sent_effort is None:
        context.approximate(
            path, f"{context.model} can only switch reasoning on or off", before=effort
        )
        return True
    # `minimal` below the lowest supported effort is documented and not reported.
    if sent_effort != effort and effort != "minimal":
        context.approximate(
            path, f"{context.model} supports {', '.join(efforts)}", before=effort, after=sent_effort
        )
    return sent_effort


def _nearest_effort(effort: str, efforts: tuple[str, ...]) -> str | None:
    """The effort itself, the next weaker supported one, or the weakest."""
    if effort in efforts or not efforts:
        return effort if efforts else None
    return next_lower_effort(effort, efforts)


# --- options --------------------------------------------------------------------------------------


def _render_options(context: RenderContext) -> Json:
    request, traits, sampling = context.request, context.traits, context.request.sampling
    options: Json = {}
    drop_reason = f"{context.model} rejects sampling parameters"
    if (limit := context.clamp_max_tokens(0)) is not None:
        options["num_predict"] = limit
    for name, option_name, is_supported in (
        ("temperature", "temperature", traits.sampling),
        ("top_p", "top_p", traits.sampling),
        ("top_k", "top_k", traits.sampling and traits.top_k),
        ("min_p", "min_p", traits.min_p),
        ("frequency_penalty", "frequency_penalty", traits.penalties),
        ("presence_penalty", "presence_penalty", traits.penalties),
        ("repetition_penalty", "repeat_penalty", traits.repetition_penalty),
        ("seed", "seed", traits.seed),
    ):
        value = getattr(sampling, name)
        if value is not None and is_supported:
            options[option_name] = value
        elif value is not None:
            context.drop(request.client_path(name), drop_reason, before=value)
    if stop := context.limit_stop_sequences(sampling.stop):
        options["stop"] = stop
    if sampling.logit_bias is not None:
        context.drop(request.client_path("logit_bias"), "no equivalent")
    return options


def _render_logprobs(context: RenderContext, body: Json) -> None:
    sampling, request = context.request.sampling, context.request
    if not sampling.logprobs:
        return
    for name in ("logprobs", "top_logprobs"):
        value = getattr(sampling, name)
        if value is None:
            continue
        if context.traits.logprobs and accepts_logprobs(request):
            body[name] = value
        else:
            context.drop(request.client_path(name), NOT_TRANSLATABLE)


# --- metadata and extra fields --------------------------------------------------------------------


def _report_metadata(context: RenderContext) -> None:
    """Report the metadata fields, for which Ollama has no equivalent."""
    request = context.request
    context.drop_metadata("user_id", "metadata", "service_tier", "store", "session_key")
    if request.previous_response_id is not None:
        context.drop(
            request.client_path("previous_response_id"),
            "the upstream does not store earlier responses",
        )
    context.drop_cache_marks(request.cache)


def _render_extra_fields(context: RenderContext, body: Json, options: Json) -> None:
    """Render fields without a canonical equivalent for this dialect; report those of others."""
    for dialect, fields in context.request.extra.items():
        for key, value in fields.items():
            if dialect != NAME or "[" in key or key in PROMPT_ONLY_FIELDS:
                context.drop(key, "no equivalent")
            elif key.startswith("options."):
                options.setdefault(key.removeprefix("options."), value)
            else:
                body.setdefault(key, value)


# --- the schema of a request that passes through --------------------------------------------------

_SamplingNumber = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Function(msgspec.Struct):
    """The function of a tool."""

    name: str


class Tool(msgspec.Struct):
    """An offered tool."""

    function: Function | None = None


class Message(msgspec.Struct):
    """One message of the history."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_name: str | None = None


class GenerationOptions(msgspec.Struct):
    """The options whose types are fixed."""

    temperature: _SamplingNumber | None = None
    top_p: _SamplingNumber | None = None
    num_predict: float | None = None
    num_ctx: float | None = None
    seed: float | None = None


class PassthroughSchema(msgspec.Struct):
    """The fields of chat, generate and embed requests whose types are fixed."""

    messages: list[Message] | None = None
    prompt: str | None = None
    input: str | list[str] | None = None
    system: str | None = None
    suffix: str | None = None
    images: list[str] | None = None
    tools: list[Tool] | None = None
    options: GenerationOptions | None = None
    think: bool | str | None = None
    format: str | dict[str, Any] | None = None
    keep_alive: float | str | None = None


check_passthrough = passthrough_checker(PassthroughSchema)


# --- paths and token counts -----------------------------------------------------------------------


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    return CHAT_PATH
