"""Requests: a client's body to the canonical request, and back for a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from gateway.canon.arguments import render_arguments
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.json_values import to_raw
from gateway.canon.request import (
    Document,
    Meta,
    Native,
    Part,
    Refusal,
    Request,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.traits import Traits
from gateway.canon.turns import join_cited_texts
from gateway.dialects.base import RenderedRequest, SplitPlan, Verb
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    integer,
    logit_bias,
    mapping,
    number,
    passthrough_checker,
    required_text,
    strings,
    text,
    wrong_type,
)
from gateway.dialects.shared.known_fields import OTHERS, compile_fields, named, unread_fields
from gateway.dialects.shared.render_context import DeduplicatingRenderContext
from gateway.framing.sse import Decoder, encode

NAME = "openai_completions"
Json = dict[str, Any]


def untranslatable_error(path: str, reason: str, code: str | None = None) -> GatewayError:
    """The error for a value that cannot be translated to other dialects."""
    message = f"{path}: {reason}"
    return GatewayError(Error(kind="unsupported_param", message=message, param=path, code=code))


# --- a client's request ---------------------------------------------------------------------------

_PARSED_FIELDS = frozenset(
    {
        *("model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p"),
        *("frequency_penalty", "presence_penalty", "seed", "stop", "n", "best_of", "logprobs"),
        *("logit_bias", "user", "echo", "suffix"),
    }
)
# `logprobs` sets both whether and how many, so a report mentions it once.
_FIELD_PATHS = {
    "user_id": "user",
    "max_output": "max_tokens",
    "logprobs": "logprobs",
    "top_logprobs": "",
}

_KNOWN_FIELDS = compile_fields(
    {OTHERS: None, "stream_options": named("include_usage", "include_obfuscation")}
)


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra, include_usage = _collect_extra_fields(body)
    if (integer(body, "best_of", minimum=0, maximum=128) or 1) > 1:
        raise untranslatable_error("best_of", "must be 1: the gateway requests each choice once")
    top_logprobs = integer(body, "logprobs", minimum=0, maximum=1000)
    return Request(
        model=required_text(body, "model"),
        stream=bool(boolean(body, "stream")),
        include_usage=include_usage,
        turns=(_parse_prompt(body.get("prompt")),),
        max_output=integer(body, "max_tokens", minimum=0, maximum=MAX_TOKENS),
        sampling=Sampling(
            temperature=number(body, "temperature"),
            top_p=number(body, "top_p"),
            frequency_penalty=number(body, "frequency_penalty"),
            presence_penalty=number(body, "presence_penalty"),
            seed=integer(body, "seed"),
            stop=strings(body, "stop"),
            n=integer(body, "n", minimum=1, maximum=128),
            logprobs=True if top_logprobs is not None else None,
            top_logprobs=top_logprobs,
            logit_bias=logit_bias(body),
        ),
        meta=Meta(user_id=text(body, "user")),
        extra=({NAME: extra} if extra else {}) | unread_fields(body, _KNOWN_FIELDS),
        client_paths=dict(_FIELD_PATHS),
    )


def _parse_prompt(value: Any) -> Turn:
    """The only turn. The relay splits several prompts into one request each."""
    path = "prompt"
    if type(value) is list and len(value) == 1:
        value, path = value[0], "prompt[0]"
    if type(value) is str:
        return Turn(role="user", parts=(Text(text=value, path=path),), path=path)
    if value is None:
        raise invalid("prompt is required and must be a string", "prompt")
    if type(value) is not list:
        raise wrong_type("prompt", "a string or a list", value)
    if not value:
        raise invalid("prompt must contain at least one string", "prompt")
    if all(type(item) is str for item in value):
        raise untranslatable_error(
            "prompt",
            "only one prompt per request is supported; send one request for each",
            "multiple_prompts",
        )
    raise untranslatable_error("prompt", "token IDs are specific to a model; send the text")


def _collect_extra_fields(body: Json) -> tuple[Json, bool | None]:
    """The fields without a canonical equivalent, and whether a usage chunk is requested."""
    extra = {k: v for k, v in body.items() if k not in _PARSED_FIELDS and v is not None}
    if boolean(body, "echo"):
        extra["echo"] = True
    if suffix := text(body, "suffix"):
        extra["suffix"] = suffix
    options = mapping(body, "stream_options")
    if options is None:
        return extra, None
    return extra, boolean(options, "include_usage", "stream_options")


# --- a provider's request -------------------------------------------------------------------------

_ROLE_LABELS = {"user": "User", "assistant": "Assistant", "system": "System"}


class PromptRenderContext(DeduplicatingRenderContext):
    """The request, the traits of its target, and the adaptations reported so far."""

    def drop(self, path: str, reason: str = "no equivalent", *, before: Any = None) -> None:
        """Report a field that is not sent, unless the client did not write it."""
        super().drop(path, reason, before=before)


def render_request(request: Request, traits: Traits) -> RenderedRequest:
    """The JSON to send and what it could not express."""
    context = PromptRenderContext(request, traits)
    body: Json = {"model": traits.model or request.model, "prompt": _render_prompt(context)}
    if request.stream:
        body["stream"] = True
        if traits.stream_options:
            body["stream_options"] = {"include_usage": True}
    if (limit := context.clamp_max_tokens(0)) is not None:
        body["max_tokens"] = limit
    _render_sampling(context, body)
    _drop_unsupported(context)
    if request.meta.user_id is not None:
        if traits.user_field == "none":
            context.drop(request.client_path("user_id"))
        else:
            body["user"] = context.user_id(request.meta.user_id)
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect == NAME:
                body.setdefault(key, value)
            else:
                context.drop(key)
    return RenderedRequest(body=body, report=tuple(context.report))


def _render_prompt(context: PromptRenderContext) -> str:
    """A single user message as text; a conversation with its roles as labels."""
    request = context.request
    if len(request.turns) == 1 and not request.instructions and request.turns[0].role == "user":
        return _turn_text(context, request.turns[0])
    field = request.turns[0].path.partition("[")[0] if request.turns else "messages"
    context.approximate(field or "messages", "a conversation is sent as one text with role labels")
    lines = [_part_text(context, block) for block in context.sent_instructions()]
    lines += [f"{_ROLE_LABELS[turn.role]}: {_turn_text(context, turn)}" for turn in request.turns]
    if not request.turns or request.turns[-1].role != "assistant":
        lines.append("Assistant:")
    return "\n\n".join(lines)


def _turn_text(context: PromptRenderContext, turn: Turn) -> str:
    if turn.name is not None:
        context.drop(f"{turn.path}.name")
    return "\n\n".join(
        text for part in join_cited_texts(turn.parts) if (text := _part_text(context, part))
    )


def _part_text(context: PromptRenderContext, part: Part) -> str:
    match part:
        case Text():
            context.drop_cache_marks(part.cache)
            if part.citations:
                context.drop(context.part_field(part.path, "citations"))
            return part.text
        case Refusal():
            return part.text
        case Document() if part.text is not None:
            return _document_text(context, part, part.text)
        case ToolCall():
            return f"[called {part.name} with {render_arguments(part)}]"
        case ToolResult():
            inner = "\n\n".join(
                text for result_part in part.parts if (text := _part_text(context, result_part))
            )
            return f"[{part.name or 'the tool'} gave {inner}]"
        case Native() if (native_text := context.native_text(part)) is not None:
            return native_text.text
        case _:
            context.drop(part.path, "a prompt can only contain text")
            return ""


def _document_text(context: PromptRenderContext, document: Document, text: str) -> str:
    """A text document under its title."""
    context.drop_cache_marks(document.cache)
    if document.citations:
        context.drop(context.part_field(document.path, "document_citations"))
    heading = "\n".join(line for line in (document.title, document.context) if line)
    if not heading:
        return text
    context.approximate(document.path, "sent as text content under its title")
    return f"{heading}\n\n{text}"


def _render_sampling(context: PromptRenderContext, body: Json) -> None:
    request, traits, sampling = context.request, context.traits, context.request.sampling
    for name, is_supported in (
        ("temperature", traits.sampling),
        ("top_p", traits.sampling),
        ("top_k", traits.top_k),
        ("min_p", traits.min_p),
        ("repetition_penalty", traits.repetition_penalty),
        ("frequency_penalty", traits.penalties),
        ("presence_penalty", traits.penalties),
        ("seed", traits.seed),
        ("logit_bias", traits.logit_bias),
    ):
        value = getattr(sampling, name)
        if value is not None and is_supported:
            body[name] = value
        elif value is not None:
            context.drop(request.client_path(name))
    if stop := context.limit_stop_sequences(sampling.stop):
        body["stop"] = stop
    if sampling.logprobs and traits.logprobs:
        body["logprobs"] = sampling.top_logprobs or 0
    elif sampling.logprobs:
        context.drop(request.client_path("logprobs"))
    if sampling.n is not None and sampling.n > 1:
        context.approximate(
            request.client_path("n"), "a response has one choice", before=sampling.n, after=1
        )


def _drop_unsupported(context: PromptRenderContext) -> None:
    """Report the fields that a prompt cannot express."""
    request, reasoning = context.request, context.request.reasoning
    if request.tools:
        context.drop_tools("prompts do not support tools")
    elif request.tool_choice is not None and request.tool_choice.mode in {"any", "named"}:
        context.drop(request.client_path("tool_choice"))
    if request.output.format != "text":
        context.drop(
            request.client_path("schema" if request.output.format == "schema" else "format")
        )
    if request.output.verbosity is not None:
        context.drop(request.client_path("verbosity"))
    if reasoning is not None and reasoning.effort is not None:
        context.drop(request.client_path("effort"))
    elif reasoning is not None and reasoning.mode in {"auto", "budget"}:
        context.drop(request.client_path("reasoning"))
    if request.previous_response_id is not None:
        context.drop(request.client_path("previous_response_id"))
    if request.cache is not None:
        context.drop(request.client_paths.get("cache", "cache_control"))
    context.drop_metadata("session_key", "metadata", "service_tier", "store")


# --- requests with several prompts ----------------------------------------------------------------
#
# For providers that accept one prompt per request. With `n` choices per prompt, the choices
# of prompt `i` start at index `i * n`.

MAX_PROMPTS = 128
_DONE = b"[DONE]"


def plan_request(fields: Mapping[str, msgspec.Raw]) -> SplitPlan | None:
    """A request for each prompt; None for a single prompt or token ids."""
    prompt_field = fields.get("prompt")
    if prompt_field is None or not bytes(prompt_field).startswith(b"["):
        return None
    try:
        prompts = msgspec.json.decode(prompt_field, type=list[str])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not 1 < len(prompts) <= MAX_PROMPTS:
        return None
    requests = [{**fields, "prompt": to_raw(p)} for p in prompts]
    return SplitPlan(requests, merge_responses, MergedCompletionStream)


def merge_responses(bodies: list[Json]) -> Json:
    """One response: all choices in the order of the prompts, and the sum of the usage."""
    choices: list[Json] = []
    for body in bodies:
        choices += [
            {**choice, "index": len(choices) + index}
            for index, choice in enumerate(body.get("choices", []))
        ]
    out = {**bodies[0], "choices": choices}
    usages = [body["usage"] for body in bodies if isinstance(body.get("usage"), dict)]
    out.pop("usage", None)
    if len(usages) == len(bodies):
        out["usage"] = _sum_usage(usages)
    return out


def _sum_usage(usages: list[Json]) -> Json:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: sum(usage.get(name, 0) for usage in usages) for name in names}


class MergedCompletionStream:
    """Merges the consecutive streams of the responses into one stream."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._usages: list[Json] = []
        self._head: Json = {}
        self._done_count = 0
        self._choices_per_prompt = 1  # choices per prompt, from the first prompt's stream
        self._id: object = None

    def feed(self, index: int, chunk_bytes: bytes) -> bytes:
        """The bytes for the client of a chunk of the stream of this prompt."""
        out = b""
        for frame in self._decoder.feed(chunk_bytes):
            if frame.data == _DONE:
                self._done_count += 1
                continue
            chunk: Json = msgspec.json.decode(frame.data)
            if not chunk.get("choices") and "usage" in chunk:
                # Sent once, at the end of the merged stream.
                self._usages.append(chunk["usage"])
                continue
            out += encode(msgspec.json.encode(self._renumber_choices(index, chunk)))
        # A keep-alive comment is passed on.
        return out if out or not chunk_bytes.startswith(b":") else chunk_bytes

    def _renumber_choices(self, index: int, chunk: Json) -> Json:
        if not chunk.get("choices"):
            return chunk
        # All chunks of a response have one id.
        self._id = self._id or chunk.get("id")
        chunk = {**chunk, "id": self._id}
        self._head = {key: value for key, value in chunk.items() if key != "choices"}
        if index == 0:
            self._choices_per_prompt = max(
                self._choices_per_prompt, *(choice["index"] + 1 for choice in chunk["choices"])
            )
        first_index = index * self._choices_per_prompt
        choices = [
            {**choice, "index": first_index + choice["index"]} for choice in chunk["choices"]
        ]
        return {**chunk, "choices": choices}

    def close(self) -> bytes:
        """The end of the merged stream: the usage, if requested, and `[DONE]`."""
        out = b""
        if self._usages and len(self._usages) == self._done_count:
            usage_chunk = {**self._head, "choices": [], "usage": _sum_usage(self._usages)}
            out = encode(msgspec.json.encode(usage_chunk))
        return out + encode(_DONE)


# --- the schema of a request that passes through --------------------------------------------------

_NonNegativeInt = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
_BoundedFloat = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class PassthroughSchema(msgspec.Struct):
    """The fields whose types are fixed."""

    prompt: str | list[Any]
    suffix: str | None = None
    max_tokens: _NonNegativeInt | None = None
    n: _NonNegativeInt | None = None
    best_of: _NonNegativeInt | None = None
    logprobs: _NonNegativeInt | None = None
    temperature: _BoundedFloat | None = None
    top_p: _BoundedFloat | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None


check_passthrough = passthrough_checker(PassthroughSchema)


# --- paths and token counts -----------------------------------------------------------------------


def provider_path(model: str, *, stream: bool, verb: Verb) -> str:
    """The path of a call below the provider\'s base URL."""
    return "/completions"
