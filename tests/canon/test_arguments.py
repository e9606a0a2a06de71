"""Tool call arguments as a string and as an object."""

from __future__ import annotations

import pytest

from gateway.canon.arguments import parse_arguments, render_arguments
from gateway.canon.request import ToolCall


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ({}, None)),
        ("  \n", ({}, None)),
        ("null", ({}, None)),
        ('{"a": 1}', ({"a": 1}, None)),
        ('{"a": ', (None, '{"a": ')),
        ("[1]", (None, "[1]")),
        ('"x"', (None, '"x"')),
        ("[" * 100_000, (None, "[" * 100_000)),
    ],
    ids=["empty", "blank", "null", "object", "cut", "list", "string", "deep"],
)
def test_a_json_string_is_parsed_as_an_object(text: str, expected: object):
    assert parse_arguments(text) == expected


def test_unparseable_arguments_are_rendered_unchanged():
    assert render_arguments(ToolCall(id="c", name="f", raw_arguments='{"a": ')) == '{"a": '


def test_an_object_is_written_compactly():
    assert (
        render_arguments(ToolCall(id="c", name="f", arguments={"a": [1, "ü"]})) == '{"a":[1,"ü"]}'
    )
