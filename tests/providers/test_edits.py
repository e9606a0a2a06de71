"""Edits: changes and reports; passthrough without a matching edit has no overhead."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.catalog import PRESETS
from gateway.providers.edits import apply, apply_raw, check
from gateway.providers.profile import Edit


def decode_shallow(body: dict[str, Any]) -> dict[str, msgspec.Raw]:
    """Return a body as passthrough decodes it."""
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])


def encode_and_decode(fields: dict[str, msgspec.Raw]) -> Any:
    """Return the encoded and decoded body."""
    return msgspec.json.decode(msgspec.json.encode(fields))


def apply_edit(edit: Edit, body: dict[str, Any]) -> dict[str, Any]:
    """Return the body after an edit; asserts that both ways of applying it are equal."""
    edited_body, report = apply((edit,), body)
    raw, raw_report = apply_raw((edit,), decode_shallow(body))
    assert encode_and_decode(raw) == edited_body
    assert raw_report == report
    return edited_body


CASES = [
    ("drop", Edit(op="drop", path="n"), {"n": 2, "a": 1}, {"a": 1}),
    ("drop of nothing", Edit(op="drop", path="n"), {"a": 1}, {"a": 1}),
    ("drop below", Edit(op="drop", path="a.b"), {"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}),
    (
        "drop in each",
        Edit(op="drop", path="m[].x"),
        {"m": [{"x": 1}, {"y": 2}]},
        {"m": [{}, {"y": 2}]},
    ),
    (
        "rename",
        Edit(op="rename", path="seed", value="random_seed"),
        {"seed": 1},
        {"random_seed": 1},
    ),
    (
        "rename onto a field that is there",
        Edit(op="rename", path="a", value="b"),
        {"a": 1, "b": 2},
        {"b": 2},
    ),
    ("default where absent", Edit(op="default", path="a", value=1), {}, {"a": 1}),
    ("default where null", Edit(op="default", path="a", value=1), {"a": None}, {"a": None}),
    ("default where present", Edit(op="default", path="a", value=1), {"a": 0}, {"a": 0}),
    ("default below nothing", Edit(op="default", path="a.b", value=1), {}, {"a": {"b": 1}}),
    ("set", Edit(op="set", path="a", value=[1]), {"a": 0}, {"a": [1]}),
    ("min", Edit(op="min", path="t", value=0.01), {"t": 0}, {"t": 0.01}),
    ("max", Edit(op="max", path="n", value=1), {"n": 3}, {"n": 1}),
    ("max of what is below", Edit(op="max", path="n", value=9), {"n": 3}, {"n": 3}),
    ("max of a word", Edit(op="max", path="n", value=1), {"n": "many"}, {"n": "many"}),
    ("max of a flag", Edit(op="max", path="n", value=0), {"n": True}, {"n": True}),
    ("map", Edit(op="map", path="c", value={"required": "any"}), {"c": "required"}, {"c": "any"}),
    ("shorten", Edit(op="shorten", path="u", value=12), {"u": "a" * 20}, {"u": "aaa_42492da0"}),
    (
        "shorten of what fits",
        Edit(op="shorten", path="u", value=12),
        {"u": "a" * 12},
        {"u": "a" * 12},
    ),
    (
        "shorten in each of each",
        Edit(op="shorten", path="m[].calls[].id", value=12),
        {"m": [{"calls": [{"id": "a" * 20}, {"id": "b"}]}, {"id": "a" * 20}]},
        {"m": [{"calls": [{"id": "aaa_42492da0"}, {"id": "b"}]}, {"id": "a" * 20}]},
    ),
    ("map of another word", Edit(op="map", path="c", value={"x": "y"}), {"c": "z"}, {"c": "z"}),
    (
        "map of an object",
        Edit(op="map", path="c", value={"x": "y"}),
        {"c": {"x": 1}},
        {"c": {"x": 1}},
    ),
    (
        "map in each",
        Edit(op="map", path="messages[].role", value={"developer": "system"}),
        {"messages": [{"role": "developer"}, {"role": "user"}, "odd"]},
        {"messages": [{"role": "system"}, {"role": "user"}, "odd"]},
    ),
    (
        "a path through a list that is none",
        Edit(op="drop", path="m[].x"),
        {"m": "text"},
        {"m": "text"},
    ),
    ("a path through a scalar", Edit(op="drop", path="a.b"), {"a": 1}, {"a": 1}),
]


@pytest.mark.parametrize(
    ("edit", "body", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_an_edit_changes_its_field(
    edit: Edit, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert apply_edit(edit, body) == expected


def test_edits_run_in_order() -> None:
    edits = (Edit(op="rename", path="a", value="b"), Edit(op="max", path="b", value=1))
    assert apply(edits, {"a": 5})[0] == {"b": 1}
    assert encode_and_decode(apply_raw(edits, decode_shallow({"a": 5}))[0]) == {"b": 1}


def test_the_input_body_is_not_changed() -> None:
    body = {"m": [{"x": 1}], "n": 2}
    apply((Edit(op="drop", path="m[].x"), Edit(op="set", path="n", value=0)), body)
    assert body == {"m": [{"x": 1}], "n": 2}


def test_a_body_without_a_match_is_returned_unchanged() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    edits = (Edit(op="drop", path="n"), Edit(op="drop", path="messages[].name"))
    assert apply(edits, body)[0] is body
    fields = decode_shallow(body)
    assert apply_raw(edits, fields)[0] is fields


def test_a_field_that_no_edit_touches_keeps_its_bytes() -> None:
    body = b'{"messages": [ {"role":"user", "content":"\\u00e9 1.0e2"} ], "n": 2}'
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    edits = (
        Edit(op="max", path="n", value=1),
        Edit(op="map", path="messages[].role", value={"developer": "system"}),
    )
    changed, _ = apply_raw(edits, fields)
    assert bytes(changed["messages"]) == b'[ {"role":"user", "content":"\\u00e9 1.0e2"} ]'


def test_a_loss_is_reported_with_path_and_reason() -> None:
    _, report = apply((Edit(op="drop", path="n", reason="one choice only"),), {"n": 2})
    assert [(r.path, r.action, r.reason, r.before) for r in report] == [
        ("n", "dropped", "one choice only", 2)
    ]


def test_a_clamp_is_reported_with_both_values() -> None:
    _, report = apply((Edit(op="max", path="n", value=1, reason="w"),), {"n": 3})
    assert [(r.action, r.before, r.after) for r in report] == [("approximated", 3, 1)]


def test_a_value_that_was_not_requested_is_reported_as_defaulted() -> None:
    for op in ("default", "set"):
        _, report = apply((Edit(op=op, path="a", value=1),), {})
        assert [r.action for r in report] == ["defaulted"]


def test_a_renamed_field_is_not_reported_as_lost() -> None:
    edits = (
        Edit(op="rename", path="seed", value="random_seed"),
        Edit(op="map", path="tool_choice", value={"required": "any"}),
    )
    assert apply(edits, {"seed": 1, "tool_choice": "required"})[1] == []


def test_many_items_of_a_list_are_one_line_of_the_report() -> None:
    body = {"messages": [{"name": "a"}] * 1000}
    _, report = apply((Edit(op="drop", path="messages[].name", reason="w"),), body)
    assert [r.path for r in report] == ["messages[].name"]


def test_one_item_of_a_list_is_named() -> None:
    body = {"messages": [{}, {"name": "a"}]}
    _, report = apply((Edit(op="drop", path="messages[].name", reason="w"),), body)
    assert [r.path for r in report] == ["messages[1].name"]


def test_a_long_value_stays_out_of_the_report() -> None:
    _, report = apply((Edit(op="drop", path="a", reason="w"),), {"a": ["x" * 1000]})
    assert report[0].before is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "role", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)
bodies = st.dictionaries(
    st.sampled_from(["messages", "max_completion_tokens", "n", "logprobs", "temperature", "x"]),
    json_values,
)


@given(body=bodies, preset=st.sampled_from([p for p in PRESETS.values() if p.edits]))
def test_byte_and_object_edits_agree_on_any_body(body: dict[str, Any], preset: Any) -> None:
    edited_body, report = apply(preset.edits, body)
    raw, raw_report = apply_raw(preset.edits, decode_shallow(body))
    assert encode_and_decode(raw) == edited_body
    assert raw_report == report


@given(body=bodies, preset=st.sampled_from([p for p in PRESETS.values() if p.edits]))
def test_edits_are_idempotent(body: dict[str, Any], preset: Any) -> None:
    once, _ = apply(preset.edits, body)
    assert apply(preset.edits, once) == (once, [])


@pytest.mark.parametrize(
    "edit",
    [
        Edit(op="drop", path=""),
        Edit(op="drop", path="a..b"),
        Edit(op="drop", path="a[0].b"),
        Edit(op="rename", path="a"),
        Edit(op="max", path="a", value="1"),
        Edit(op="min", path="a", value=True),
        Edit(op="map", path="a", value="b"),
    ],
    ids=["no path", "empty name", "index", "no new name", "text", "flag", "no object"],
)
def test_an_invalid_edit_is_refused(edit: Edit) -> None:
    with pytest.raises(ValueError, match="edit"):
        check(edit)
