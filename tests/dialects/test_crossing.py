"""Translation through every dialect: no exceptions, and strict upstreams accept the result."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.events import Event
from gateway.canon.fold import fold_events
from gateway.canon.request import Request
from gateway.dialects import DIALECTS
from gateway.framing.sse import Frame
from gateway.providers.capabilities import traits_for
from tests.dialects.gemini.test_laws import ABLE as GEMINI_ABLE
from tests.dialects.gemini.test_laws import requests as gemini_requests
from tests.dialects.ollama.fuzz import bodies as ollama_bodies
from tests.dialects.openai_chat.fuzz import bodies, chunks, junk
from tests.dialects.openai_chat.make import response_context, traits
from tests.dialects.openai_chat.test_laws import requests
from tests.fakes import anthropic_rules, ollama_rules, openai_rules
from tests.stream_grammar import check_stream

CHAT, MESSAGES = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
OLLAMA, COMPLETIONS = DIALECTS["ollama"], DIALECTS["openai_completions"]
GEMINI = DIALECTS["gemini"]
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
    target_traits = traits_for("anthropic", "claude-sonnet-4-5")
    try:
        wire = MESSAGES.provider.render_request(request, target_traits).body
        wire = msgspec.json.decode(msgspec.json.encode(wire))
        round_trip = MESSAGES.client.parse_request(wire, {"anthropic-version": "2023-06-01"})
        rendered = CHAT.provider.render_request(round_trip, traits_for(*target))
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
    renderer = MESSAGES.client.stream_renderer(response_context())
    events: list[Event] = []
    for item in frames:
        events += parser.feed(Frame("", msgspec.json.encode(item)))
    events += parser.close()
    check_stream(events)
    for event in events:
        renderer.feed(event)
    try:
        MESSAGES.client.render_response(fold_events(events), response_context())
    except GatewayError:
        return


@pytest.mark.parametrize(
    ("preset", "model"),
    [("openai", "gpt-4.1"), ("deepseek", "deepseek-v4-pro"), ("anthropic", "claude-sonnet-4-5")],
)
@settings(max_examples=25)
@given(request=gemini_requests())
def test_a_gemini_request_is_one_that_other_providers_accept(
    request: Request, preset: str, model: str
):
    target = traits_for(preset, model)
    try:
        wire = GEMINI.provider.render_request(request, GEMINI_ABLE).body
        wire = msgspec.json.decode(msgspec.json.encode(wire))
        round_trip = GEMINI.client.parse_request({**wire, "model": "gw"}, {})
        rendered = (MESSAGES if preset == "anthropic" else CHAT).provider.render_request(
            round_trip, target
        )
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered.report)
    body = msgspec.json.decode(msgspec.json.encode(rendered.body))
    if preset == "anthropic":
        refusal = anthropic_rules.refusal(body, rendered.headers, counting=False)
    else:
        refusal = RULES[preset](body)
    assert refusal is None, refusal


LOCAL = traits_for("ollama", "qwen3:8b")
OLDER = traits_for("custom-completions", "davinci-002")


@settings(max_examples=60)
@given(bodies)
def test_any_chat_request_can_be_sent_to_an_ollama_or_as_a_prompt(value: dict[str, Any]):
    try:
        request = CHAT.client.parse_request(value, {})
    except GatewayError:
        return
    prompt = COMPLETIONS.provider.render_request(request, OLDER).body
    msgspec.json.encode(prompt)
    try:
        body = _wire(OLLAMA.provider.render_request(request, LOCAL).body)
    except GatewayError as failure:
        assert failure.error.kind == "unsupported_param"
        return
    msgspec.json.encode(body)


@settings(max_examples=40)
@given(requests())
def test_a_legal_chat_request_is_one_that_an_ollama_accepts(request: Request):
    target_traits = traits_for("openai", "gpt-4.1")
    try:
        round_trip = CHAT.client.parse_request(
            _wire(CHAT.provider.render_request(request, target_traits).body), {}
        )
        rendered = OLLAMA.provider.render_request(round_trip, LOCAL)
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered.report)
    assert ollama_rules.refusal("/api/chat", _wire(rendered.body)) is None


@settings(max_examples=40)
@given(ollama_bodies)
def test_any_ollama_request_can_be_sent_as_chat_and_as_messages(value: dict[str, Any]):
    try:
        request = OLLAMA.client.parse_request(value, {})
        for adapter, target in (
            (CHAT.provider, traits_for("openai", "gpt-4.1")),
            (MESSAGES.provider, traits_for("anthropic", "claude-sonnet-4-5")),
        ):
            rendered = adapter.render_request(request, target)
            msgspec.json.encode(rendered.body)
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}


@pytest.mark.parametrize("name", ["ollama", "openai_completions"])
@settings(max_examples=60)
@given(frames=st.lists(chunks | junk, max_size=6))
def test_any_chat_stream_can_be_shown_to_an_older_client(name: str, frames: list[Any]):
    client = DIALECTS[name].client
    parser = CHAT.provider.stream_parser(traits(), None)
    renderer = client.stream_renderer(response_context())
    events: list[Event] = []
    for item in frames:
        events += parser.feed(Frame("", msgspec.json.encode(item)))
    events += parser.close()
    for event in events:
        renderer.feed(event)
    try:
        client.render_response(fold_events(events), response_context())
    except GatewayError:
        return


def _wire(body: dict[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return payload


@pytest.mark.parametrize(
    ("dialect", "target"),
    [
        ("bedrock_converse", ("bedrock", "us.amazon.nova-pro-v1:0")),
        ("bedrock_converse", ("bedrock", "us.anthropic.claude-opus-5-v1:0")),
        ("cohere", ("cohere", "command-a-plus-05-2026")),
    ],
)
@settings(max_examples=40)
@given(bodies)
def test_any_chat_request_can_be_sent_to_a_cloud_or_is_refused_by_name(
    dialect: str, target: tuple[str, str], value: dict[str, Any]
):
    try:
        request = CHAT.client.parse_request(value, {})
        rendered = DIALECTS[dialect].provider.render_request(request, traits_for(*target))
    except GatewayError as failure:
        assert failure.error.message
        return
    assert all(item.path for item in rendered.report)
    msgspec.json.encode(rendered.body)
