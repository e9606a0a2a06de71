"""Normalized names and ids are legal, unique and deterministic."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.naming import assign_tool_names, render_tool_id

LEGAL = re.compile(r"[a-zA-Z0-9_-]+")


def test_legal_names_are_unchanged():
    assert assign_tool_names(["get_weather", "a-B_9"]) == {
        "get_weather": "get_weather",
        "a-B_9": "a-B_9",
    }


def test_an_illegal_name_gets_underscores():
    assert assign_tool_names(["files.read", "a b"]) == {"files.read": "files_read", "a b": "a_b"}


def test_a_long_name_ends_in_its_hash():
    name = "mcp__server__" + "x" * 80
    assigned = assign_tool_names([name])[name]
    assert (len(assigned), assigned[:55]) == (64, name[:55])
    assert re.fullmatch(r"_[0-9a-f]{8}", assigned[55:])


def test_a_legal_name_is_unchanged_in_any_order():
    first, second = assign_tool_names(["a.b", "a_b"]), assign_tool_names(["a_b", "a.b"])
    assert first == second
    assert first["a_b"] == "a_b"
    assert first["a.b"].startswith("a_b_")


def test_an_empty_name_becomes_one_that_can_be_sent():
    assert assign_tool_names([""]) == {"": "_"}


@given(st.lists(st.text(max_size=80)), st.integers(10, 128))
def test_names_are_legal_unique_and_the_same_every_time(names: list[str], limit: int):
    assigned = assign_tool_names(names, limit)
    assert assigned.keys() == set(names)
    assert len(set(assigned.values())) == len(assigned)
    assert all(LEGAL.fullmatch(name) and len(name) <= limit for name in assigned.values())
    assert assign_tool_names(names, limit) == assigned


@pytest.mark.parametrize(
    ("rule", "given_id", "assigned"),
    [
        ("any", "call:1", "call:1"),
        ("word", "call:1.x", "call_1_x"),
        ("word", "", "_"),
        ("bedrock64", "call:1.x", "call:1.x"),
        ("bedrock64", "c" * 64, "c" * 64),
        ("any64", "call:1|x", "call:1|x"),
        ("any64", "c" * 64, "c" * 64),
        ("any40", "c" * 40, "c" * 40),
        ("mistral9", "abcdefgh9", "abcdefgh9"),
    ],
)
def test_an_id_is_preserved_as_far_as_the_rule_allows(rule: str, given_id: str, assigned: str):
    assert render_tool_id(rule, given_id) == assigned


@pytest.mark.parametrize(("rule", "maximum"), [("bedrock64", 64), ("any64", 64), ("any40", 40)])
def test_a_long_id_ends_in_its_hash(rule: str, maximum: int):
    assigned = render_tool_id(rule, "call_" + "x" * 90)
    assert (len(assigned), assigned[:-9]) == (maximum, "call_" + "x" * (maximum - 14))
    assert re.fullmatch(r"_[0-9a-f]{8}", assigned[-9:])


def test_an_id_for_mistral_is_nine_letters_and_digits():
    first, other = (
        render_tool_id("mistral9", "call_0fypS1hVX"),
        render_tool_id("mistral9", "call_0fypS1hVY"),
    )
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", first)
    assert first != other


@pytest.mark.parametrize(
    ("rule", "legal"),
    [
        ("word", r"[a-zA-Z0-9_-]+"),
        ("bedrock64", r"[a-zA-Z0-9_.:-]{1,64}"),
        ("mistral9", r"[a-zA-Z0-9]{9}"),
    ],
)
def test_any_id_becomes_legal_and_the_conversion_is_idempotent(rule: str, legal: str):
    @given(st.text(max_size=99))
    def check(call_id: str):
        assigned = render_tool_id(rule, call_id)
        assert re.fullmatch(legal, assigned)
        assert render_tool_id(rule, assigned) == assigned
        assert render_tool_id(rule, call_id) == assigned

    check()


def test_a_lone_surrogate_in_a_text_can_be_hashed():
    assert render_tool_id("mistral9", "\ud800")
