"""The canonical request: what a client requests from a model, independent of any dialect.

`path` of a value is its dotted path in the client's body, so that a renderer that cannot
express the value reports it by the client's own name. It is not part of the value's meaning:
compare values after `without_paths`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["user", "assistant", "system"]


class CacheBreakpoint(msgspec.Struct, frozen=True):
    """A prompt-cache breakpoint after the value that has it; `ttl` is '5m', '1h' or None."""

    ttl: str | None = None


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Opaque provider state that must be sent back unchanged to the model that created it.

    Attributes:
        provider: the preset name of the provider that created it (`anthropic`, `deepseek`);
            empty when a client sent a native value that the gateway did not wrap.
        model: the upstream model that created it.
        kind: its type at that provider: `signature`, `redacted`, `text`, `encrypted_content`, ...
        value: the provider's value, verbatim.
        item_id: the provider's item id, where it has one.
        reasoning_text: the reasoning, if the client that carries the state does not see it.
    """

    provider: str = ""
    model: str = ""
    kind: str = "signature"
    value: str = ""
    item_id: str = ""
    reasoning_text: str = ""


class QuoteLocation(msgspec.Struct, frozen=True, kw_only=True):
    """The location of a quotation in a document or search result of the request.

    `index` is the index of the document or result; `start` and `end` count pages, characters
    or blocks, depending on `kind`.
    """

    kind: Literal["page", "char", "block", "search_result"]
    index: int
    start: int
    end: int


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """A source of a text. `native` is the block as the `dialect` wrote it."""

    url: str | None = None
    title: str | None = None
    quote: str | None = None
    start: int | None = None
    end: int | None = None
    location: QuoteLocation | None = None
    dialect: str = ""
    native: dict[str, Any] = {}


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Plain text.

    `phase` is OpenAI's, for a text of a response: `commentary` or `final_answer`.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    cache: CacheBreakpoint | None = None
    phase: str = ""
    path: str = ""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image: exactly one of `data` (base64), `url`, `file_id`."""

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: CacheBreakpoint | None = None
    path: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file to read: exactly one of `data` (base64), `url`, `file_id`, `text`, `parts`.

    `detail` is OpenAI's, for the pages of the file: `low` or `high`.
    """

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    parts: tuple[Part, ...] | None = None
    media_type: str | None = None
    title: str | None = None
    context: str | None = None
    citations: bool | None = None
    detail: str | None = None
    cache: CacheBreakpoint | None = None
    path: str = ""


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """Audio in base64; `format` is `wav`, `mp3`, ..."""

    data: str
    format: str
    cache: CacheBreakpoint | None = None
    path: str = ""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call of the model.

    `arguments` is the parsed object. If the string is not JSON, or the tool accepts free
    text (`custom`), `arguments` is None and `raw_arguments` is the string. `caller` is the program
    that made the call in the model's place, as Anthropic writes it; empty if there is none.
    """

    id: str
    name: str
    arguments: dict[str, Any] | None = None
    raw_arguments: str | None = None
    custom: bool = False
    caller: dict[str, Any] = {}
    signature: Signature | None = None
    cache: CacheBreakpoint | None = None
    path: str = ""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a tool call; `id` is the id of the call. An empty result has no parts."""

    id: str
    parts: tuple[Part, ...] = ()
    is_error: bool | None = None
    name: str | None = None
    custom: bool = False
    cache: CacheBreakpoint | None = None
    path: str = ""


class Reasoning(msgspec.Struct, frozen=True, kw_only=True):
    """Reasoning of a model; if it is `redacted`, there is only its signature."""

    text: str = ""
    signature: Signature | None = None
    redacted: bool = False
    summary: bool = False
    path: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a refusal."""

    text: str
    path: str = ""


class Native(msgspec.Struct, frozen=True, kw_only=True):
    """A part that only one dialect supports; sent to it unchanged, reported to others.

    `text` is what other dialects are sent for it, if anything. `refusal` is the error instead, if
    a response without it would be of no use to the client.
    """

    dialect: str
    data: dict[str, Any]
    text: str = ""
    refusal: str = ""
    path: str = ""


Part = Text | Image | Document | Audio | ToolCall | ToolResult | Reasoning | Refusal | Native


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Tool results are parts of a user turn in every dialect.

    `effort` is a reasoning effort that applies from this turn on (Anthropic's
    mid-conversation system messages carry one).
    """

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    effort: str | None = None
    path: str = ""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model may call.

    Attributes:
        kind: `function`, `custom` (free-text input) or `server` (the provider runs it).
        schema: JSON Schema of the arguments; None if the client sent none.
        format: the grammar of a custom tool, as OpenAI writes it.
        native: a server tool as its `dialect` writes it.
        defer: whether it is loaded only when a tool search finds it.
        group_description: the description of the client's group of tools that it is in.
        extra: fields that only its dialect supports.
    """

    name: str
    kind: Literal["function", "custom", "server"] = "function"
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None
    dialect: str = ""
    native: dict[str, Any] | None = None
    defer: bool = False
    group_description: str | None = None
    cache: CacheBreakpoint | None = None
    extra: dict[str, Any] = {}
    path: str = ""


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which tools the model may or must call.

    `mode` is None if the client set only `parallel`. `allowed` restricts the choice to
    `names`; `required` is then whether one of them must be called.
    """

    mode: Literal["auto", "any", "none", "named", "allowed"] | None = None
    names: tuple[str, ...] = ()
    required: bool = False
    parallel: bool | None = None


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The format of the response: free text, any JSON, or JSON that follows a schema.

    `choices` are texts of which the response is one, without quotation marks.
    """

    format: Literal["text", "json", "schema"] = "text"
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    verbosity: str | None = None
    choices: tuple[str, ...] = ()


# The format of a response for which the client set none.
PLAIN_OUTPUT = Output()


# Reasoning efforts, from the weakest to the strongest.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class ReasoningConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model should reason, and how much of the reasoning is returned.

    Attributes:
        mode: `off`, `auto` (the model decides), `budget` (`budget` tokens) or
            None if the client set only an `effort`.
        effort: one of EFFORTS.
        effort_covers_output: whether the effort is for the whole response, with or without
            reasoning, as in Claude's API; elsewhere an effort alone requests reasoning.
        visible: `none` (signature only), `summary`, `raw`, or None if not set.
    """

    mode: Literal["off", "auto", "budget"] | None = None
    effort: str | None = None
    effort_covers_output: bool = False
    budget: int | None = None
    visible: Literal["none", "summary", "raw"] | None = None


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling parameters; None if the client did not set them."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None


# The parameters of a client that set none.
NO_SAMPLING = Sampling()


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends the request, and how the provider may process it.

    `user_id` is the end user's opaque id; `session_key` groups requests that
    share a prompt prefix; `service_tier` is default, priority or flex.
    """

    user_id: str | None = None
    session_key: str | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    store: bool | None = None


# The fields of a client that set none.
NO_META = Meta()


class RequestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All of a request but its model and conversation.

    Attributes:
        include_usage: whether a streaming Chat client requested the usage chunk.
        instructions: the system text before the first turn.
        max_output: the maximum number of tokens to generate, reasoning included.
        version: the client's `anthropic-version`; None for other dialects.
        betas: the client's `anthropic-beta` values.
        extra: per dialect, top-level fields without a canonical equivalent; sent to the
            same dialect, reported to others.
    """

    include_usage: bool | None = None
    instructions: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    output: Output = PLAIN_OUTPUT
    reasoning: ReasoningConfig | None = None
    max_output: int | None = None
    sampling: Sampling = NO_SAMPLING
    meta: Meta = NO_META
    cache: CacheBreakpoint | None = None
    version: str | None = None
    betas: tuple[str, ...] = ()
    extra: dict[str, dict[str, Any]] = {}


class Request(RequestSettings, frozen=True, kw_only=True):
    """One request for a response.

    Attributes:
        model: the model name that the client requested.
        client_paths: per canonical name, the client's path for it (`max_output` ->
            `max_completion_tokens`), for reports. The names are field names: `max_output`,
            `temperature`, `stop`, `tool_choice`, `parallel`, `effort`, `reasoning`,
            `schema`, `format`, `verbosity`, `user_id`, `session_key`, `metadata`,
            `service_tier`, `store`, ...
    """

    model: str
    stream: bool = False
    turns: tuple[Turn, ...] = ()
    previous_response_id: str | None = None
    client_paths: dict[str, str] = {}

    def client_path(self, name: str) -> str:
        """The client's own path of a canonical field; the field's name if it has none."""
        return self.client_paths.get(name, name)


def without_paths(value: Any) -> Any:
    """The value with every `path` emptied, for comparisons."""
    if isinstance(value, tuple):
        return tuple(without_paths(item) for item in value)
    if not isinstance(value, msgspec.Struct):
        return value
    changes = {name: without_paths(getattr(value, name)) for name in value.__struct_fields__}
    if "path" in changes:
        changes["path"] = ""
    if "client_paths" in changes:
        changes["client_paths"] = {}
    return msgspec.structs.replace(value, **changes)
