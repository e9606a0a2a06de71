"""The texts in a JSON body of a request or response, in any dialect.

`map_texts` visits the text of messages, instructions, tool arguments and tool results with their
keys that are no field names, the texts and values in tools and JSON schemas, and text files in
base64. It skips parameters, ids, names of tools, URLs and other base64 data. An unknown field
counts as text, so that new fields of a dialect are checked too; so does an id or a name that has
characters which ids and names of tools do not have.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.media import sniff_base64

Change = Callable[[str], str]

# Top-level fields that are parameters. The fields of `_TOOL_FIELDS` have texts.
SKIPPED_FIELDS = frozenset(
    {
        *("model", "stream", "stream_options", "user", "metadata", "litellm_metadata", "tags"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "session_id"),
        *("service_tier", "serviceTier", "store", "include", "background", "truncation", "cache"),
        *("previous_response_id", "conversation", "thread", "prompt_cache_options"),
        *("client_metadata", "diagnostics"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "n", "best_of", "seed"),
        *("temperature", "top_p", "top_k", "stop", "stop_sequences", "logit_bias", "logprobs"),
        *("tool_choice", "tool_config", "parallel_tool_calls", "function_call"),
        *("reasoning", "reasoning_effort", "thinking", "think"),
        *("safetySettings", "safety_settings"),
        *("cachedContent", "options", "keep_alive", "encoding_format", "dimensions"),
        *("anthropic_version", "anthropic_beta", "betas", "modalities", "audio", "container"),
        *("size", "quality", "style", "voice", "response_mime_type", "inferenceConfig"),
        # Top-level fields of responses.
        *("id", "object", "created", "created_at", "system_fingerprint", "usage", "usageMetadata"),
        *("status", "role", "type", "stop_reason", "stop_sequence", "modelVersion", "responseId"),
        *("provider", "done", "done_reason", "incomplete_details"),
    }
)
# Tools, and formats of the response: they reach the model, with the texts in their schemas.
_TOOL_FIELDS = frozenset(
    {
        *("tools", "functions", "response_format", "text_format", "format", "output_config"),
        *("output_format", "generationConfig", "generation_config", "toolConfig"),
    }
)
# Fields of tools and JSON schemas whose values the model sees, with all strings in them.
_SCHEMA_VALUES = frozenset({"enum", "const", "default", "examples", "example", "input_examples"})
# Fields whose members are schemas by name: the name `title` there is that of a property.
_SCHEMAS_BY_NAME = frozenset({"properties", "patternProperties", "$defs", "definitions"})
# Parameters of tools and formats, and keywords of schemas that are no text.
_TOOL_LABELS = frozenset(
    {
        *("$schema", "$id", "pattern", "syntax", "mode", "effort", "verbosity", "allowed_tools"),
        *("allowed_callers", "require_approval", "search_context_size", "container"),
        *("vector_store_ids", "file_ids", "propertyOrdering", "allowedFunctionNames"),
        *("responseMimeType", "response_mime_type", "responseModalities", "response_modalities"),
        *("voiceName", "languageCode", "stopSequences", "stop_sequences", "thinkingLevel"),
        *("size", "quality", "background", "output_format", "aspectRatio", "imageSize"),
    }
)
# Fields of tools that other servers than the model's get.
_TOOL_CREDENTIALS = frozenset({"authorization", "authorization_token", "headers"})
# Ids, names and kinds, below the top level.
_LABELS = frozenset(
    {
        *("role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "toolUseId", "name"),
        *("model", "status", "object", "media_type", "mime_type", "mimeType", "format", "detail"),
        *("file_id", "container_id", "server_label", "connector_id", "phase"),
        *("finish_reason", "finishReason", "stop_reason", "native_finish_reason"),
        *("encrypted_index", "index", "citation_id", "custom_id"),
    }
)
# Letters, digits and the punctuation of ids and media types: no white space, no `@`.
_LABEL_TEXT = re.compile(r"[\w.:;/+=~|<>#$*^-]*", re.ASCII)
_URLS = frozenset({"file_uri", "fileUri", "file_url", "url", "uri", "image_url", "server_url"})
_FILES = frozenset({"bytes", "file_data", "b64_json", "images"})
_OPAQUE = frozenset(
    {
        *("signature", "thought_signature", "thoughtSignature"),
        *("encrypted_content", "redacted_content"),
    }
)
# Objects with values of the model or a tool: each string in them is text, whatever its name.
_FREE_TEXT_FIELDS = frozenset(
    {
        *("arguments", "input", "args", "response", "output", "parameters"),
        # A tool's result in Converse, documents of Cohere, values of a stored prompt.
        *("json", "data", "document", "documents", "tool_output", "variables"),
    }
)
# Of these, what is free text as a list too; elsewhere, lists are parts of messages.
_FREE_TEXT_LISTS = frozenset({"json", "documents"})
# Of either alphabet, without padding.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*")
# What a text file begins with: no control characters but white space.
_TEXT_START = re.compile(rb"[^\x00-\x08\x0e-\x1f\x7f]+")
_LONG_BASE64 = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")
# Fields beside `data` if that is base64.
_MEDIA_FIELDS = ("media_type", "mime_type", "mimeType", "format", "transcript")
_REDACTED_TYPES = frozenset({"redacted_thinking", "reasoning.encrypted"})
# The end is optional, so that a search takes linear time in a text that is not JSON too.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
# Prompts, and Ollama's conversation, may be token ids instead of text.
_TOKEN_FIELDS = ("prompt", "input", "context")
# Fields of a response that repeat its text: as tokens, or as their ids (of vLLM, of Ollama).
_REPEATED_TEXT_FIELDS = frozenset({"logprobs", "logprobsResult", "token_ids", "context"})


def map_texts(document: Any, change: Change) -> Any:
    """The document with `change` applied to each of its texts, in a fixed order.

    Returns the same object if no text changes. Raises RecursionError for very deep nesting.
    """
    if not isinstance(document, dict):
        return _map_strings(document, "", None, change)
    changed_texts = {}
    for name, value in document.items():
        # A text `thinking` is the reasoning in a response of Ollama's /api/generate.
        if name in SKIPPED_FIELDS and not (name == "thinking" and isinstance(value, str)):
            continue
        # An object `text` is the format of a Responses request.
        mapped_value = (
            _map_schema_texts(value, name, change)
            if name in _TOOL_FIELDS or (name == "text" and isinstance(value, dict))
            else _map_field(name, value, document, change)
        )
        if mapped_value is not value:
            changed_texts[name] = mapped_value
    return {**document, **changed_texts} if changed_texts else document


def texts_of(document: Any) -> list[str]:
    """All texts of a document, in the order of `map_texts`."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    map_texts(document, collect)
    return texts


def has_token_ids(document: Any) -> bool:
    """Whether a prompt consists of token ids, whose text cannot be checked."""
    if not isinstance(document, dict):
        return False
    values = (document.get(name) for name in _TOKEN_FIELDS)
    return any(isinstance(value, list) and _contains_integers(value) for value in values)


def _contains_integers(items: list[Any]) -> bool:
    return any(
        isinstance(item, int) or (isinstance(item, list) and any(isinstance(i, int) for i in item))
        for item in items
    )


def has_duplicate_names(encoded_document: bytes, document: Any) -> bool:
    """Whether an object in valid JSON has a name twice; `document` is its decoded value.

    Only the last value is in `document`, so the first would be sent without a check.
    """
    names = 0
    values = [document]
    while values:
        value = values.pop()
        if type(value) is dict:
            names += len(value)
            values += value.values()
        elif type(value) is list:
            values += value
    # Outside of strings, there is one colon for each name.
    if encoded_document.count(b":") == names:
        return False
    return _STRING.sub(b"", encoded_document).count(b":") != names


def replace_texts(document: Any, texts: list[str]) -> Any:
    """The document with its texts replaced by these, one for each text of `texts_of`."""
    text_iterator = iter(texts)
    return map_texts(document, lambda _: next(text_iterator))


def remove_tokens(value: Any) -> Any:
    """A masked response without the tokens of its text, which would show what was masked."""
    if isinstance(value, list):
        return [remove_tokens(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _remove_tokens_of_field(name, field_value) for name, field_value in value.items()}


def _remove_tokens_of_field(name: str, value: Any) -> Any:
    if name in _REPEATED_TEXT_FIELDS:
        return [] if isinstance(value, list) else None
    if name in _FREE_TEXT_FIELDS and isinstance(value, dict):
        return value
    return remove_tokens(value)


def _map_strings(value: Any, name: str, parent: Any, change: Change) -> Any:
    if isinstance(value, str):
        return _map_string(value, name, parent, change)
    if isinstance(value, list):
        return _unless_equal(value, [_map_strings(item, name, parent, change) for item in value])
    if isinstance(value, dict):
        return _unless_equal(value, {k: _map_field(k, v, value, change) for k, v in value.items()})
    return value


def _map_field(name: str, value: Any, parent: dict[str, Any], change: Change) -> Any:
    if name == "logprobs":
        return value
    if name in _FREE_TEXT_FIELDS and _is_free_text(name, value):
        return _map_all_strings(value, change)
    return _map_strings(value, name, parent, change)


def _is_free_text(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        # A document of Converse has a source.
        return name != "document" or "source" not in value
    return name in _FREE_TEXT_LISTS


def _map_string(value: str, name: str, parent: Any, change: Change) -> str:
    if not value or name in _OPAQUE or (name == "data" and _is_redacted(parent)):
        return value
    if name in _LABELS:
        is_label = _LABEL_TEXT.fullmatch(value) and not _is_displayed_name(name, parent)
        return value if is_label else change(value)
    if name in _FILES or (name == "data" and _is_file(value, parent)):
        return _map_file(value, change)
    if name in _URLS:
        is_data_url = value[:5].lower() == "data:"
        return _map_file(value, change) if is_data_url else _map_url(value, change)
    if name == "arguments":
        return map_argument_text(value, change)
    return value if _is_media_url(value) else change(value)


def _is_redacted(parent: Any) -> bool:
    return isinstance(parent, dict) and str(parent.get("type")) in _REDACTED_TYPES


def _is_file(value: str, parent: Any) -> bool:
    """Whether the `data` of an object is a file in base64."""
    if isinstance(parent, dict) and parent.get("type") == "text":
        return False
    return _LONG_BASE64.fullmatch(value) is not None or (
        isinstance(parent, dict)
        and (parent.get("type") == "base64" or any(name in parent for name in _MEDIA_FIELDS))
    )


def _is_displayed_name(name: str, parent: Any) -> bool:
    """Whether a name is that of an author or of a document, which the model reads."""
    if name != "name" or not isinstance(parent, dict):
        return False
    return "source" in parent or ("role" in parent and parent["role"] not in ("tool", "function"))


def _map_url(value: str, change: Change) -> str:
    """A URL, which is text only if it has white space."""
    return value if len(value.split(None, 1)) == 1 else change(value)


def _map_file(value: str, change: Change) -> str:
    """A file in base64, or its data URL, with `change` applied if it is a text file in UTF-8.

    A value that is not base64 is a text itself.
    """
    data = value[_data_start(value) :]
    joined_data = "".join(data.split()).rstrip("=")
    is_base64 = _BASE64.fullmatch(joined_data) is not None
    text = _decode_text(joined_data) if is_base64 else None
    if text is None:
        return value if is_base64 and " " not in data else change(value)
    changed_text = change(text)
    if changed_text == text:
        return value
    encoded_text = base64.b64encode(changed_text.encode()).decode()
    return value[: len(value) - len(data)] + encoded_text


def _data_start(value: str) -> int:
    """Where the base64 of a data URL begins; 0 if the value is no such URL.

    As lenient as `parse_data_url`.
    """
    if value[:5].lower() != "data:":
        return 0
    head, comma, _ = value.partition(",")
    return len(head) + 1 if comma and "base64" in head.lower().split(";")[1:] else 0


def _decode_text(data: str) -> str | None:
    """The text of a text file in base64 without padding; None for files of another type."""
    if sniff_base64(data) == "application/pdf":
        return None
    try:
        # The first bytes tell almost all other files, without the time for the rest.
        if _TEXT_START.fullmatch(_decode_base64(data[:64])) is None:
            return None
        return _decode_base64(data).decode()
    except (binascii.Error, ValueError):
        return None


def _decode_base64(data: str) -> bytes:
    data = data.replace("-", "+").replace("_", "/")
    return base64.b64decode(data + "=" * (-len(data) % 4), validate=True)


def _is_media_url(value: str) -> bool:
    """Whether a text is the data URL of an image or another file that is no text."""
    start = _data_start(value)
    if not start or sniff_base64(value[start : start + 24]) is None:
        return False
    return _BASE64.fullmatch("".join(value[start:].splitlines()).rstrip("=")) is not None


def map_argument_text(value: str, change: Change) -> str:
    """Tool arguments as JSON text, with `change` applied to the strings in them."""
    try:
        decoded_value = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        return change(value)
    if not isinstance(decoded_value, dict | list) or has_duplicate_names(
        value.encode(), decoded_value
    ):
        return change(value)
    mapped_value = _map_all_strings(decoded_value, change)
    return value if mapped_value is decoded_value else msgspec.json.encode(mapped_value).decode()


def _map_all_strings(value: Any, change: Change) -> Any:
    """The value with `change` applied to its strings, and to keys that are no field names."""
    if isinstance(value, str):
        return change(value) if value and not _is_media_url(value) else value
    if isinstance(value, list):
        return _unless_equal(value, [_map_all_strings(item, change) for item in value])
    if isinstance(value, dict):
        mapped_fields: dict[str, Any] = {}
        last_numbers: dict[str, int] = {}
        for key, item in value.items():
            unused_key = _unused_key(_map_key(key, change), mapped_fields, last_numbers)
            mapped_fields[unused_key] = _map_all_strings(item, change)
        return (
            value
            if value.keys() == mapped_fields.keys() and _is_same(value, mapped_fields)
            else mapped_fields
        )
    return value


def _map_key(key: str, change: Change) -> str:
    return key if not key or key.isidentifier() else change(key)


def _unused_key(key: str, used_keys: dict[str, Any], last_numbers: dict[str, int]) -> str:
    """The key, with a number if it is in use: many keys may have the same mask.

    `last_numbers` has the last number of each such key, so that all together take linear time.
    """
    if key not in used_keys:
        return key
    number = last_numbers.get(key, 1) + 1
    while (name := f"{key} {number}") in used_keys:
        number += 1
    last_numbers[key] = number
    return name


def _map_schema_texts(value: Any, name: str, change: Change) -> Any:
    """Tools or a schema with `change` applied to the texts and values in them."""
    if isinstance(value, str):
        if name in _TOOL_LABELS or name in _LABELS:
            return value if _LABEL_TEXT.fullmatch(value) else change(value)
        return value if name in _URLS else change(value)
    if isinstance(value, list):
        return _unless_equal(value, [_map_schema_texts(item, name, change) for item in value])
    if isinstance(value, dict):
        mapped_fields = {k: _map_schema_field(k, v, change) for k, v in value.items()}
        return _unless_equal(value, mapped_fields)
    return value


def _map_schema_field(name: str, value: Any, change: Change) -> Any:
    if name in _TOOL_CREDENTIALS:
        return value
    if name in _SCHEMAS_BY_NAME and isinstance(value, dict):
        return _map_schemas_by_name(value, change)
    if name == "required" and isinstance(value, list):
        names = [_map_key(item, change) if isinstance(item, str) else item for item in value]
        return _unless_equal(value, names)
    if name in _SCHEMA_VALUES:
        return _map_all_strings(value, change)
    return _map_schema_texts(value, name, change)


def _map_schemas_by_name(schemas: dict[str, Any], change: Change) -> dict[str, Any]:
    mapped_schemas: dict[str, Any] = {}
    last_numbers: dict[str, int] = {}
    for key, schema in schemas.items():
        unused_key = _unused_key(_map_key(key, change), mapped_schemas, last_numbers)
        mapped_schemas[unused_key] = _map_schema_texts(schema, "", change)
    is_unchanged = schemas.keys() == mapped_schemas.keys() and _is_same(schemas, mapped_schemas)
    return schemas if is_unchanged else mapped_schemas


def _unless_equal(value: Any, mapped_value: Any) -> Any:
    """`mapped_value` if it differs from `value`, else `value` itself."""
    return value if _is_same(value, mapped_value) else mapped_value


def _is_same(value: Any, mapped_value: Any) -> bool:
    """Whether two lists, or two objects with the same keys, have the same items."""
    items, new_items = (
        (value.values(), mapped_value.values())
        if isinstance(value, dict)
        else (value, mapped_value)
    )
    return all(old is new for old, new in zip(items, new_items, strict=True))
