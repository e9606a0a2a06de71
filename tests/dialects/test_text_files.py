"""Plain text files are sent as named text to providers without file input."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.simulate import translate
from tests.each import each
from tests.fakes import (
    anthropic_rules,
    bedrock_rules,
    cohere_rules,
    gemini_rules,
    ollama_rules,
    openai_rules,
)
from tests.fakes.script import Refusal

Json = dict[str, Any]

WORDS = "# Notes\n\nThe sea is wide: é."
DATA = base64.b64encode(WORDS.encode()).decode()
PDF = base64.b64encode(b"%PDF-1.7 x").decode()
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
VERSION = {"anthropic-version": "2023-06-01"}


def file(data: str, name: str = "notes.md") -> Json:
    return {"type": "file", "file": {"filename": name, "file_data": data}}


FORMS = {
    "markdown": file(f"data:text/markdown;base64,{DATA}"),
    "plain": file(f"data:text/plain;base64,{DATA}", "notes.txt"),
    # Without a media type the name says what it is.
    "bare": file(DATA),
    "unknown_type": file(f"data:application/octet-stream;base64,{DATA}"),
}
# Takers of no files, by target: of OpenAI's format, of others.
TARGETS: dict[str, str] = {
    "deepseek": "deepseek-chat",
    "vllm": "qwen3",
    "groq": "llama-3.3-70b-versatile",
    "cerebras": "llama-3.3-70b",
    "xai": "grok-4",
    "together": "meta-llama/Llama-3.3-70B",
    "fireworks": "accounts/fireworks/models/kimi-k2",
    "azure_ai": "phi-4",
    "lmstudio": "qwen3",
    "custom": "qwen3",
    "openai": "o3-mini",
    "openai_responses": "o3-mini",
    "anthropic": "claude-opus-5-5",
    "deepseek-anthropic": "deepseek-v4-pro",
    "minimax": "MiniMax-M2",
    "gemini": "gemini-3.8-flash",
    "bedrock": CLAUDE,
    "cohere": "command-a-03-2025",
    "ollama": "qwen3",
}
RULES: dict[str, Callable[[Json], Refusal | None]] = {
    "deepseek": openai_rules.deepseek_refusal,
    "openai": openai_rules.refusal,
    "anthropic": lambda body: anthropic_rules.refusal(body, VERSION, counting=False),
    "gemini": lambda body: gemini_rules.refusal(body, "gemini-3.8-flash"),
    "bedrock": lambda body: bedrock_rules.refusal(CLAUDE, body),
    "cohere": cohere_rules.refusal,
    "ollama": lambda body: ollama_rules.refusal("/api/chat", body),
}
OWN_FORM = {"gemini", "bedrock"}  # they take files of text, as bytes


def chat_request(*parts: Json) -> Json:
    content = [{"type": "text", "text": "Sum it up."}, *parts]
    return {
        "model": "gw",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": content}],
        "vendor_field": 1,
    }


@each("form", FORMS)
@each("target", TARGETS)
def test_a_file_of_text_is_sent_as_text(target: str, form: str) -> None:
    translation = translate.request(
        "openai_chat", target, chat_request(FORMS[form]), {}, TARGETS[target]
    )
    if target in OWN_FORM:
        assert DATA in msgspec.json.encode(translation["body"]).decode()
    else:
        body = {key: value for key, value in translation["body"].items() if key != "vendor_field"}
        text = msgspec.json.encode(WORDS).decode().strip('"')
        name = FORMS[form]["file"]["filename"]
        encoded_body = msgspec.json.encode(body).decode()
        assert text in encoded_body
        assert name in encoded_body
        assert "file_data" not in encoded_body
        assert "omitted" not in encoded_body
    if target in RULES:
        body = {key: value for key, value in translation["body"].items() if key != "vendor_field"}
        assert RULES[target](body) is None
    dropped_fields = {r["field"] for r in translation["report"] if r["action"] == "dropped"}
    assert "messages[0].content[1]" not in dropped_fields


@each("target", ["vllm", "groq", "custom"])
def test_other_fields_pass_through_unchanged(target: str) -> None:
    translation = translate.request(
        "openai_chat", target, chat_request(FORMS["plain"]), {}, TARGETS[target]
    )
    assert translation["passthrough"]
    assert translation["body"]["vendor_field"] == 1
    assert translation["body"]["messages"][0]["content"] == [
        {"type": "text", "text": "Sum it up."},
        {"type": "text", "text": f"notes.txt\n\n{WORDS}"},
    ]
    report = [(r["field"], r["action"]) for r in translation["report"]]
    assert report == [("messages[0].content[1]", "approximated")]


@each(
    "part",
    [
        file(f"data:application/pdf;base64,{PDF}", "a.pdf"),
        {"type": "file", "file": {"file_id": "file-1"}},
        file("not base64 at all", "notes.md"),
    ],
    ids=["pdf", "file_id", "broken"],
)
def test_another_file_is_sent_to_a_server_that_may_support_it(part: Json) -> None:
    translation = translate.request("openai_chat", "custom", chat_request(part), {}, "qwen3")
    assert translation["body"]["messages"] == chat_request(part)["messages"]
    assert translation["report"] == []


def test_a_provider_of_files_gets_the_file() -> None:
    translation = translate.request(
        "openai_chat", "openai", chat_request(FORMS["plain"]), {}, "gpt-4o"
    )
    assert translation["body"]["messages"] == chat_request(FORMS["plain"])["messages"]


@each("source", ["openai_responses", "gemini"])
def test_a_file_of_another_client_is_sent_as_text_too(source: str) -> None:
    if source == "gemini":
        parts = [{"text": "q"}, {"inlineData": {"mimeType": "text/markdown", "data": DATA}}]
        body: Json = {"contents": [{"role": "user", "parts": parts}]}
    else:
        data = f"data:text/markdown;base64,{DATA}"
        content_parts = [{"type": "input_file", "filename": "notes.md", "file_data": data}]
        body = {"input": [{"role": "user", "content": content_parts}]}
    for target in ("deepseek", "vllm"):
        translation = translate.request(
            source, target, {"model": "gw", **body}, {}, TARGETS[target]
        )
        assert "The sea is wide" in msgspec.json.encode(translation["body"]).decode()


@each("file_data", [DATA, f"data:application/octet-stream;base64,{DATA}"])
def test_a_file_of_a_responses_client_has_the_type_of_its_name(file_data: str) -> None:
    part = {"type": "input_file", "filename": "notes.md", "file_data": file_data}
    body = {"model": "gw", "input": [{"role": "user", "content": [part]}]}
    translation = translate.request("openai_responses", "anthropic", body, {}, "claude-opus-5-5")
    (document,) = translation["body"]["messages"][0]["content"]
    assert document["source"] == {"type": "text", "media_type": "text/plain", "data": WORDS}


def test_base64_in_several_lines_is_sent_in_one() -> None:
    """As Python's `encodebytes` and `base64` of the shell write it; Ollama accepts it."""
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 80).decode()
    wrapped = f"{png[:76]}\n{png[76:]}\n"
    body = {"model": "gw", "messages": [{"role": "user", "content": "x", "images": [wrapped]}]}
    translation = translate.request("ollama", "gemini", body, {}, "gemini-3.8-flash")
    image = translation["body"]["contents"][0]["parts"][1]
    assert image == {"inlineData": {"mimeType": "image/png", "data": png}}


# --- Anthropic's own format, at models that support no documents --------------------------

NO_DOCUMENTS = ["deepseek-anthropic", "minimax", "ollama-anthropic", "moonshot-anthropic"]
TEXT_SOURCE = {"type": "text", "media_type": "text/plain", "data": WORDS}
MARK = {"cache_control": {"type": "ephemeral"}}
DOCUMENTS: dict[str, tuple[Json, list[Json]]] = {
    "text": (
        {"type": "document", "source": TEXT_SOURCE, "title": "notes.md", **MARK},
        [{"type": "text", "text": f"notes.md\n\n{WORDS}", **MARK}],
    ),
    "string": (
        {"type": "document", "source": {"type": "content", "content": WORDS}},
        [{"type": "text", "text": WORDS}],
    ),
    "blocks": (
        {
            "type": "document",
            "source": {"type": "content", "content": [{"type": "text", "text": WORDS}]},
            "context": "a diary",
        },
        [{"type": "text", "text": "a diary"}, {"type": "text", "text": WORDS}],
    ),
    "search result": (
        {
            "type": "search_result",
            "source": "https://a.org",
            "title": "A",
            "content": [{"type": "text", "text": WORDS}],
        },
        [{"type": "text", "text": "A\nhttps://a.org"}, {"type": "text", "text": WORDS}],
    ),
}


def messages_request(*blocks: Json) -> Json:
    content = [{"type": "text", "text": "Sum it up."}, *blocks]
    return {"model": "gw", "max_tokens": 99, "messages": [{"role": "user", "content": content}]}


@each("form", DOCUMENTS)
@each("target", NO_DOCUMENTS)
def test_a_document_of_text_is_sent_as_text_in_a_passed_request(target: str, form: str) -> None:
    block, blocks = DOCUMENTS[form]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [block]}
    request = messages_request(block, result) | {"vendor_field": 1}
    translation = translate.request("anthropic", target, request, VERSION, "m")
    assert translation["passthrough"]
    assert translation["body"]["vendor_field"] == 1
    _, *sent = translation["body"]["messages"][0]["content"]
    assert sent == [*blocks, {**result, "content": blocks}]
    assert [(row["field"], row["action"]) for row in translation["report"]] == [
        ("messages[0].content[1]", "approximated"),
        ("messages[0].content[2].content[0]", "approximated"),
    ]


@each("target", NO_DOCUMENTS)
def test_a_file_of_text_becomes_no_document(target: str) -> None:
    request = chat_request(FORMS["plain"])
    translation = translate.request("openai_chat", target, request, {}, "m")
    assert translation["body"]["messages"][0]["content"] == [
        {"type": "text", "text": "Sum it up."},
        {"type": "text", "text": f"notes.txt\n\n{WORDS}"},
    ]
    report = [(row["field"], row["action"]) for row in translation["report"]]
    assert ("messages[0].content[1]", "approximated") in report


@each(
    "block",
    [
        {"type": "document", "source": {"type": ["text"], "data": WORDS}},
        {"type": "document", "source": {"type": "text", "data": 1}},
        {"type": "document"},
        {"type": ["document"], "document": "document"},
    ],
    ids=["unusual type", "no text", "no source", "unusual block"],
)
def test_a_malformed_document_is_passed_on(block: Json) -> None:
    request = messages_request(block)
    translation = translate.request("anthropic", "ollama-anthropic", request, VERSION, "m")
    assert translation["body"]["messages"] == request["messages"]
    assert translation["report"] == []


PDF_SOURCES: dict[str, Json] = {
    "base64": {"type": "base64", "media_type": "application/pdf", "data": PDF},
    "url": {"type": "url", "url": "https://a.org/a.pdf"},
    "file": {"type": "file", "file_id": "file_1"},
}
NOTE = "[document omitted: this model does not support documents]"


@each("source", PDF_SOURCES)
@each("target", NO_DOCUMENTS)
def test_a_pdf_becomes_a_note_that_is_reported(target: str, source: str) -> None:
    """Ollama leaves it out without an error; MiniMax and DeepSeek list it as not supported."""
    block = {"type": "document", "source": PDF_SOURCES[source], **MARK}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [block]}
    request = messages_request(block, result)
    translation = translate.request("anthropic", target, request, VERSION, "m")
    assert translation["passthrough"]
    _, *sent = translation["body"]["messages"][0]["content"]
    note = {"type": "text", "text": NOTE, **MARK}
    assert sent == [note, {**result, "content": [note]}]
    assert [(row["field"], row["action"]) for row in translation["report"]] == [
        ("messages[0].content[1]", "dropped"),
        ("messages[0].content[2].content[0]", "dropped"),
    ]


def test_claude_gets_documents_as_they_are() -> None:
    request = messages_request(DOCUMENTS["text"][0])
    translation = translate.request("anthropic", "anthropic", request, VERSION, "claude-opus-5")
    assert translation["body"]["messages"] == request["messages"]
