"""Translation through every dialect: no exceptions, and strict upstreams accept the result."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request
from gateway.dialects import DIALECTS
from gateway.providers.capabilities import traits_for
from tests.dialects.gemini.test_laws import ABLE as GEMINI_ABLE
from tests.dialects.gemini.test_laws import requests as gemini_requests
from tests.dialects.openai_chat.test_laws import requests
from tests.fakes import anthropic_rules, ollama_rules, openai_rules

CHAT, MESSAGES = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
GEMINI, OLLAMA = DIALECTS["gemini"], DIALECTS["ollama"]
RULES = {"openai": openai_rules.refusal, "deepseek": openai_rules.deepseek_refusal}


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
        rendered_request = CHAT.provider.render_request(round_trip, traits_for(*target))
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered_request.report)
    body = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    assert target[0] not in RULES or RULES[target[0]](body) is None


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
        rendered_request = (MESSAGES if preset == "anthropic" else CHAT).provider.render_request(
            round_trip, target
        )
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered_request.report)
    body = msgspec.json.decode(msgspec.json.encode(rendered_request.body))
    if preset == "anthropic":
        refusal = anthropic_rules.refusal(body, rendered_request.headers, counting=False)
    else:
        refusal = RULES[preset](body)
    assert refusal is None, refusal


LOCAL = traits_for("ollama", "qwen3:8b")


@settings(max_examples=40)
@given(requests())
def test_a_legal_chat_request_is_one_that_an_ollama_accepts(request: Request):
    target_traits = traits_for("openai", "gpt-4.1")
    try:
        round_trip = CHAT.client.parse_request(
            _wire(CHAT.provider.render_request(request, target_traits).body), {}
        )
        rendered_request = OLLAMA.provider.render_request(round_trip, LOCAL)
    except GatewayError as failure:
        assert failure.error.kind in {"unsupported_param", "invalid_request"}
        return
    assert all(item.path for item in rendered_request.report)
    assert ollama_rules.refusal("/api/chat", _wire(rendered_request.body)) is None


def _wire(body: dict[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))
    return payload
