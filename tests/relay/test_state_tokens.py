"""State of several models in one history: each gets its own back, and the rest stays as it was."""

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
    """A conversation of Claude Code: an answer of Claude's, then one of another model's."""
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


def thinking(signature: str, words: str = "of another") -> Json:
    return {"type": "thinking", "thinking": words, "signature": signature}


SAID: Json = {"type": "text", "text": "Two."}


@pytest.mark.parametrize("token", [FOREIGN, BROKEN], ids=["foreign", "broken"])
@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_claude_keeps_its_own_thinking_beside_a_foreign_one(kind: str, token: str) -> None:
    foreign = thinking(token) if kind == "thinking" else {"type": kind, "data": token}
    asked = messages(foreign, SAID)
    made = translate.request("anthropic_messages", "anthropic", asked, HEADERS, CLAUDE)
    left = messages(SAID)
    assert made["body"] == {**left, "model": CLAUDE}
    assert made["passthrough"]
    assert made["headers"]["anthropic-beta"] == "effort-2025-11-24"
    assert [(r["field"], r["action"]) for r in made["report"]] == [
        ("messages[3].content[0]", "dropped")
    ]
    legal = {**made["body"], "messages": [dict(m) for m in made["body"]["messages"]]}
    legal["messages"][1] = {"role": "assistant", "content": [NATIVE, {"type": "text", "text": "1"}]}
    assert anthropic_rules.refusal(legal, HEADERS, counting=False) is None


def test_a_message_of_foreign_thinking_alone_goes_whole() -> None:
    made = translate.request(
        "anthropic_messages", "anthropic", messages(thinking(FOREIGN)), HEADERS, CLAUDE
    )
    roles = [message["role"] for message in made["body"]["messages"]]
    assert roles == ["user", "assistant", "user", "user"]


@pytest.mark.parametrize("shown", [True, False], ids=["shown", "hidden"])
def test_claudes_wrapped_thinking_is_unwrapped_in_place(shown: bool) -> None:
    """What was translated in an earlier turn, by the same model, is its own again."""
    words = "wrapped"
    state = Signature(
        provider="anthropic",
        model=CLAUDE,
        value=anthropic_rules.signature(words),
        reasoning_text="" if shown else words,
    )
    block = thinking(wrap_signature(state), words if shown else "")
    made = translate.request(
        "anthropic_messages", "anthropic", messages(block, SAID), HEADERS, CLAUDE
    )
    assert made["body"]["messages"][3]["content"] == [
        thinking(anthropic_rules.signature(words), words),
        SAID,
    ]
    assert made["report"] == []


def reasoning(state: str, item_id: str = "rs_1") -> Json:
    return {"type": "reasoning", "id": item_id, "summary": [], "encrypted_content": state}


def items(*state: Json) -> Json:
    said = {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "One.", "annotations": []}],
    }
    own = reasoning(responses_rules.state_of("own"), "rs_own")
    return {
        "model": "gw",
        "store": False,
        "client_metadata": {"a": "b"},
        "input": [
            {**HI, "type": "message", "id": "msg_0"},
            own,
            said,
            {**MORE, "type": "message", "id": "msg_2"},
            *state,
            {**said, "id": "msg_3"},
            {**MORE, "type": "message", "id": "msg_4"},
        ],
    }


@pytest.mark.parametrize("token", [FOREIGN, BROKEN], ids=["foreign", "broken"])
@pytest.mark.parametrize("preset", ["openai", "openai_responses"])
def test_openai_keeps_its_own_reasoning_beside_a_foreign_one(preset: str, token: str) -> None:
    made = translate.request("openai_responses", preset, items(reasoning(token)), {}, GPT)
    assert made["body"] == {**items(), "model": GPT}
    assert made["passthrough"]
    assert [(r["field"], r["action"]) for r in made["report"]] == [("input[4]", "dropped")]


def test_openais_wrapped_reasoning_is_unwrapped_in_place() -> None:
    state = responses_rules.state_of("wrapped")
    token = wrap_signature(
        Signature(
            provider="openai", model=GPT, kind="encrypted_content", value=state, item_id="rs_x"
        )
    )
    made = translate.request(
        "openai_responses", "openai", items(reasoning(token, "rs_gw")), {}, GPT
    )
    assert made["body"] == {**items(reasoning(state, "rs_x")), "model": GPT}
    assert made["report"] == []


def test_a_token_in_words_is_only_words() -> None:
    asked = {"model": "gw", "max_tokens": 9, "messages": [{"role": "user", "content": FOREIGN}]}
    made = translate.request("anthropic_messages", "anthropic", asked, HEADERS, CLAUDE)
    assert made["body"] == {**asked, "model": CLAUDE}
    assert made["passthrough"]


def test_gemini_keeps_its_own_signature_beside_a_foreign_one() -> None:
    own = gemini_rules.signature("f")
    foreign = wrap_signature(Signature(provider="anthropic", model=CLAUDE, value="S"))
    call = {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": own}
    response = {"functionResponse": {"id": "c", "name": "f", "response": {"output": "r"}}}
    asked = {
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
    made = translate.request("gemini", "gemini", {"model": "gw", **asked}, {}, GOOGLE)
    assert made["body"]["contents"][3] == {"role": "model", "parts": [call]}
    assert gemini_rules.refusal(made["body"], GOOGLE) is None


def test_openrouter_keeps_its_own_details_beside_a_foreign_one() -> None:
    own = {
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
    asked = {
        "model": "gw",
        "messages": [
            HI,
            {"role": "assistant", "content": "One.", "reasoning_details": [own]},
            MORE,
            {"role": "assistant", "content": "Two.", "reasoning_details": [foreign]},
            MORE,
        ],
    }
    made = translate.request("openai_chat", "openrouter", asked, {}, "openai/gpt-5.6")
    assert made["body"]["messages"][1]["reasoning_details"] == [own]
    assert "reasoning_details" not in made["body"]["messages"][3]
