"""From one dialect to the other and on: nothing falls over, and strict upstreams accept it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.canon.fold import check, fold
from gateway.canon.request import Request
from gateway.dialects import DIALECTS
from gateway.framing.sse import Frame
from gateway.providers.capabilities import traits_for
from tests.dialects.openai_chat.make import exchange, traits
from tests.dialects.openai_chat.test_fuzz import bodies, chunks, junk
from tests.dialects.openai_chat.test_laws import requests
from tests.fakes import openai_rules

CHAT, MESSAGES = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
RULES = {"openai": openai_rules.refusal, "deepseek": openai_rules.deepseek_refusal}


@settings(max_examples=60)
@given(bodies)
def test_any_chat_request_can_be_sent_as_messages_or_is_refused_by_name(value: dict[str, Any]):
    try:
        request = CHAT.client.parse_request(value, {})
        target = traits_for("anthropic", "claude-opus-4-5")
        rendered = MESSAGES.provider.render_request(request, target)
    except GatewayError:
        return
    msgspec.json.encode(rendered.body)


@pytest.mark.parametrize(
    "target",
    [
        ("openai", "gpt-4.1"),
        ("openai", "gpt-5.6"),
        ("deepseek", "deepseek-v4-pro"),
        ("mistral", "mistral-large-latest"),
        ("openrouter", "anthropic/claude-sonnet-4.5"),
    ],
    ids="/".join,
)
@settings(max_examples=25)
@given(request=requests())
def test_a_messages_request_is_one_that_a_chat_provider_accepts(
    request: Request, target: tuple[str, str]
):
    told = traits_for("anthropic", "claude-sonnet-4-5")
    try:
        wire = MESSAGES.provider.render_request(request, told).body
        wire = msgspec.json.decode(msgspec.json.encode(wire))
        again = MESSAGES.client.parse_request(wire, {"anthropic-version": "2023-06-01"})
        rendered = CHAT.provider.render_request(again, traits_for(*target))
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered.report)
    body = msgspec.json.decode(msgspec.json.encode(rendered.body))
    assert target[0] not in RULES or RULES[target[0]](body) is None


@settings(max_examples=60)
@given(st.lists(chunks | junk, max_size=6))
def test_any_chat_stream_can_be_shown_to_a_messages_client(frames: list[Any]):
    parser = CHAT.provider.stream_parser(traits(), None)
    renderer = MESSAGES.client.stream_renderer(exchange())
    found: list[Event] = []
    for item in frames:
        found += parser.feed(Frame("", msgspec.json.encode(item)))
    found += parser.close()
    check(found)
    for event in found:
        renderer.feed(event)
    try:
        MESSAGES.client.render_response(fold(found), exchange())
    except GatewayError:
        return
