"""Tool call arguments as a string and as an object."""

from __future__ import annotations

import pytest

from gateway.canon.arguments import ObjectFragments, parse_arguments, render_arguments
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


OBJECTS = [
    "{}",
    '{"a": 1}',
    '{"a": {"b": [{}]}}',
    r'{"a": "}\\"}',
    r'{"a": "\"}{", "b}": "{"}',
    ' {"é": "{"}',
]


@pytest.mark.parametrize("text", OBJECTS)
@pytest.mark.parametrize("more", ["", "}", "{}", " \n", " x"])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_what_follows_an_object_is_left_out(text: str, more: str, size: int) -> None:
    fragments = ObjectFragments()
    whole = text + more
    sent = [fragments.add(whole[n : n + size]) for n in range(0, len(whole), size)]
    assert "".join(sent) == text
    assert fragments.has_more == bool(more.strip())


@pytest.mark.parametrize("text", ['{"a": "}', '{"a": {}', '{"a": "\\'])
def test_an_object_that_is_cut_off_is_complete_text(text: str) -> None:
    fragments = ObjectFragments()
    assert "".join(map(fragments.add, text)) == text
    assert not fragments.has_more
