"""A field that no parser reads is reported, wherever it is in a client's request.

A report names only fields that the client's request has.
"""

from __future__ import annotations

import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.dialects.shared.known_fields import UNREAD
from gateway.simulate import translate
from tests.dialects.anthropic_messages.make import PDF, PNG
from tests.each import each

Json = dict[str, Any]
Path = tuple[str | int, ...]

NAME, VALUE = "unreadField", "unread value"
SCHEMA: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
ARGUMENTS = '{"a":"b"}'
DATA_URL = f"data:image/png;base64,{PNG}"
CACHE = {"cache_control": {"type": "ephemeral"}}

CONVERSE: Json = {
    "system": [{"text": "s"}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "hi"},
                {"image": {"format": "png", "source": {"bytes": PNG}}},
                {
                    "document": {
                        "format": "pdf",
                        "name": "n",
                        "source": {"bytes": PDF},
                        "citations": {"enabled": True},
                    }
                },
                {"document": {"name": "m", "source": {"content": [{"text": "x"}]}}},
                {"cachePoint": {"type": "default"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {
                    "citationsContent": {
                        "content": [{"text": "q"}],
                        "citations": [
                            {
                                "title": "t",
                                "sourceContent": [{"text": "e"}],
                                "location": {
                                    "documentChar": {"documentIndex": 0, "start": 0, "end": 1}
                                },
                            }
                        ],
                    }
                },
                {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"a": "b"}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "c1",
                        "content": [{"image": {"format": "png", "source": {"bytes": PNG}}}],
                    }
                },
                {"text": "go"},
            ],
        },
    ],
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "f", "inputSchema": {"json": SCHEMA}}},
            {"cachePoint": {"type": "default"}},
        ],
        "toolChoice": {"auto": {}},
    },
    "additionalModelRequestFields": {
        "thinking": {"type": "adaptive"},
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "outputConfig": {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA)}},
        }
    },
    "serviceTier": {"type": "default"},
}
COHERE: Json = {
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "t"}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "c1",
            "content": [{"type": "document", "document": {"data": {"text": "d"}}}],
        },
        {"role": "user", "content": "go"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    "documents": [{"data": {"text": "t"}}],
    "response_format": {"type": "json_object"},
    "thinking": {"type": "enabled"},
}
CHAT: Json = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": DATA_URL}},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "no"}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}},
                {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]},
        {"role": "tool", "tool_call_id": "c2", "content": "z"},
    ],
    "tools": [
        {"type": "function", "function": {"name": "f", "parameters": SCHEMA}},
        {
            "type": "custom",
            "custom": {
                "name": "g",
                "format": {"type": "grammar", "grammar": {"definition": "x", "syntax": "lark"}},
            },
        },
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [
                {"type": "function", "function": {"name": "f"}},
                {"type": "custom", "custom": {"name": "g"}},
            ],
        },
    },
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
}
RESPONSES: Json = {
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "hi"},
                {"type": "input_image", "image_url": DATA_URL},
                {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}"},
            ],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": ARGUMENTS},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "r"}],
        },
        {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "y"},
    ],
    "tools": [
        {"type": "function", "name": "f", "parameters": SCHEMA},
        {
            "type": "custom",
            "name": "g",
            "format": {"type": "grammar", "definition": "x", "syntax": "lark"},
        },
        {
            "type": "namespace",
            "name": "n",
            "tools": [{"type": "function", "name": "h", "parameters": SCHEMA}],
        },
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
    "stream_options": {"include_obfuscation": False},
}
MESSAGES: Json = {
    "max_tokens": 30000,
    "system": [{"type": "text", "text": "s", **CACHE}],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                },
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    "citations": {"enabled": True},
                },
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "x"}]},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": "https://x.example"}}
                    ],
                }
            ],
        },
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
    "tool_choice": {"type": "auto"},
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}
GEMINI: Json = {
    "systemInstruction": {"parts": [{"text": "s"}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "hi"},
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example"}},
            ],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": "b"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"b": "c"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
}
OLLAMA: Json = {
    "messages": [
        {"role": "user", "content": "hi", "images": [PNG]},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "f", "arguments": {"a": "b"}}}],
        },
        {"role": "tool", "tool_name": "f", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    "options": {"temperature": 1},
}
COMPLETIONS: Json = {"prompt": "x", "stream": True, "stream_options": {"include_usage": True}}

# A client, its request, and the target: of another dialect, and with all of these features.
REQUESTS = {
    "bedrock_converse": (CONVERSE, "anthropic", "claude-opus-5-5"),
    "cohere": (COHERE, "gemini", "gemini-3.8-flash"),
    "openai_chat": (CHAT, "openai_responses", "gpt-5.6-sol"),
    "openai_responses": (RESPONSES, "anthropic", "claude-opus-5-5"),
    "anthropic_messages": (MESSAGES, "openai_responses", "gpt-5.6-sol"),
    "gemini": (GEMINI, "openai_responses", "gpt-5.6-sol"),
    "ollama": (OLLAMA, "anthropic", "claude-opus-5-5"),
    "openai_completions": (COMPLETIONS, "gemini", "gemini-3.8-flash"),
}
# Objects whose names the client defines, and the vendor's blocks with one type each.
CLIENTS_OWN = {"schema", "input_schema", "parameters", "parametersJsonSchema", "json"} | {
    *("args", "input", "arguments", "data", "response", "system", "content")
}


def object_paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of the objects whose names are the vendor's."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from object_paths(item, (*path, index))
    elif isinstance(value, dict):
        yield path
        for key, item in value.items():
            if not (key in CLIENTS_OWN and isinstance(item, dict)):
                yield from object_paths(item, (*path, key))


def with_unread_field(body: Json, path: Path) -> Json:
    changed_body = copy.deepcopy(body)
    parent: Any = changed_body
    for key in path:
        parent = parent[key]
    parent[NAME] = VALUE
    return changed_body


def is_union(client: str, path: Path) -> bool:
    """Return whether a second field makes the object invalid: Converse has unions."""
    return client == "bedrock_converse" and isinstance(path[-1] if path else None, int)


@each("client", list(REQUESTS))
def test_an_unread_field_is_reported_or_sent(client: str) -> None:
    body, target, model = REQUESTS[client]
    lost: list[Path] = []
    for path in object_paths(body):
        if is_union(client, path):
            continue
        request = {"model": "m", **with_unread_field(body, path)}
        translation = translate.request(client, target, request, {}, model)
        reported_fields = [row["field"] for row in translation["report"]]
        is_reported = any(field.endswith(NAME) for field in reported_fields)
        if not is_reported and VALUE not in json.dumps(translation["body"]):
            lost.append(path)
    assert lost == []


@each("client", list(REQUESTS))
def test_the_fields_of_the_requests_are_not_reported_as_unread(client: str) -> None:
    body, _, _ = REQUESTS[client]
    client_functions = DIALECTS[client].client
    assert client_functions is not None
    assert UNREAD not in client_functions.parse_request({"model": "m", **body}, {}).extra


TARGETS = {
    "openai": "gpt-4o",
    "openai_responses": "gpt-4o",
    "anthropic": "claude-opus-5-5",
    "gemini": "gemini-2.5-pro",
    "ollama": "qwen3",
    "bedrock": "us.amazon.nova-pro-v1:0",
    "cohere": "command-a-03-2025",
    "mistral": "mistral-large-latest",
    "cohere-reasoning": "command-a-reasoning-08-2025",
    "custom-completions": "davinci-002",
}


# Cohere cites documents unless the request says otherwise.
IMPLIED_FIELDS = {"citation_options"}


def has_field(value: Any, path: Path) -> bool:
    """Return whether a request has a field at this path, or anywhere if it is only a name."""
    if len(path) == 1 and json.dumps(path[0]) + ":" in json.dumps(value):
        return True
    for key in path:
        if isinstance(value, list):
            if not isinstance(key, int) or key >= len(value):
                return False
        elif not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True


def path_of(field: str) -> Path:
    """Return a reported field as keys and indexes."""
    keys = re.findall(r"\[(\d+)\]|([^.\[\]]+)", field)
    return tuple(int(index) if index else key for index, key in keys)


FUNCTION = {"name": "f", "description": "d"}
BOUNDED = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}, "title": "T"}
GOOGLE_SCHEMA = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "title": "T"}
SEARCH_RESULT = {
    "searchResult": {
        "source": "https://a.example",
        "title": "t",
        "content": [{"text": "x"}],
        "citations": {"enabled": True},
    }
}
CONVERSE_DOCUMENT = {
    "document": {
        "format": "txt",
        "name": "a",
        "context": "c",
        "source": {"text": "x"},
        "citations": {"enabled": True},
    }
}
# Requests with settings whose canonical form has another place.
MOVED_SETTINGS: list[tuple[str, Json]] = [
    (
        "cohere",
        {
            "messages": [{"role": "user", "content": "q"}],
            "documents": [{"id": "a", "data": {"title": "T", "snippet": "S", "url": "https://a"}}],
            "strict_tools": True,
            "tools": [{"type": "function", "function": {**FUNCTION, "parameters": BOUNDED}}] * 2,
        },
    ),
    (
        "cohere",
        {
            "messages": [{"role": "user", "content": "q"}],
            "documents": ["a"],
            "citation_options": {"mode": "ACCURATE"},
        },
    ),
    *(
        (
            "gemini",
            {
                "contents": [{"role": "user", "parts": [{"text": "q"}]}],
                "tools": [{"functionDeclarations": [{**FUNCTION, **schema}]}],
                "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}},
                "serviceTier": "priority",
            },
        )
        for schema in ({"parametersJsonSchema": BOUNDED}, {"parameters": GOOGLE_SCHEMA})
    ),
    (
        "bedrock_converse",
        {
            "messages": [
                {"role": "user", "content": [{"text": "q"}, SEARCH_RESULT, CONVERSE_DOCUMENT]}
            ],
            "serviceTier": {"type": "priority"},
        },
    ),
    (
        "openai_chat",
        {"messages": [{"role": "user", "content": "q"}], "web_search_options": {}},
    ),
    (
        "anthropic_messages",
        {
            "max_tokens": 4000,
            "messages": [{"role": "user", "content": "q"}],
            "output_config": {"effort": "max"},
            "thinking": {"type": "adaptive"},
        },
    ),
]


@each(
    ("client", "request_body"),
    [*((client, body) for client, (body, _, _) in REQUESTS.items()), *MOVED_SETTINGS],
)
def test_reported_fields_are_in_the_request(client: str, request_body: Json) -> None:
    body = copy.deepcopy(request_body)
    if request_body is REQUESTS["openai_chat"][0]:
        body["messages"][0]["content"][0]["prompt_cache_breakpoint"] = {"mode": "explicit"}
    unknown: set[str] = set()
    for name, model in TARGETS.items():
        target = name.removesuffix("-reasoning")
        try:
            translation = translate.request(client, target, {"model": "m", **body}, {}, model)
        except GatewayError:
            continue
        reported = Counter((row["field"], row["action"]) for row in translation["report"])
        assert max(reported.values(), default=1) == 1, (name, reported.most_common(1))
        unknown |= {
            f"{target}: {row['field']}"
            for row in translation["report"]
            if row["action"] != "defaulted"
            and row["field"] not in IMPLIED_FIELDS
            and not has_field(body, path_of(row["field"]))
        }
    assert sorted(unknown) == []


def test_sources_of_a_text_are_reported_for_a_prompt() -> None:
    source = {"type": "char_location", "cited_text": "c", "document_index": 0}
    text = {"type": "text", "text": "x", "citations": [source]}
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [text]}]
    request = {"model": "m", "max_tokens": 9, "system": [text], "messages": messages}
    translation = translate.request(
        "anthropic_messages", "openai_completions", request, {}, "gpt-3.5-turbo-instruct"
    )
    reported_fields = [row["field"] for row in translation["report"]]
    assert {"system[0].citations", "messages[1].content[0].citations"} <= {*reported_fields}
