"""The texts of request and response bodies in all dialects."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest

from gateway.guardrails.body_texts import has_token_ids, map_texts, replace_texts, texts_of

CHAT = {
    "model": "SECRET-model",
    "user": "SECRET-user",
    "messages": [
        {"role": "system", "content": "one"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "two"},
                {"type": "image_url", "image_url": {"url": "https://x.test/SECRET"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"id": "three", "n": 1}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "four"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "five",
                "parameters": {
                    "type": "object",
                    "properties": {"id": {"type": "string", "description": "six"}},
                },
            },
        }
    ],
}
ANTHROPIC = {
    "system": [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "source": {"type": "text", "media_type": "text/plain", "data": "two"},
                },
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "SECRET"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "three", "signature": "SECRET"},
                {
                    "type": "tool_use",
                    "id": "t",
                    "name": "f",
                    "input": {"name": "four", "url": "five"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "text", "text": "six"}],
                },
            ],
        },
    ],
}
RESPONSES = {
    "instructions": "one",
    "input": [
        {
            "type": "message",
            "role": "user",
            "id": "m",
            "content": [{"type": "input_text", "text": "two"}],
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": "three"}'},
        {"type": "function_call_output", "call_id": "c", "output": "four"},
    ],
    "text": {"format": {"type": "text"}, "verbosity": "low"},
}
GEMINI = {
    "systemInstruction": {"parts": [{"text": "one"}]},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "two"}, {"inlineData": {"mimeType": "image/png", "data": "SECRET"}}],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"name": "three"}}}]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"name": "f", "response": {"id": "four"}}}],
        },
    ],
    "generationConfig": {"responseMimeType": "text/plain"},
}
OLLAMA = {"prompt": "one", "images": ["SECRET"], "system": "two", "options": {"stop": ["x"]}}
RESPONSE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "SECRET"}]},
            "message": {"role": "assistant", "content": "one", "refusal": None},
        }
    ],
}


@pytest.mark.parametrize(
    ("body", "count"),
    [(CHAT, 6), (ANTHROPIC, 6), (RESPONSES, 4), (GEMINI, 4), (OLLAMA, 2), (RESPONSE, 1)],
    ids=["chat", "anthropic", "responses", "gemini", "ollama", "answer"],
)
def test_every_text_field_of_a_body_is_checked(body: dict[str, Any], count: int) -> None:
    expected = ["one", "two", "three", "four", "five", "six"][:count]
    assert texts_of(body) == expected


@pytest.mark.parametrize("body", [CHAT, ANTHROPIC, RESPONSES, GEMINI, OLLAMA, RESPONSE])
def test_texts_are_replaced_in_place(body: dict[str, Any]) -> None:
    replaced = replace_texts(body, [text.upper() for text in texts_of(body)])
    assert texts_of(replaced) == [text.upper() for text in texts_of(body)]
    for word in ("one", "two", "three", "four", "five", "six"):
        assert json.dumps(replaced).lower() == json.dumps(replaced).replace(word, word).lower()
    restored = replace_texts(replaced, texts_of(body))
    assert _normal(restored) == _normal(body)


def _normal(body: Any) -> str:
    """Return the body with JSON in strings normalized."""
    return json.dumps(body).replace('\\": ', '\\":').replace(', \\"', ',\\"')


def test_a_body_without_changes_is_the_same_object() -> None:
    assert map_texts(CHAT, lambda text: text) is CHAT


def test_an_unknown_field_is_checked() -> None:
    assert texts_of({"messages": [], "new_field": {"hidden": "one"}}) == ["one"]


@pytest.mark.parametrize(
    "text",
    [
        *("data: a secret", "data:text/plain,a secret", "data:text/plain;base64,a secret", "data:"),
        *("data:a/b;base64,sk-proj-123", "data:image/png;base64,123-45-6789"),
    ],
)
def test_a_text_that_only_begins_like_a_data_url_is_checked(text: str) -> None:
    assert texts_of({"messages": [{"role": "user", "content": text}]}) == [text]
    assert texts_of({"messages": [{"content": [{"tool_use": {"input": {"a": text}}}]}]}) == [text]


def test_the_data_url_of_media_is_skipped() -> None:
    for start in (b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"ID3", b"RIFF\x24\0\0\0WAVE"):
        data = base64.b64encode(start + bytes(range(256))).decode()
        for head in ("data:image/png;base64,", "data:;base64,", "data:a/b;charset=x;base64,"):
            assert texts_of({"input": [{"output": head + data}]}) == []
            assert texts_of({"content": [{"image_url": {"url": head + data}}]}) == []


def test_names_of_authors_and_documents_are_checked() -> None:
    messages = [
        {"role": "user", "name": "one", "content": "two"},
        {"role": "tool", "name": "lookup", "content": "three"},
    ]
    assert texts_of({"messages": messages}) == ["one", "two", "three"]
    document = {"name": "one", "format": "txt", "source": {"text": "two"}}
    assert texts_of({"messages": [{"content": [{"document": document}]}]}) == ["one", "two"]
    file = {"type": "file", "file": {"filename": "one", "file_id": "file-1"}}
    assert texts_of({"messages": [{"role": "user", "content": [file]}]}) == ["one"]


@pytest.mark.parametrize("text", ["ada@example.com", "4111 1111 1111 1111", "two\nlines"])
def test_ids_names_and_urls_with_the_characters_of_text_are_checked(text: str) -> None:
    for name in ("id", "tool_call_id", "type", "role", "status", "model"):
        assert texts_of({"messages": [{name: text}]}) == [text]
    call = {"id": text, "type": "function", "function": {"name": text, "arguments": "{}"}}
    assert texts_of({"messages": [{"tool_calls": [call]}]}) == [text, text]
    assert texts_of({"tools": [{"function": {"name": text}}]}) == [text]
    if "@" not in text:
        assert texts_of({"messages": [{"url": text}]}) == [text]


def _files(data: str) -> list[dict[str, Any]]:
    return [
        {"type": "file", "file": {"file_data": f"data:text/plain;base64,{data}"}},
        {"type": "file", "file": {"file_data": data}},
        {"type": "input_file", "file_data": f"data:text/csv;charset=utf-8;base64,{data}"},
        {"type": "input_file", "file_url": f"DATA:text/csv;base64,{data}"},
        {"inlineData": {"mimeType": "text/plain", "data": data}},
        {"inline_data": {"mime_type": "image/png", "data": data}},
        {"type": "document", "source": {"type": "base64", "media_type": "text/md", "data": data}},
        {"document": {"format": "md", "name": "one", "source": {"bytes": data}}},
    ]


def test_text_files_are_checked_in_each_form_of_base64() -> None:
    text = "Größe: SECRET?>~~" * 9
    data = base64.b64encode(text.encode()).decode()
    forms = [
        data.rstrip("="),
        base64.urlsafe_b64encode(text.encode()).decode(),
        base64.encodebytes(text.encode()).decode(),
        "\n".join(data),
        "\r\n ".join(data),
        f"data:text/plain;base64;charset=utf-8,{data}",
        "data:;" + "a=b;" * 9 + f"BASE64,{data}",
    ]
    for form in forms:
        assert texts_of({"messages": [{"content": [{"file": {"file_data": form}}]}]}) == [text]


def test_text_files_in_base64_are_checked_and_changed() -> None:
    data = base64.b64encode("Größe: SECRET\n".encode()).decode()
    expected = base64.b64encode("Größe: [X]\n".encode()).decode()
    for file in _files(data):
        body = {"messages": [{"role": "user", "content": [file]}]}
        assert "Größe: SECRET\n" in texts_of(body)
        masked = map_texts(body, lambda text: text.replace("SECRET", "[X]"))
        assert masked == json.loads(json.dumps(body).replace(data, expected))
        assert map_texts(body, lambda text: text) is body


def test_files_that_are_no_text_are_skipped() -> None:
    for content in (b"%PDF-1.7 all ASCII", b"PK\3\4" + b"x" * 99, b"\xff\xfe\x41" * 30, b"\0" * 99):
        data = base64.b64encode(content).decode()
        for file in _files(data)[:-1]:
            assert texts_of({"messages": [{"role": "user", "content": [file]}]}) == []


def test_a_file_that_is_not_base64_is_checked_as_it_is() -> None:
    for file in _files("a secret: 1"):
        (text,) = (text for text in texts_of({"messages": [{"content": [file]}]}) if text != "one")
        assert text.endswith("a secret: 1")


def test_audio_is_skipped_and_its_transcript_checked() -> None:
    audio = {"id": "audio_1", "data": "UklGRiQA", "expires_at": 1, "transcript": "one"}
    assert texts_of({"choices": [{"message": {"audio": audio}}]}) == ["one"]
    assert texts_of({"block": [{"data": "UklGRiQA" * 8}]}) == []


def test_results_and_documents_with_fields_of_any_name_are_checked() -> None:
    values = {"name": "one", "id": "two", "url": "three"}
    converse: dict[str, Any] = {"toolResult": {"toolUseId": "t", "content": [{"json": values}]}}
    assert texts_of({"messages": [{"content": [converse]}]}) == ["one", "two", "three"]
    converse["toolResult"]["content"] = [{"json": [values]}]
    assert texts_of({"messages": [{"content": [converse]}]}) == ["one", "two", "three"]
    assert texts_of({"documents": [{"id": "d", "data": values}]}) == ["d", "one", "two", "three"]
    assert texts_of({"documents": [values]}) == ["one", "two", "three"]
    assert texts_of({"prompt": {"id": "p", "variables": values}}) == ["one", "two", "three"]
    cohere = {"type": "document", "document": {"id": "d", "data": '{"a": "one"}'}}
    assert texts_of({"messages": [{"role": "tool", "content": [cohere]}]}) == ["d", '{"a": "one"}']
    sources = [{"type": "tool", "id": "c:0", "tool_output": values}]
    assert texts_of({"messages": [{"citations": [{"sources": sources}]}]}) == [
        "one",
        "two",
        "three",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": "SCHEMA"}}},
        {"text": {"format": {"type": "json_schema", "schema": "SCHEMA"}}},
        {"generationConfig": {"responseSchema": "SCHEMA", "temperature": 1}},
        {"format": "SCHEMA", "model": "m"},
        {"output_config": {"format": {"schema": "SCHEMA"}, "effort": "low"}},
        {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": "SCHEMA"}}}]}},
    ],
    ids=lambda body: next(iter(body)),
)
def test_texts_and_values_in_schemas_are_checked(body: dict[str, Any]) -> None:
    """The model sees them all."""
    schema = {
        "type": "object",
        "title": "one",
        "properties": {
            # Properties with the names of keywords.
            "title": {"type": "string", "format": "uri", "description": "two"},
            "enum": {"type": "string", "enum": ["three", 4], "default": "four"},
        },
        "required": ["title"],
        "examples": [{"title": "five"}],
        "$defs": {"const": {"const": "six", "pattern": "^x$"}},
    }
    filled = json.loads(json.dumps(body).replace('"SCHEMA"', json.dumps(schema)))
    assert texts_of(filled) == ["one", "two", "three", "four", "five", "six"]
    assert map_texts(filled, lambda text: text) is filled
    masked = json.dumps(map_texts(filled, lambda text: "[X]"))
    assert masked.count("[X]") == 6
    assert json.loads(masked.replace("[X]", "")).keys() == filled.keys()


def test_examples_and_grammars_of_tools_are_checked() -> None:
    tools = [
        {"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": {"b": "one"}}]},
        {"type": "custom", "format": {"type": "grammar", "syntax": "lark", "definition": "two"}},
        {"type": "mcp", "server_label": "x", "server_url": "y", "server_description": "three"},
    ]
    assert texts_of({"tools": tools}) == ["one", "two", "three"]


def test_other_texts_of_tools_and_schemas_are_checked() -> None:
    schema = {
        "type": "object",
        "properties": {
            "ada@example.com": {"type": "string", "note": "one"},
            "a": {"errors": ["two"]},
        },
        "required": ["ada@example.com", "a"],
    }
    tools = [
        {"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}},
        {"type": "web_search", "user_location": {"type": "approximate", "city": "three"}},
        {"type": "mcp", "server_label": "l", "server_url": "u", "authorization": "SECRET"},
    ]
    body = {"tools": tools}
    assert texts_of(body) == ["ada@example.com", "one", "two", "ada@example.com", "three"]
    masked = map_texts(body, lambda text: "[EMAIL]" if "@" in text else text)
    parameters = masked["tools"][0]["function"]["parameters"]
    assert list(parameters["properties"]) == parameters["required"] == ["[EMAIL]", "a"]
    assert masked["tools"][1:] == tools[1:]
    assert map_texts(body, lambda text: text) is body


@pytest.mark.parametrize(
    ("body", "has_ids"),
    [
        ({"prompt": [1, 2]}, True),
        ({"prompt": ["a", [1, 2]]}, True),
        ({"input": [[1], [2]]}, True),
        ({"context": [1]}, True),
        ({"prompt": ["a"], "input": "b", "n": 1}, False),
        ([1], False),
    ],
)
def test_prompts_of_token_ids_are_recognized(body: Any, has_ids: bool) -> None:
    assert has_token_ids(body) is has_ids


def test_keys_of_results_that_are_no_field_names_are_checked() -> None:
    values = {"by_user": {"ada@example.com": 1, "bob@example.com": "two"}, "": 3}
    body = {"messages": [{"content": [{"toolResult": {"content": [{"json": values}]}}]}]}
    assert texts_of(body) == ["ada@example.com", "bob@example.com", "two"]
    masked = map_texts(body, lambda text: "[EMAIL]" if "@" in text else text)
    (result,) = masked["messages"][0]["content"][0]["toolResult"]["content"]
    assert result["json"] == {"by_user": {"[EMAIL]": 1, "[EMAIL] 2": "two"}, "": 3}
    call = {"function": {"name": "f", "arguments": '{"ada@example.com":1}'}}
    assert texts_of({"messages": [{"tool_calls": [call]}]}) == ["ada@example.com"]
    assert map_texts(body, lambda text: text) is body


def test_texts_beside_a_non_string_type_are_checked() -> None:
    assert texts_of({"messages": [{"content": [{"type": [], "data": "one"}]}]}) == ["one"]


def test_many_keys_with_the_same_mask_take_linear_time() -> None:
    values = {f"{number}@example.com": number for number in range(50_000)}
    values |= {"[EMAIL] 3": 0}
    body = {"messages": [{"content": [{"type": "tool_use", "input": values}]}]}
    start = time.thread_time()
    masked = map_texts(body, lambda text: "[EMAIL]" if "@" in text else text)
    assert time.thread_time() - start < 2
    result = masked["messages"][0]["content"][0]["input"]
    assert len(result) == len(values)
    assert list(result)[:3] == ["[EMAIL]", "[EMAIL] 2", "[EMAIL] 3"]


def test_texts_like_data_urls_take_linear_time() -> None:
    text = "data:" + "a" * 200 + ";" + "b" * 99
    body = {"messages": [{"role": "user", "content": text}] * 10_000}
    start = time.thread_time()
    assert len(texts_of(body)) == 10_000
    assert time.thread_time() - start < 2


def test_large_files_take_linear_time() -> None:
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\xff" * 6_000_000).decode()
    body = {"messages": [{"content": [{"inlineData": {"mimeType": "image/png", "data": image}}]}]}
    start = time.thread_time()
    assert texts_of(body) == []
    assert texts_of({"messages": [{"content": ["=" * 100_000 + "!"]}]}) != []
    assert texts_of({"messages": [{"bytes": "\r\n" * 100_000 + "!"}]}) != []
    assert texts_of({"messages": [{"bytes": "=\n" * 100_000 + "!"}]}) != []
    assert time.thread_time() - start < 2
