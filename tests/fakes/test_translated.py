"""Translated legal requests are accepted by the provider.

The provider's rules are those of the strict fakes; the gateway may refuse a request itself with
a reason, but never sends a request that the provider refuses.
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.simulate import translate
from tests.each import each
from tests.fakes import anthropic_rules, gemini_rules, openai_rules, responses_rules
from tests.fakes.script import Refusal
from tests.fakes.valid_requests import RequestGenerator

REQUESTS = 40
VERSION = {"anthropic-version": "2023-06-01"}
CHAT_MODELS = ("gpt-4o", "gpt-5", "gpt-5.1", "o3", "gpt-5.6-sol")
DEEPSEEK_MODELS = ("deepseek-chat", "deepseek-v4-pro")


def legal_chat(body: dict[str, Any]) -> bool:
    return any(openai_rules.refusal({**body, "model": m}) is None for m in CHAT_MODELS)


def legal_messages(body: dict[str, Any]) -> bool:
    return any(
        anthropic_rules.refusal({**body, "model": model}, VERSION, counting=False) is None
        for model in anthropic_rules.MODELS
    )


def provider_refusal(preset: str, out: dict[str, Any], model: str) -> Refusal | None:
    """Return the provider's refusal of a rendered request."""
    body = out["body"]
    if preset == "gemini":
        return gemini_rules.refusal(body, model)
    if preset == "anthropic":
        headers = out["headers"]
        door = anthropic_rules.header_refusal(headers)
        return door or anthropic_rules.refusal(body, headers, counting=False)
    if preset == "deepseek":
        return openai_rules.deepseek_refusal(body)
    if out["path"] == "/responses":
        return responses_rules.refusal(body)
    return openai_rules.refusal(body)


@each("seed", range(6))
@each(
    ("source", "preset", "models"),
    [
        ("openai_chat", "anthropic", tuple(anthropic_rules.MODELS)),
        ("openai_chat", "deepseek", DEEPSEEK_MODELS),
        ("openai_chat", "gemini", tuple(gemini_rules.MODELS)),
        ("openai_chat", "openai_responses", CHAT_MODELS),
        ("anthropic_messages", "openai", CHAT_MODELS),
        ("anthropic_messages", "openai_responses", CHAT_MODELS),
        ("anthropic_messages", "deepseek", DEEPSEEK_MODELS),
        ("anthropic_messages", "gemini", tuple(gemini_rules.MODELS)),
    ],
    ids=[
        "chat_to_anthropic",
        "chat_to_deepseek",
        "chat_to_gemini",
        "chat_to_responses",
        "messages_to_openai",
        "messages_to_responses",
        "messages_to_deepseek",
        "messages_to_gemini",
    ],
)
@pytest.mark.wide(every=0)
def test_no_provider_refuses_what_was_translated(
    source: str, preset: str, models: tuple[str, ...], seed: int
) -> None:
    generator = RequestGenerator(seed)
    carried = 0
    for _ in range(REQUESTS):
        body = generator.chat() if source == "openai_chat" else generator.messages()
        if not (legal_chat(body) if source == "openai_chat" else legal_messages(body)):
            continue
        model = generator.choice(*models)
        try:
            out = translate.request(source, preset, body, VERSION, model)
        except GatewayError as error:
            assert error.error.message  # refused here, with a reason
            continue
        if out["passthrough"]:
            continue
        refusal = provider_refusal(preset, out, model)
        assert refusal is None, f"{model}: {refusal} for {body}"
        carried += 1
    assert carried > REQUESTS // 4
