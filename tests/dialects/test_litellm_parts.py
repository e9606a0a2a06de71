"""Fields of Chat parts that only LiteLLM documents, and files that Google stores."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.simulate import translate
from tests.each import each

# --- cache breakpoints ------------------------------------------------------------------

MARK = {"cache_control": {"type": "ephemeral"}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c", "content": "r"}
FUNCTION = {"name": "f", "parameters": {}}
SEEN_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
QUESTION = {"role": "user", "content": "q"}
ASSISTANT = {"role": "assistant", "content": None}
TOOL_USE = {"type": "tool_use", "id": "c", "name": "f", "input": {}}


@each(
    ("fields", "marked"),
    [
        (
            {"tools": [{"type": "function", "function": {**FUNCTION, **MARK}}]},
            {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        ),
        (
            {"messages": [QUESTION, {**ASSISTANT, "tool_calls": [{**CALL, **MARK}]}, RESULT]},
            TOOL_USE,
        ),
        (
            {"messages": [QUESTION, {**ASSISTANT, "tool_calls": [CALL], **MARK}, RESULT]},
            TOOL_USE,
        ),
        (
            {"messages": [{"role": "user", "content": [SEEN_IMAGE], **MARK}]},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            },
        ),
    ],
    ids=["function", "call", "message with calls", "message with an image"],
)
def test_a_cache_breakpoint_of_a_chat_client_reaches_claude(
    fields: dict[str, Any], marked: dict[str, Any]
) -> None:
    body = {"model": "m", "messages": [QUESTION], **fields}
    translation = translate.request("openai_chat", "anthropic", body, {}, "claude-sonnet-5")
    sent = json.dumps([translation["body"]["messages"], translation["body"].get("tools")])
    assert json.dumps({**marked, **MARK}) in sent
    assert [row["field"] for row in translation["report"] if "cache" in row["field"]] == []


# --- files of Google --------------------------------------------------------------------

GOOGLE_FILE = "https://generativelanguage.googleapis.com/v1beta/files/a"


@each("uri", ["gs://bucket/a", GOOGLE_FILE, "files/a"])
@each("media_type", ["application/pdf", "image/png"])
@each("target", ["openai", "openai_responses", "mistral", "anthropic", "bedrock_converse"])
def test_a_file_that_google_stores_is_refused_elsewhere(
    target: str, media_type: str, uri: str
) -> None:
    parts = [{"text": "q"}, {"fileData": {"fileUri": uri, "mimeType": media_type}}]
    body = {"model": "m", "contents": [{"role": "user", "parts": parts}]}
    with pytest.raises(GatewayError) as refused:
        translate.request("gemini", target, body, {}, "gpt-4.1")
    assert refused.value.error.kind == "unsupported_param"
    assert refused.value.error.param == "contents[0].parts[1]"


PDF_URI, PNG_URI = "gs://b/a.pdf", "gs://b/a.png"


@each(
    ("part", "file_data"),
    [
        (
            {"type": "file", "file": {"file_id": PDF_URI}},
            {"fileUri": PDF_URI, "mimeType": "application/pdf"},
        ),
        (
            {"type": "file", "file": {"file_id": "gs://b/a", "format": "text/plain"}},
            {"fileUri": "gs://b/a", "mimeType": "text/plain"},
        ),
        (
            {"type": "file", "file": {"file_id": GOOGLE_FILE, "format": "application/pdf"}},
            {"fileUri": GOOGLE_FILE, "mimeType": "application/pdf"},
        ),
        (
            {"type": "image_url", "image_url": {"url": PNG_URI}},
            {"fileUri": PNG_URI, "mimeType": "image/png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://b/a", "format": "image/webp"}},
            {"fileUri": "gs://b/a", "mimeType": "image/webp"},
        ),
        (
            {"type": "file", "file": {"file_id": "https://youtu.be/a", "format": "video/mp4"}},
            {"fileUri": "https://youtu.be/a", "mimeType": "video/mp4"},
        ),
    ],
    ids=["file", "format", "Files API", "image", "image format", "video"],
)
def test_a_chat_client_names_files_of_google_as_with_litellm(
    part: dict[str, Any], file_data: dict[str, Any]
) -> None:
    """Vertex AI requires `mimeType`."""
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    translation = translate.request("openai_chat", "gemini", body, {}, "gemini-2.5-pro")
    assert translation["body"]["contents"][0]["parts"] == [{"fileData": file_data}]
    assert translation["report"] == []


def test_a_file_id_that_is_a_url_is_one_for_claude() -> None:
    part = {"type": "file", "file": {"file_id": "https://a.org/a.pdf"}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part]}]}
    translation = translate.request("openai_chat", "anthropic", body, {}, "claude-sonnet-5")
    (document,) = translation["body"]["messages"][0]["content"]
    assert document["source"] == {"type": "url", "url": "https://a.org/a.pdf"}
