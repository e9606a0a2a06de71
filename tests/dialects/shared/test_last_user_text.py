"""The last user text scanned from the bytes of a request equals the parsed one."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.canon.errors import GatewayError
from gateway.dialects import CLIENT_DIALECTS, DIALECTS
from gateway.dialects.shared.last_user_text import last_user_text
from tests.dialects.test_cases import cases
from tests.fakes.valid_requests import RequestGenerator

HI = 'héllo \n"there" \\ \u2028'


def scanned_last_text(dialect: str, body: dict[str, Any]) -> str:
    fields = msgspec.json.decode(json.dumps(body), type=dict[str, msgspec.Raw])
    return DIALECTS[dialect].last_user_text(fields)


def parsed_last_text(dialect: str, body: dict[str, Any]) -> str:
    request_body = body
    if DIALECTS[dialect].model_in_path:
        request_body = {**body, "model": "m", "stream": False}
    return last_user_text(DIALECTS[dialect].client.parse_request(request_body, {}))


def turns(field: str, **last: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, field: [{"role": "user", **last}]}


PLAIN = {
    "chat": ("openai_chat", turns("messages", content=HI)),
    "chat parts": (
        "openai_chat",
        turns("messages", content=[{"type": "text", "text": "a"}, {"type": "text", "text": HI}]),
    ),
    "messages": ("anthropic_messages", turns("messages", content=HI)),
    "messages blocks": (
        "anthropic_messages",
        turns(
            "messages",
            content=[
                {"type": "text", "text": "a"},
                {"type": "text", "text": HI, "cache_control": {"type": "ephemeral"}},
            ],
        ),
    ),
    "responses": ("openai_responses", {"model": "m", "input": HI}),
    "responses items": ("openai_responses", turns("input", content=HI)),
    "responses parts": (
        "openai_responses",
        turns("input", type="message", content=[{"type": "input_text", "text": HI}]),
    ),
    "gemini": ("gemini", turns("contents", parts=[{"text": "a"}, {"text": HI}])),
    "ollama": ("ollama", turns("messages", content=HI)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_text_is_read(name: str) -> None:
    dialect, body = PLAIN[name]
    body.pop("max_tokens", None) if dialect != "anthropic_messages" else None
    assert scanned_last_text(dialect, body) == parsed_last_text(dialect, body) == HI


PIXEL = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", {}),
        ("openai_chat", {"messages": []}),
        ("openai_chat", {"messages": None}),
        ("openai_chat", {"messages": [7]}),
        ("openai_chat", {"messages": [{"role": "assistant", "content": "x"}]}),
        ("openai_chat", {"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}),
        ("openai_chat", turns("messages", content=None)),
        ("openai_chat", turns("messages", content=[])),
        ("openai_chat", turns("messages", content=[PIXEL])),
        ("openai_chat", turns("messages", content=[{"type": "text", "text": "x"}, PIXEL])),
        ("openai_chat", turns("messages", content={"type": "text", "text": "x"})),
        ("openai_responses", {"input": [{"type": "function_call_output", "output": "x"}]}),
        ("openai_responses", turns("input", content=[{"type": "input_file", "file_id": "f"}])),
        ("gemini", turns("contents", parts=[{"text": "x"}, {"functionResponse": {}}])),
        ("ollama", turns("messages", content="x", images=["aGk="])),
        ("ollama", {"prompt": "x"}),
        ("openai_embeddings", {"input": "x"}),
    ],
    ids=str,
)
def test_a_body_without_plain_user_text_has_an_empty_last_text(
    dialect: str, body: dict[str, Any]
) -> None:
    assert scanned_last_text(dialect, body) == ""


def conversation(case: dict[str, Any]) -> bool:
    """Return whether a case is a conversation of a client."""
    is_client_request = case["from"] in CLIENT_DIALECTS and case["from"] != "openai_embeddings"
    return is_client_request and "stored" not in case["expected"]


@pytest.mark.parametrize(
    "case", [case for case in cases("request") if conversation(case.values[0])]
)
def test_the_last_user_text_of_golden_cases_equals_the_parsed_one(case: dict[str, Any]) -> None:
    request = case["request"]
    body = request.get("body", request)
    assert scanned_last_text(case["from"], body) in {"", parsed_last_text(case["from"], body)}


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
def test_the_last_user_text_of_unusual_requests_equals_the_parsed_one(dialect: str) -> None:
    checked = 0
    for seed in range(400):
        generator = RequestGenerator(seed)
        body = generator.chat() if dialect == "openai_chat" else generator.messages()
        try:
            text = parsed_last_text(dialect, body)
        except GatewayError:
            continue
        response = scanned_last_text(dialect, body)
        assert response in {"", text}, body
        checked += response != ""
    assert checked > 20
