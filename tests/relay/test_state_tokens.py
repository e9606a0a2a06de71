"""State of several models in one history: each gets its own back, the rest is unchanged."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.canon.request import Signature
from gateway.canon.signature import wrap_signature
from gateway.simulate import translate
from tests.fakes import anthropic_rules, gemini_rules, responses_rules

Json = dict[str, Any]

CLAUDE, GPT, GOOGLE = "claude-opus-5-5", "gpt-5.6-sol", "gemini-3.8-flash"
HI: Json = {"role": "user", "content": "Hi"}
MORE: Json = {"role": "user", "content": "And?"}
FOREIGN = wrap_signature(
    Signature(provider="gemini", model=GOOGLE, kind="thoughtSignature", value="QQ==")
)
BROKEN = "dgm1.not-a-token"
NATIVE: Json = {
    "type": "thinking",
    "thinking": "my own",
    "signature": anthropic_rules.signature("my own"),
}
HEADERS = {"anthropic-version": "2023-06-01", "anthropic-beta": "effort-2025-11-24"}
BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330;"}


def messages(*blocks: Json) -> Json:
    """Return a Claude Code conversation: a response of Claude, then one of another model."""
    return {
        "model": "gw",
        "max_tokens": 99,
        "system": [BILLING, {"type": "text", "text": "Be brief."}],
        "messages": [
            HI,
            {
                "role": "assistant",
                "content": [NATIVE, {"type": "text", "text": "One.", "x_own": 1}],
            },
            MORE,
            {"role": "assistant", "content": list(blocks)},
            MORE,
        ],
    }


def thinking(signature: str, text: str = "of another") -> Json:
    return {"type": "thinking", "thinking": text, "signature": signature}


TEXT_BLOCK: Json = {"type": "text", "text": "Two."}


@pytest.mark.parametrize("token", [FOREIGN, BROKEN], ids=["foreign", "broken"])
@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_claude_keeps_its_own_thinking_beside_a_foreign_one(kind: str, token: str) -> None:
    foreign = thinking(token) if kind == "thinking" else {"type": kind, "data": token}
    chat_messages = messages(foreign, TEXT_BLOCK)
    translation = translate.request(
        "anthropic_messages", "anthropic", chat_messages, HEADERS, CLAUDE
    )
    history = messages(TEXT_BLOCK)
    assert translation["body"] == {**history, "model": CLAUDE}
    assert translation["passthrough"]
    assert translation["headers"]["anthropic-beta"] == "effort-2025-11-24"
    assert [(r["field"], r["action"]) for r in translation["report"]] == [
        ("messages[3].content[0]", "dropped")
    ]
    legal = {**translation["body"], "messages": [dict(m) for m in translation["body"]["messages"]]}
    legal["messages"][1] = {"role": "assistant", "content": [NATIVE, {"type": "text", "text": "1"}]}
    assert anthropic_rules.refusal(legal, HEADERS, counting=False) is None


def test_a_message_with_only_foreign_thinking_is_removed() -> None:
    translation = translate.request(
        "anthropic_messages", "anthropic", messages(thinking(FOREIGN)), HEADERS, CLAUDE
    )
    roles = [message["role"] for message in translation["body"]["messages"]]
    assert roles == ["user", "assistant", "user", "user"]


@pytest.mark.parametrize("signature", [True, False], ids=["shown", "hidden"])
def test_claudes_wrapped_thinking_is_unwrapped_in_place(signature: bool) -> None:
    """Reasoning that the same model created in a translated turn is sent back as its own."""
    text = "wrapped"
    state = Signature(
        provider="anthropic",
        model=CLAUDE,
        value=anthropic_rules.signature(text),
        reasoning_text="" if signature else text,
    )
    block = thinking(wrap_signature(state), text if signature else "")
    translation = translate.request(
        "anthropic_messages", "anthropic", messages(block, TEXT_BLOCK), HEADERS, CLAUDE
    )
    assert translation["body"]["messages"][3]["content"] == [
        thinking(anthropic_rules.signature(text), text),
        TEXT_BLOCK,
    ]
    assert translation["report"] == []


def reasoning(state: str, item_id: str = "rs_1") -> Json:
    return {"type": "reasoning", "id": item_id, "summary": [], "encrypted_content": state}


def items(*state: Json) -> Json:
    message = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "One.", "annotations": []}],
    }
    own_item = reasoning(responses_rules.state_of("own"), "rs_own")
    return {
        "model": "gw",
        "store": False,
        "client_metadata": {"a": "b"},
        "input": [
            {**HI, "type": "message", "id": "msg_0"},
            own_item,
            message,
            {**MORE, "type": "message", "id": "msg_2"},
            *state,
            {**message, "id": "msg_3"},
            {**MORE, "type": "message", "id": "msg_4"},
        ],
    }


@pytest.mark.parametrize("token", [FOREIGN, BROKEN], ids=["foreign", "broken"])
@pytest.mark.parametrize("preset", ["openai", "openai_responses"])
def test_openai_keeps_its_own_reasoning_beside_a_foreign_one(preset: str, token: str) -> None:
    translation = translate.request("openai_responses", preset, items(reasoning(token)), {}, GPT)
    assert translation["body"] == {**items(), "model": GPT}
    assert translation["passthrough"]
    assert [(r["field"], r["action"]) for r in translation["report"]] == [("input[4]", "dropped")]


def test_openais_wrapped_reasoning_is_unwrapped_in_place() -> None:
    state = responses_rules.state_of("wrapped")
    token = wrap_signature(
        Signature(
            provider="openai", model=GPT, kind="encrypted_content", value=state, item_id="rs_x"
        )
    )
    translation = translate.request(
        "openai_responses", "openai", items(reasoning(token, "rs_gw")), {}, GPT
    )
    assert translation["body"] == {**items(reasoning(state, "rs_x")), "model": GPT}
    assert translation["report"] == []


def test_a_state_token_in_text_stays_text() -> None:
    params = {"model": "gw", "max_tokens": 9, "messages": [{"role": "user", "content": FOREIGN}]}
    translation = translate.request("anthropic_messages", "anthropic", params, HEADERS, CLAUDE)
    assert translation["body"] == {**params, "model": CLAUDE}
    assert translation["passthrough"]


def test_gemini_keeps_its_own_signature_beside_a_foreign_one() -> None:
    own_detail = gemini_rules.signature("f")
    foreign = wrap_signature(Signature(provider="anthropic", model=CLAUDE, value="S"))
    call = {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": own_detail}
    response = {"functionResponse": {"id": "c", "name": "f", "response": {"output": "r"}}}
    params = {
        "contents": [
            {"role": "user", "parts": [{"text": "q"}]},
            {
                "role": "model",
                "parts": [
                    {
                        "text": "of another",
                        "thought": True,
                        "thoughtSignature": base64.b64encode(foreign.encode()).decode(),
                    },
                    {"text": "Said."},
                ],
            },
            {"role": "user", "parts": [{"text": "q"}]},
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [response]},
        ]
    }
    translation = translate.request("gemini", "gemini", {"model": "gw", **params}, {}, GOOGLE)
    assert translation["body"]["contents"][3] == {"role": "model", "parts": [call]}
    assert gemini_rules.refusal(translation["body"], GOOGLE) is None


def test_openrouter_keeps_its_own_details_beside_a_foreign_one() -> None:
    own_detail = {
        "type": "reasoning.encrypted",
        "data": "OWN",
        "format": "openai-responses-v1",
        "index": 0,
    }
    foreign = {
        "type": "reasoning.text",
        "text": "x",
        "signature": FOREIGN,
        "format": "dragoman-v1",
        "index": 0,
    }
    request = {
        "model": "gw",
        "messages": [
            HI,
            {"role": "assistant", "content": "One.", "reasoning_details": [own_detail]},
            MORE,
            {"role": "assistant", "content": "Two.", "reasoning_details": [foreign]},
            MORE,
        ],
    }
    translation = translate.request("openai_chat", "openrouter", request, {}, "openai/gpt-5.6")
    assert translation["body"]["messages"][1]["reasoning_details"] == [own_detail]
    assert "reasoning_details" not in translation["body"]["messages"][3]
