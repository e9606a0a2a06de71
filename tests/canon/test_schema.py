"""Schemas are reduced to a provider's subset, and the changes are reported."""

from __future__ import annotations

import copy
import json
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.schema import (
    inline_references,
    is_enforceable,
    restrict_to_anthropic,
    restrict_to_openai_strict,
    without_meta_keywords,
)


def reduce_schema(**fields: Any) -> tuple[Any, list[str]]:
    """Return the schema of a property after reduction, and the reported changes."""
    schema = {"type": "object", "properties": {"a": fields}, "additionalProperties": False}
    out, changed = restrict_to_anthropic(schema)
    return out["properties"]["a"], changed


def test_removed_constraints_are_added_to_the_description():
    assert reduce_schema(type="integer", minimum=0, maximum=150) == (
        {"type": "integer", "description": "minimum: 0, maximum: 150"},
        ["minimum", "maximum"],
    )


def test_the_original_description_precedes_constraints():
    out, _ = reduce_schema(type="string", description="A name.", minLength=1)
    assert out["description"] == "A name.\n\nminLength: 1"


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"type": "array", "items": {}, "minItems": 1}, []),
        ({"type": "array", "items": {}, "minItems": 2}, ["minItems"]),
        ({"type": "array", "items": {}, "maxItems": 2}, ["maxItems"]),
        ({"type": "string", "format": "date-time"}, []),
        ({"type": "string", "format": "regex"}, ["format"]),
        ({"type": "string", "pattern": "^a"}, ["pattern"]),
        ({"enum": ["a", "b"], "default": "a"}, []),
        ({"const": 5}, []),
        ({"anyOf": [{"type": "string", "maxLength": 3}]}, ["maxLength"]),
        ({"not": {"type": "null"}}, ["not"]),
        ({"allOf": [{"type": "string"}, {"enum": ["a"]}]}, []),
        ({"allOf": [{"$ref": "#/$defs/x"}, {"default": 1}]}, ["allOf"]),
        ({"type": "object"}, ["additionalProperties"]),
        ({"type": "object", "properties": {}}, []),
        ({"type": "object", "additionalProperties": {"type": "string"}}, ["additionalProperties"]),
    ],
    ids=str,
)
def test_unsupported_schema_keywords_are_removed_for_anthropic(
    fields: dict[str, Any], lost: list[str]
):
    assert reduce_schema(**fields)[1] == lost


def test_one_of_becomes_any_of():
    out, changed = reduce_schema(oneOf=[{"type": "string"}, {"type": "null"}])
    assert out == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert changed == ["oneOf"]


def test_a_reference_wrapped_alone_is_unwrapped():
    out, changed = reduce_schema(allOf=[{"$ref": "#/$defs/x"}], description="d")
    assert (out, changed) == ({"$ref": "#/$defs/x", "description": "d"}, [])


def test_objects_are_closed_at_every_depth_without_being_counted():
    inner = {"type": "object", "properties": {"b": {}}}
    schema = {"type": "object", "properties": {"a": inner}, "$defs": {"c": inner}}
    out, changed = restrict_to_anthropic(schema)
    closed = {**inner, "additionalProperties": False}
    assert out["properties"]["a"] == out["$defs"]["c"] == closed
    assert changed == []


def test_a_property_may_have_a_keywords_name():
    schema = {"type": "object", "properties": {"minimum": {"type": "string"}}}
    out, changed = restrict_to_anthropic(schema)
    assert out["properties"] == schema["properties"]
    assert changed == []


def test_meta_keywords_are_omitted():
    schema = {"$schema": "https://x", "$id": "y", "type": "object", "title": "T"}
    assert without_meta_keywords(schema) == {"type": "object", "title": "T"}
    assert "$schema" not in restrict_to_anthropic(schema)[0]


def test_strict_openai_requires_all_and_lets_the_optional_be_null():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer", "enum": [1]},
            "c": {"$ref": "#/$defs/x"},
        },
        "required": ["a"],
    }
    out, changed = restrict_to_openai_strict(schema)
    assert out == {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": ["integer", "null"], "enum": [1, None]},
            "c": {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]},
        },
        "required": ["a", "b", "c"],
        "additionalProperties": False,
    }
    assert changed == ["required"]


def test_strict_openai_keeps_bounds():
    schema = {"type": "object", "properties": {"a": {"minimum": 1}}, "required": ["a"]}
    assert restrict_to_openai_strict(schema)[1] == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "properties": {}}, True),
        ({"type": "array"}, False),
        ({}, False),
        ({"type": "object", "anyOf": [{}]}, False),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, False),
        ({"type": "object", "properties": {"a": {"$ref": "https://x"}}}, False),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}, False),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/a~1b"}},
                "$defs": {"a/b": {"type": "string"}},
            },
            True,
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/x"}},
                "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"items": {"$ref": "#/$defs/x"}}},
            },
            False,
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/x"}},
                "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/y"}},
            },
            False,
        ),
    ],
    ids=[
        "object",
        "array",
        "empty",
        "alternatives",
        "itself",
        "foreign",
        "dangling",
        "local",
        "mutual",
        "a loop further on",
    ],
)
def test_only_a_closed_tree_can_be_enforced(schema: dict[str, Any], *, expected: bool):
    assert is_enforceable(schema) is expected


def test_a_very_deep_schema_is_handled_quickly():
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(5000):
        schema = {"type": "object", "properties": {"a": schema}}
    out, changed = restrict_to_anthropic(schema)
    assert "nesting" in changed
    assert out["properties"]
    assert is_enforceable(schema)


def test_many_references_do_not_take_long():
    count = 900
    defs = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(count)}
    schema = {"type": "object", "$defs": {**defs, f"d{count}": {"type": "string"}}}
    assert is_enforceable(schema)
    endless = {**defs, **{f"e{i}": {"$ref": f"#/$defs/e{i + 1}"} for i in range(50_000)}}
    assert not is_enforceable({"type": "object", "$defs": endless})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
keywords = st.sampled_from(
    ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "minimum"]
    + ["required", "enum", "description", "additionalProperties", "minItems", "format"]
)
schemas = st.recursive(
    st.dictionaries(keywords, json_values | st.sampled_from(["object", "array", "#"]), max_size=3),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "string"]),
            "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3),
            "anyOf": st.lists(inner, max_size=2),
            "items": inner | st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "required": json_values,
        },
    ),
    max_leaves=6,
)


@given(schemas)
def test_any_json_is_fitted_without_being_changed_and_the_same_every_time(schema: dict[str, Any]):
    before = copy.deepcopy(schema)
    for fit in (restrict_to_anthropic, restrict_to_openai_strict):
        first = fit(schema)
        assert schema == before
        assert fit(schema) == first
        json.dumps(first)
    is_enforceable(schema)


def test_the_official_sdk_makes_no_further_changes():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "format": "email"},
            "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "one": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["name"],
    }
    out, _ = restrict_to_anthropic(schema)
    assert anthropic.transform_schema(out) == out


def test_references_are_replaced_by_what_they_refer_to() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/point", "description": "d"},
            "tree": {"$ref": "#/$defs/node"},
            "$ref": {"type": "string"},
            "other": {"$ref": "https://example.org/schema"},
        },
        "$defs": {
            "point": {"type": "object", "properties": {"x": {"$ref": "#/$defs/number"}}},
            "number": {"type": "number"},
            "node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}},
        },
    }
    before = copy.deepcopy(schema)
    assert inline_references(schema)["properties"] == {
        "a": {
            "type": "object",
            "properties": {"x": {"type": "number"}},
            "description": "d",
        },
        "tree": {"type": "object", "properties": {"next": {}}},
        "$ref": {"type": "string"},
        "other": {},
    }
    assert schema == before


def test_references_that_multiply_stay_small() -> None:
    defs = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 10} for n in range(30)}
    schema = {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": defs}
    assert len(json.dumps(inline_references(schema))) < 1_000_000
