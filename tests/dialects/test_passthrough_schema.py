"""The passthrough check names invalid fields and accepts unknown ones."""

from __future__ import annotations

import pytest

from gateway.canon.errors import GatewayError
from gateway.dialects.anthropic_messages.request import (
    check_passthrough as check_messages,
)
from gateway.dialects.gemini.request import check_passthrough as check_gemini
from gateway.dialects.openai_chat.request import check_passthrough as check_chat


@pytest.mark.parametrize(
    ("body", "param", "expected"),
    [
        (b'{"model":"m"}', "messages", "messages is required"),
        (b'{"messages":[]}', "messages", "messages: "),
        (b'{"messages":[{"role":"wizard","content":"x"}]}', "messages[0].role", "wizard"),
        (b'{"messages":[{"content":"x"}]}', "messages[0].role", "messages[0].role is required"),
        (b'{"messages":[{"role":"user","content":5}]}', "messages[0].content", "content"),
        (b'{"messages":[{"role":"user"}],"max_tokens":"9"}', "max_tokens", "a string"),
        (b'{"messages":[{"role":"user"}],"max_tokens":1e30}', "max_tokens", "max_tokens"),
        (b'{"messages":[{"role":"user"}],"temperature":-1e9}', "temperature", "temperature"),
    ],
)
def test_an_invalid_chat_body_is_refused_with_the_field(
    body: bytes, param: str, expected: str
) -> None:
    with pytest.raises(GatewayError) as error:
        check_chat(body)
    assert error.value.error.param == param
    assert expected in error.value.error.message
    assert "$" not in error.value.error.message


def test_new_vendor_fields_pass() -> None:
    check_chat(
        b'{"messages":[{"role":"user","content":[{"type":"hologram","x":1}],"mood":"?"}],"new":[1]}'
    )
    check_messages(b'{"messages":[{"role":"user","content":[{"type":"new"}]}],"thread":{"x":1}}')


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "contents"),
        (b'{"contents":[]}', "contents"),
        (b'{"contents":[{"role":"wizard","parts":[]}]}', "contents[0].role"),
        (b'{"contents":[{"parts":"hi"}]}', "contents[0].parts"),
        (b'{"contents":[{"parts":[]}],"generationConfig":5}', "generationConfig"),
    ],
)
def test_an_invalid_gemini_body_is_refused_with_the_field(body: bytes, param: str) -> None:
    with pytest.raises(GatewayError) as error:
        check_gemini(body)
    assert error.value.error.param == param
    check_gemini(b'{"contents":[{"parts":[{"hologram":1}],"mood":1}],"new":[1]}')
    check_gemini(b'{"generateContentRequest":{"contents":[{"parts":[]}]}}')
    check_gemini(b'{"content":{"parts":[]}}')


def test_a_messages_body_with_an_unknown_role_is_named() -> None:
    with pytest.raises(GatewayError) as error:
        check_messages(b'{"max_tokens":1,"messages":[{"role":"tool","content":"x"}]}')
    assert error.value.error.param == "messages[0].role"
    assert "tool" in error.value.error.message
