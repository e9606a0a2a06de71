"""Separate texts: split by a citation in mid-sentence, or sent as separate parts."""

from __future__ import annotations

import json

import pytest

from gateway.canon.request import Citation, Request, Text, ToolCall, ToolResult, Turn
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS

SENTENCE = "Sales rose by 5 % in Oslo, and fell elsewhere."
SOURCE = Citation(url="https://example.com", quote="5 %")
SPLIT = (
    Text(text="Sales rose by "),
    Text(text="5 %", citations=(SOURCE,), path="messages[1].content[1]"),
    Text(text=" in Oslo", citations=(SOURCE,), path="messages[1].content[2]"),
    Text(text=", and fell elsewhere."),
)
USER_TURN = Turn(role="user", parts=(Text(text="How are sales?"),))
CALL = ToolCall(id="c1", name="f", arguments={})
# Those that write a message, or a part of it, as one text.
SINGLE_TEXT_DIALECTS = ("openai_chat", "ollama", "cohere", "openai_completions")
PLAIN = Traits(text_parts=False)


def rendered_json(dialect: str, *turns: Turn) -> str:
    request = Request(model="m", turns=turns)
    body = DIALECTS[dialect].provider.render_request(request, PLAIN).body
    return json.dumps(body, ensure_ascii=False)


@pytest.mark.parametrize("dialect", SINGLE_TEXT_DIALECTS)
@pytest.mark.parametrize("calls", [(), (CALL,)])
def test_a_sentence_with_sources_stays_one_sentence(
    dialect: str, calls: tuple[ToolCall, ...]
) -> None:
    assert SENTENCE in rendered_json(
        dialect, USER_TURN, Turn(role="assistant", parts=SPLIT + calls), USER_TURN
    )


@pytest.mark.parametrize("dialect", SINGLE_TEXT_DIALECTS)
@pytest.mark.parametrize("calls", [(), (CALL,)])
def test_texts_without_sources_stay_apart(dialect: str, calls: tuple[ToolCall, ...]) -> None:
    turn = Turn(role="assistant", parts=(Text(text="One."), Text(text="Two."), *calls))
    body = rendered_json(dialect, USER_TURN, turn, USER_TURN)
    assert "One.Two." not in body
    assert "One." in body and "Two." in body


@pytest.mark.parametrize("dialect", SINGLE_TEXT_DIALECTS)
@pytest.mark.parametrize("is_failed", [None, True])
def test_the_texts_of_a_tools_result_stay_apart(dialect: str, is_failed: bool | None) -> None:
    parts = (Text(text="One."), Text(text="Two."))
    result = ToolResult(id="c1", parts=parts, is_error=is_failed)
    turns = (USER_TURN, Turn(role="assistant", parts=(CALL,)), Turn(role="user", parts=(result,)))
    assert "One.\\n\\nTwo." in rendered_json(dialect, *turns)
