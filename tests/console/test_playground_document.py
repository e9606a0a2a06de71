"""Playground documents are parsed into a plan, or errors name every invalid field."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from console.playground.messages import parse_turns, render_turns
from console.playground.plan import MAX_COLUMNS
from console.playground.plan_parser import parse
from console.playground.validation import FieldErrors, Invalid
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Citation,
    Document,
    Image,
    Native,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

PNG = base64.b64encode(b"\x89PNG not really").decode()


def document(**more: Any) -> dict[str, Any]:
    return {
        "columns": [{"id": "A", "model": "demo"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        **more,
    }


def errors(body: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        parse(body)
    return error.value.errors


def test_a_plain_document_is_one_column() -> None:
    plan = parse(document())
    assert (plan.dialect, plan.repeat, plan.stream) == ("openai_chat", 1, True)
    assert [(c.id, c.model) for c in plan.columns] == [("A", "demo")]
    assert plan.columns[0].turns[0].parts == (Text(text="Hi"),)


def test_a_column_overrides_the_shared_settings() -> None:
    plan = parse(
        document(
            system="Be kind.",
            params={"temperature": 0.5},
            columns=[{"model": "a"}, {"model": "b", "system": "", "params": {"top_p": 0.1}}],
        )
    )
    shared, column_settings = (column.settings for column in plan.columns)
    assert (shared.system, shared.params.temperature) == ("Be kind.", 0.5)
    assert (
        column_settings.system,
        column_settings.params.temperature,
        column_settings.params.top_p,
    ) == ("", None, 0.1)
    assert [column.id for column in plan.columns] == ["A", "B"]


def test_all_errors_are_returned_by_field() -> None:
    field_errors = errors(
        {
            "dialect": "klingon",
            "columns": [{"id": "A", "model": ""}, {"id": "A", "model": "x"}],
            "messages": [],
            "params": {"temperature": 9, "max_tokens": 1.5, "stop": 3},
            "tools": [{"name": ""}, {"name": "t", "schema": {"type": "strin"}}],
            "schema": {"properties": []},
            "repeat": 21,
        }
    )
    assert set(field_errors) == {
        "dialect",
        "columns.0.model",
        "columns.1.id",
        "messages",
        "params.temperature",
        "params.max_tokens",
        "params.stop",
        "tools.0.name",
        "tools.1.schema",
        "schema",
        "repeat",
    }
    assert all(field_errors.values())


@pytest.mark.parametrize("body", [None, [], "x", 7, {}, {"columns": 3}, {"columns": [3]}])
def test_any_other_document_is_refused_without_a_crash(body: Any) -> None:
    assert errors(body)


def test_there_are_at_most_eight_columns() -> None:
    assert "columns" in errors(document(columns=[{"model": "m"}] * (MAX_COLUMNS + 1)))


def test_an_image_must_be_an_image_file() -> None:
    def content(**part: Any) -> dict[str, Any]:
        return document(messages=[{"role": "user", "content": [{"type": "image", **part}]}])

    plan = parse(content(media_type="image/png", data=PNG))
    assert plan.columns[0].turns[0].parts == (Image(media_type="image/png", data=PNG),)
    path = "messages.0.content.0"
    assert f"{path}.media_type" in errors(content(media_type="image/svg+xml", data=PNG))
    assert f"{path}.data" in errors(content(media_type="image/png", data="not base64"))
    assert f"{path}.data" in errors(content(media_type="image/png", data=""))


def test_calls_and_results_of_an_earlier_response_are_parsed() -> None:
    call = {"type": "tool_call", "id": "c1", "name": "t", "arguments": {"a": 1}}
    result = {"type": "tool_result", "id": "c1", "content": {"b": 2}}
    plan = parse(
        document(
            messages=[
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [call]},
                {"role": "tool", "content": [result]},
            ]
        )
    )
    turns = plan.columns[0].turns
    assert turns[1].parts == (ToolCall(id="c1", name="t", arguments={"a": 1}),)
    assert turns[2].role == "user"
    assert turns[2].parts == (ToolResult(id="c1", parts=(Text(text='{"b":2}'),)),)


# A conversation of the log, on its way through the page


STATE = Signature(provider="anthropic", model="m", kind="signature", value="abc")
TURNS = (
    Turn(role="system", parts=(Text(text="Be brief."),)),
    Turn(role="user", name="ada", parts=(Text(text="See", cache=CacheBreakpoint(ttl="1h")),)),
    Turn(role="user", parts=(Image(url="https://example.com/a.png"), Image(data=PNG))),
    Turn(
        role="user",
        parts=(
            Document(title="a.pdf", parts=(Text(text="x"), Image(data=PNG))),
            Audio(data="AA", format="wav"),
        ),
    ),
    Turn(
        role="assistant",
        effort="low",
        parts=(
            Reasoning(text="Hm", signature=STATE),
            Text(text="Look", citations=(Citation(url="https://example.com", start=0),)),
            ToolCall(id="c1", name="t", arguments={"a": 1}),
            ToolCall(
                id="c2", name="patch", raw_arguments="*** begin", custom=True, signature=STATE
            ),
            Refusal(text="No."),
        ),
    ),
    Turn(
        role="user",
        parts=(
            ToolResult(id="c1", parts=(Text(text="one"),)),
            ToolResult(
                id="c2", parts=(Text(text="two"), Image(data=PNG)), is_error=True, name="patch"
            ),
            Native(dialect="openai_responses", data={"type": "compaction", "id": "x"}),
        ),
    ),
)


def test_a_logged_conversation_survives_the_page_without_loss() -> None:
    page = msgspec.json.decode(msgspec.json.encode(render_turns(TURNS)))
    errors = FieldErrors()
    assert parse_turns(errors, {"messages": page}) == TURNS
    assert errors.messages == {}


@pytest.mark.parametrize(
    "exact",
    [
        {},
        3,
        {"class": "Turn"},
        {"class": "Text"},
        {"class": "Text", "text": 3},
        {"class": "ToolResult", "id": "c", "parts": 3},
        {"class": "ToolResult", "id": "c", "parts": [{"class": "No"}]},
    ],
    ids=str,
)
def test_a_part_that_cannot_be_read_is_refused(exact: Any) -> None:
    part = {"type": "file", "label": "x", "exact": exact}
    field_errors = errors(document(messages=[{"role": "user", "content": [part]}]))
    assert set(field_errors) >= {"messages.0.content.0.exact"}
