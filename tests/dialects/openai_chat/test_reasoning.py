"""Reasoning effort for a target, and reasoning that is sent back to it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.request import (
    Reasoning,
    ReasoningConfig,
    Request,
    Signature,
    Text,
    ToolCall,
    Turn,
)
from gateway.simulate import translate
from tests.dialects.openai_chat.make import body, render, reported_fields, tool

FULL: dict[str, Any] = {"reasoning": True, "efforts": ("none", "low", "medium", "high")}
DEEPSEEK: dict[str, Any] = {
    "reasoning": True,
    "reasoning_request": "thinking",
    "efforts": ("low", "high", "max"),
    "effort_map": {"minimal": "low", "medium": "high", "xhigh": "high"},
}
ROUTER: dict[str, Any] = {"reasoning": True, "reasoning_request": "reasoning"}


def reasoning_request(**config: Any) -> Request:
    """Return a request with these reasoning options."""
    paths = {"effort": "effort", "reasoning": "reasoning", "budget": "budget"}
    return Request(model="gw", reasoning=ReasoningConfig(**config), client_paths=paths)


@pytest.mark.parametrize(
    ("reasoning", "flags", "expected", "report"),
    [
        ({"effort": "low"}, FULL, {"reasoning_effort": "low"}, []),
        ({"effort": "max"}, FULL, {"reasoning_effort": "high"}, [("effort", "approximated")]),
        ({"effort": "minimal"}, FULL, {"reasoning_effort": "low"}, [("effort", "approximated")]),
        ({"mode": "off"}, FULL, {"reasoning_effort": "none"}, []),
        (
            {"mode": "off"},
            {"reasoning": True, "efforts": ("minimal", "low")},
            {"reasoning_effort": "minimal"},
            [("reasoning", "approximated")],
        ),
        ({"mode": "auto"}, FULL, {}, []),
        (
            {"mode": "budget", "budget": 1000},
            FULL,
            {"reasoning_effort": "low"},
            [("budget", "approximated")],
        ),
        (
            {"mode": "budget", "budget": 8000},
            FULL,
            {"reasoning_effort": "high"},
            [("budget", "approximated")],
        ),
        (
            {"mode": "budget", "budget": 8000},
            {"reasoning": True, "efforts": ("none", "low")},
            {"reasoning_effort": "low"},
            [("budget", "approximated")],
        ),
        ({"mode": "budget", "budget": 8000}, {"reasoning": True}, {}, [("budget", "dropped")]),
        (
            {"mode": "budget", "budget": 8000, "effort": "low"},
            FULL,
            {"reasoning_effort": "low"},
            [("budget", "dropped")],
        ),
        ({"effort": "low"}, {}, {}, [("effort", "dropped")]),
        (
            {"mode": "auto", "effort": "low"},
            {},
            {},
            [("effort", "dropped"), ("reasoning", "dropped")],
        ),
        ({"mode": "off"}, {}, {}, []),
        ({"effort": "low"}, {"reasoning": True}, {}, [("effort", "dropped")]),
        (
            {"mode": "auto", "effort": "medium"},
            DEEPSEEK,
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
            [("effort", "approximated")],
        ),
        ({"effort": "minimal"}, DEEPSEEK, {"reasoning_effort": "low"}, []),
        (
            {"mode": "budget", "budget": 20_000},
            DEEPSEEK,
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
            [("budget", "approximated")],
        ),
        ({"mode": "off"}, DEEPSEEK, {"thinking": {"type": "disabled"}}, []),
        ({"effort": "max"}, DEEPSEEK, {"reasoning_effort": "max"}, []),
        ({"effort": "xhigh"}, ROUTER, {"reasoning": {"effort": "xhigh"}}, []),
        ({"mode": "budget", "budget": 5}, ROUTER, {"reasoning": {"max_tokens": 5}}, []),
        ({"mode": "auto"}, ROUTER, {"reasoning": {"enabled": True}}, []),
        ({"mode": "off"}, ROUTER, {"reasoning": {"effort": "none"}}, []),
        (
            {"effort": "low", "visible": "none"},
            ROUTER,
            {"reasoning": {"effort": "low", "exclude": True}},
            [],
        ),
    ],
    ids=str,
)
def test_reasoning_is_requested_in_the_targets_form(
    reasoning: dict[str, Any], flags: dict[str, Any], expected: dict[str, Any], report: Any
):
    rendered_request = render(reasoning_request(**reasoning), **flags)
    other_fields = {
        k: v for k, v in rendered_request.body.items() if k not in {"model", "messages"}
    }
    assert other_fields == expected
    assert reported_fields(rendered_request.report) == report


def test_the_latest_turn_that_names_an_effort_decides():
    turns = (Turn(role="system", parts=(Text(text="x"),), effort="high"), Turn(role="user"))
    request = Request(model="gw", turns=turns, reasoning=ReasoningConfig(effort="low"))
    assert render(request, **FULL).body["reasoning_effort"] == "high"


RESPONSES_ONLY: dict[str, Any] = {**FULL, "responses_required_with_tools": True}


def test_reasoning_is_off_for_models_that_refuse_it_with_tools():
    rendered_request = render(body(tools=[tool()], reasoning_effort="high"), **RESPONSES_ONLY)
    assert rendered_request.body["reasoning_effort"] == "none"
    assert reported_fields(rendered_request.report) == [("reasoning_effort", "approximated")]


def test_models_that_refuse_reasoning_with_tools_reason_without_them():
    rendered_request = render(body(reasoning_effort="high"), **RESPONSES_ONLY)
    assert rendered_request.body["reasoning_effort"] == "high"


def test_disabled_reasoning_is_not_reported_as_lost():
    rendered_request = render(body(tools=[tool()], reasoning_effort="none"), **RESPONSES_ONLY)
    assert rendered_request.report == ()


# --- thoughts in the history ---------------------------------------------------------


def wrapped_reasoning(kind: str = "text", provider: str = "acme", value: str = "") -> Reasoning:
    """Return a reasoning part with a wrapped origin."""
    signature = Signature(provider=provider, model="acme-1", kind=kind, value=value)
    return Reasoning(text="hm", signature=signature, path="p")


def sent_back_message(part: Reasoning | None, *, calls: bool = True, **flags: Any) -> Any:
    """Return the assistant message that sends a reasoning part back, and the report."""
    parts: list[Any] = [part] if part else []
    parts.append(ToolCall(id="c", name="f", arguments={}) if calls else Text(text="x"))
    more = Turn(role="user", parts=(Text(text="go on"),))
    turns = (Turn(role="assistant", parts=tuple(parts), path="m"), more)
    rendered_request = render(Request(model="gw", turns=turns), **flags)
    report = [row for row in reported_fields(rendered_request.report) if row[0]]
    return rendered_request.body["messages"][0], report


CONTENT: dict[str, Any] = {
    "reasoning_field": "reasoning_content",
    "replay_reasoning": "required_on_tools",
}
PLAIN: dict[str, Any] = {"reasoning_field": "reasoning", "replay_reasoning": "native"}
DETAILS: dict[str, Any] = {"reasoning_field": "reasoning_details", "replay_reasoning": "native"}


def test_reasoning_is_sent_back_to_its_model():
    message, report = sent_back_message(wrapped_reasoning(), **CONTENT)
    assert message["reasoning_content"] == "hm"
    assert report == []


def test_reasoning_is_sent_in_the_targets_field():
    assert sent_back_message(wrapped_reasoning(), **PLAIN)[0]["reasoning"] == "hm"


def test_reasoning_without_an_origin_is_sent_as_text():
    message, report = sent_back_message(Reasoning(text="hm", path="p"), **CONTENT)
    assert message["reasoning_content"] == "hm"
    assert report == []


def test_another_models_reasoning_is_dropped():
    message, report = sent_back_message(wrapped_reasoning(provider="other"), **PLAIN)
    assert "reasoning" not in message
    assert report == [("p", "dropped")]


def test_another_models_reasoning_is_sent_as_text_if_required():
    message, report = sent_back_message(wrapped_reasoning(provider="other"), **CONTENT)
    assert message["reasoning_content"] == "hm"
    assert report == [("p", "approximated")]


def test_missing_required_reasoning_is_sent_as_a_blank():
    message, report = sent_back_message(None, **CONTENT)
    assert message["reasoning_content"] == " "
    assert report == [("m", "defaulted")]


def test_reasoning_is_not_required_without_calls():
    message, report = sent_back_message(None, calls=False, **CONTENT)
    assert "reasoning_content" not in message
    assert report == []


@pytest.mark.parametrize(
    "flags",
    [{}, {"reasoning_field": "reasoning", "replay_reasoning": "ignored"}],
    ids=["no field", "ignored"],
)
def test_a_target_without_reasoning_support_gets_none(flags: dict[str, Any]):
    message, report = sent_back_message(wrapped_reasoning(), **flags)
    assert "hm" not in str(message)
    assert report == [("p", "dropped")]


def test_reasoning_details_are_returned_unchanged():
    details = '[{"type":"reasoning.encrypted","data":"E","index":0}]'
    message, report = sent_back_message(
        wrapped_reasoning("reasoning_details", value=details), **DETAILS
    )
    assert message["reasoning_details"] == [
        {"type": "reasoning.encrypted", "data": "E", "index": 0}
    ]
    assert report == []


def test_reasoning_text_is_sent_back_beside_its_details():
    assert sent_back_message(wrapped_reasoning(), **DETAILS)[0]["reasoning"] == "hm"


@pytest.mark.parametrize("value", ["not json", "{}", "[1]"], ids=str)
def test_details_that_were_tampered_with_are_dropped(value: str):
    message, report = sent_back_message(
        wrapped_reasoning("reasoning_details", value=value), **DETAILS
    )
    assert "reasoning_details" not in message
    assert report == [("p", "dropped")]


@pytest.mark.parametrize(
    ("preset", "model", "fields"),
    [
        ("groq", "qwen/qwen3-32b", {"reasoning_format": "parsed"}),
        ("groq", "openai/gpt-oss-120b", {}),
        ("cerebras", "qwen-3.8-27b", {"reasoning_format": "parsed"}),
        ("cerebras", "gpt-oss-120b", {}),
        ("minimax-openai", "MiniMax-M2.7", {"reasoning_split": True}),
    ],
)
def test_reasoning_is_requested_apart_from_the_text(
    preset: str, model: str, fields: dict[str, Any]
):
    """Qwen at Groq and Cerebras, and MiniMax, put it into the text, between `<think>` tags."""
    client_body = {"model": "gw", "contents": [{"parts": [{"text": "q"}]}]}
    translated = translate.request("gemini", preset, client_body, {}, model)
    assert translated["body"] == {
        "model": model,
        "messages": [{"role": "user", "content": "q"}],
        **fields,
    }
    assert translated["report"] == []


def test_clients_of_the_api_may_request_another_form_of_reasoning():
    """The value of a Chat client has precedence."""
    qwen = {"reasoning": True, "reasoning_output": {"reasoning_format": "parsed"}}
    sent_body = render(body(reasoning_format="hidden"), **qwen).body
    assert sent_body["reasoning_format"] == "hidden"
