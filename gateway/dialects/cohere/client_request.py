"""A client's chat request as a canonical request.

Documents are a field beside the messages; they become parts of the last user message, which is
where other dialects have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.canon.arguments import parse_arguments
from gateway.canon.errors import invalid
from gateway.canon.media import parse_data_url, resolve_media_type
from gateway.canon.request import (
    Document,
    Image,
    Native,
    Output,
    Part,
    Reasoning,
    ReasoningConfig,
    Request,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.dialects.cohere.context import DOCUMENTS, NAME, Json
from gateway.dialects.cohere.known_fields import KNOWN_FIELDS
from gateway.dialects.shared.fields import (
    MAX_TOKENS,
    boolean,
    compact_json,
    enum_value,
    integer,
    mapping,
    number,
    objects,
    passthrough_checker,
    required_mapping,
    required_messages,
    required_text,
    strings,
    text,
    wrong_type,
)
from gateway.dialects.shared.known_fields import unread_fields

# A canonical field -> where a client of this dialect writes it.
FIELD_PATHS: dict[str, str] = {
    "max_output": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
    "logprobs": "logprobs",
    "tool_choice": "tool_choice",
    "reasoning": "thinking",
    "budget": "thinking.token_budget",
    "format": "response_format",
    "schema": "response_format.json_schema",
    "detail": "image_url.detail",
    # below the tool's own path
    "tool_schema": "function.parameters",
    # of all tools and documents
    "tool_strict": "/strict_tools",
    "document_citations": "/citation_options",
    # below the path of a document
    "title": "data.title",
    "context": "data",
}
_PARSED_FIELDS = frozenset(
    {
        *("model", "stream", "messages", "tools", "strict_tools", "documents", "response_format"),
        *("max_tokens", "stop_sequences", "temperature", "seed", "frequency_penalty"),
        *("presence_penalty", "k", "p", "logprobs", "tool_choice", "thinking"),
    }
)
_MESSAGE_FIELDS = frozenset(
    {"role", "content", "tool_calls", "tool_plan", "citations", "tool_call_id"}
)
_ROLES = ("user", "assistant", "system", "tool")
_OPTIONS = "citation_options"
# Where a document has its text.
_TEXT_KEYS = ("text", "snippet", "content")


def parse_request(body: Json, headers: Mapping[str, str]) -> Request:
    """The canonical request. Raises GatewayError naming the field at fault."""
    extra: Json = {
        key: value for key, value in body.items() if key not in _PARSED_FIELDS and value is not None
    }
    instructions, turns = _split_instructions(_parse_turns(body, extra))
    documents = _parse_documents(body, extra)
    return Request(
        model=required_text(body, "model"),
        stream=boolean(body, "stream") is True,
        instructions=instructions,
        turns=_with_documents(turns, documents) if documents else turns,
        tools=_parse_tools(body),
        tool_choice=_parse_tool_choice(body),
        output=_parse_output(body),
        reasoning=_parse_reasoning_config(body),
        max_output=integer(body, "max_tokens", minimum=1, maximum=MAX_TOKENS),
        sampling=Sampling(
            temperature=number(body, "temperature"),
            top_p=number(body, "p"),
            top_k=integer(body, "k", minimum=0, maximum=MAX_TOKENS) or None,
            frequency_penalty=number(body, "frequency_penalty"),
            presence_penalty=number(body, "presence_penalty"),
            seed=integer(body, "seed"),
            stop=strings(body, "stop_sequences"),
            logprobs=boolean(body, "logprobs"),
        ),
        extra=({NAME: extra} if extra else {}) | unread_fields(body, KNOWN_FIELDS),
        # Citation options are reported as a whole, as other providers have none.
        client_paths=FIELD_PATHS | ({"document_citations": ""} if _OPTIONS in extra else {}),
    )


# --- messages -------------------------------------------------------------------------------------


def _parse_turns(body: Json, extra: Json) -> tuple[Turn, ...]:
    messages = required_messages(body)
    return tuple(
        _parse_turn(message, f"messages[{index}]", extra) for index, message in enumerate(messages)
    )


def _parse_turn(message: Json, path: str, extra: Json) -> Turn:
    role: Any = enum_value(message, "role", _ROLES, path)
    if role is None:
        raise invalid(f"{path}.role is required: {', '.join(_ROLES)}", f"{path}.role")
    for key in message.keys() - _MESSAGE_FIELDS:
        if message[key] is not None:
            extra[f"{path}.{key}"] = message[key]
    match role:
        case "tool":
            result = ToolResult(
                id=required_text(message, "tool_call_id", path),
                parts=_parse_content(message, path, extra, _RESULT_PARSERS),
                path=path,
            )
            return Turn(role="user", parts=(result,), path=path)
        case "assistant":
            return Turn(role=role, parts=_parse_assistant(message, path, extra), path=path)
        case _:
            parts = _parse_content(message, path, extra, _CONTENT_PARSERS)
            return Turn(role=role, parts=parts, path=path)


def _parse_assistant(message: Json, path: str, extra: Json) -> tuple[Part, ...]:
    """Reasoning and text, the plan, and the calls that it led to."""
    parts = list(_parse_content(message, path, extra, _CONTENT_PARSERS))
    if message.get("citations"):
        extra[f"{path}.citations"] = message["citations"]
    plan = text(message, "tool_plan", path)
    if plan:
        parts.append(Text(text=plan, path=f"{path}.tool_plan"))
    for index, call in enumerate(objects(message, "tool_calls", path)):
        call_path = f"{path}.tool_calls[{index}]"
        function = required_mapping(call, "function", call_path)
        arguments, raw_arguments = parse_arguments(
            text(function, "arguments", f"{call_path}.function") or ""
        )
        parts.append(
            ToolCall(
                id=required_text(call, "id", call_path),
                name=required_text(function, "name", f"{call_path}.function"),
                arguments=arguments,
                raw_arguments=raw_arguments,
                path=call_path,
            )
        )
    return tuple(parts)


def _split_instructions(turns: tuple[Turn, ...]) -> tuple[tuple[Text, ...], tuple[Turn, ...]]:
    """The texts of the first system messages, and the other turns."""
    instructions: list[Text] = []
    for index, turn in enumerate(turns):
        texts = [part for part in turn.parts if isinstance(part, Text)]
        if turn.role != "system" or len(texts) < len(turn.parts):
            return tuple(instructions), turns[index:]
        instructions += texts
    return tuple(instructions), ()


PartParser = Callable[[Json, str, Json], Part]


def _parse_content(
    message: Json, path: str, extra: Json, parsers: Mapping[str, PartParser]
) -> tuple[Part, ...]:
    """The parts of a message's `content`: a string, a list of parts, or null."""
    content = message.get("content")
    if content is None:
        return ()
    if type(content) is str:
        return (Text(text=content, path=path),) if content else ()
    parts: list[Part] = []
    for index, item in enumerate(objects(message, "content", path)):
        item_path = f"{path}.content[{index}]"
        parser = parsers.get(required_text(item, "type", item_path))
        if parser is None:
            parts.append(Native(dialect=NAME, data=item, path=item_path))
        else:
            parts.append(parser(item, item_path, extra))
    return tuple(parts)


def _parse_text(item: Json, path: str, extra: Json) -> Part:
    return Text(text=required_text(item, "text", path), path=path)


def _parse_thinking_part(item: Json, path: str, extra: Json) -> Part:
    return Reasoning(text=required_text(item, "thinking", path), path=path)


def _parse_image(item: Json, path: str, extra: Json) -> Part:
    image = required_mapping(item, "image_url", path)
    url = required_text(image, "url", f"{path}.image_url")
    detail = text(image, "detail", f"{path}.image_url")
    data_url = parse_data_url(url)
    if data_url is None:
        return Image(url=url, detail=detail, path=path)
    media_type = resolve_media_type(data_url[1], data_url[0], "image/png")
    return Image(data=data_url[1], media_type=media_type, detail=detail, path=path)


def _parse_result_document(item: Json, path: str, extra: Json) -> Part:
    """A document in a tool result, which other dialects have as text."""
    document = required_mapping(item, "document", path)
    if document.get("id") is not None:
        extra[f"{path}.document.id"] = document["id"]
    data = document.get("data")
    if type(data) is str:
        return Text(text=data, path=path)
    if type(data) is not dict:
        raise wrong_type(f"{path}.document.data", "an object or a string", data)
    return Text(text=compact_json(data), path=path)


_CONTENT_PARSERS: dict[str, PartParser] = {
    "text": _parse_text,
    "image_url": _parse_image,
    "thinking": _parse_thinking_part,
}
_RESULT_PARSERS: dict[str, PartParser] = {
    "text": _parse_text,
    "document": _parse_result_document,
}


# --- documents ------------------------------------------------------------------------------------


def _parse_documents(body: Json, extra: Json) -> tuple[Document, ...]:
    documents = body.get(DOCUMENTS)
    if documents is None:
        return ()
    if type(documents) is not list:
        raise wrong_type(DOCUMENTS, "a list", documents)
    options = mapping(body, _OPTIONS) or {}
    has_citations = options.get("mode") not in ("OFF", "DISABLED")
    return tuple(
        replace(_parse_document(item, f"documents[{index}]", extra), citations=has_citations)
        for index, item in enumerate(documents)
    )


def _parse_document(item: Any, path: str, extra: Json) -> Document:
    if type(item) is str:
        return Document(text=item, media_type="text/plain", path=path)
    if type(item) is not dict:
        raise wrong_type(path, "a string or an object", item)
    if item.get("id") is not None:
        extra[f"{path}.id"] = item["id"]
    data = required_mapping(item, "data", path)
    text_key = next((key for key in _TEXT_KEYS if type(data.get(key)) is str), "")
    title = data["title"] if type(data.get("title")) is str else None
    other_fields = [
        f"{key}: {value if type(value) is str else compact_json(value)}"
        for key, value in data.items()
        if key != text_key and not (key == "title" and title is not None)
    ]
    return Document(
        text=data[text_key] if text_key else "\n".join(other_fields),
        title=title,
        context="\n".join(other_fields) if other_fields and text_key else None,
        media_type="text/plain",
        path=path,
    )


def read_documents_echo(body: bytes) -> Json:
    """The documents of a request body, which citations repeat; empty without any."""
    if body.find(b'"documents"') < 0:
        return {}
    try:
        documents = msgspec.json.decode(body, type=_DocumentFields).documents
    except RecursionError:  # parsed before with fewer calls in progress
        return {}
    return {DOCUMENTS: documents} if documents else {}


class _DocumentFields(msgspec.Struct):
    documents: list[Any] | None = None


def _with_documents(turns: tuple[Turn, ...], documents: tuple[Document, ...]) -> tuple[Turn, ...]:
    """The turns with the documents before the text of the last user message."""
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        if turn.role == "user" and not any(isinstance(part, ToolResult) for part in turn.parts):
            updated_turn = replace(turn, parts=(*documents, *turn.parts))
            return (*turns[:index], updated_turn, *turns[index + 1 :])
    raise invalid("documents: there is no user message to which they belong", "documents")


# --- tools ----------------------------------------------------------------------------------------


def _parse_tools(body: Json) -> tuple[Tool, ...]:
    strict = boolean(body, "strict_tools")
    return tuple(
        _parse_tool(item, f"tools[{index}]", strict=strict)
        for index, item in enumerate(objects(body, "tools"))
    )


def _parse_tool(item: Json, path: str, *, strict: bool | None) -> Tool:
    function = required_mapping(item, "function", path)
    function_path = f"{path}.function"
    return Tool(
        name=required_text(function, "name", function_path),
        description=text(function, "description", function_path),
        schema=mapping(function, "parameters", function_path),
        strict=strict,
        path=path,
    )


def _parse_tool_choice(body: Json) -> ToolChoice | None:
    choice = enum_value(body, "tool_choice", ("REQUIRED", "NONE"))
    if choice is None:
        return None
    return ToolChoice(mode="any" if choice == "REQUIRED" else "none")


# --- output and reasoning -------------------------------------------------------------------------


def _parse_output(body: Json) -> Output:
    response_format = mapping(body, "response_format")
    if response_format is None:
        return Output()
    path = "response_format"
    output_type = enum_value(response_format, "type", ("text", "json_object"), path)
    if output_type != "json_object":
        return Output()
    # The first API had the name `schema`.
    schema = mapping(response_format, "json_schema", path) or mapping(
        response_format, "schema", path
    )
    return Output(format="json") if schema is None else Output(format="schema", schema=schema)


def _parse_reasoning_config(body: Json) -> ReasoningConfig | None:
    thinking = mapping(body, "thinking")
    if thinking is None:
        return None
    mode = enum_value(thinking, "type", ("enabled", "disabled"), "thinking")
    if mode == "disabled":
        return ReasoningConfig(mode="off")
    budget = integer(thinking, "token_budget", minimum=1, maximum=MAX_TOKENS, path="thinking")
    return (
        ReasoningConfig(mode="auto")
        if budget is None
        else ReasoningConfig(mode="budget", budget=budget)
    )


# --- the schema of a request that passes through --------------------------------------------------


class Message(msgspec.Struct):
    """One message of the history."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class PassthroughSchema(msgspec.Struct):
    """The fields of chat and embeddings whose types are fixed."""

    messages: list[Message] | None = None
    texts: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    documents: list[str | dict[str, Any]] | None = None
    temperature: float | None = None
    max_tokens: float | None = None
    stop_sequences: list[str] | None = None


check_passthrough = passthrough_checker(PassthroughSchema)
