"""JSON Schema reduced to OpenAI's strict subset."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.shared.openai_schema import object_parameters, strict_schema
from tests.fakes.openai_rules import strict_schema_problem


def obj(**properties: Any) -> dict[str, Any]:
    """Return a strict object with these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


STRING = {"type": "string"}


def test_a_strict_schema_is_unchanged():
    schema = obj(a=STRING, b=obj(c={"type": "array", "items": STRING}))
    assert strict_schema(schema) == (schema, ())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({**obj(a=STRING), "required": []}, obj(a={"type": ["string", "null"]})),
        (
            {**obj(a={"enum": ["x"], "type": "string"}), "required": []},
            obj(a={"enum": ["x", None], "type": ["string", "null"]}),
        ),
        (
            {**obj(a={"$ref": "#/$defs/A"}), "required": []},
            obj(a={"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}),
        ),
        (obj(a={"oneOf": [STRING]}), obj(a={"anyOf": [STRING]})),
        ({**obj(b=STRING), "allOf": [obj(a=STRING)]}, obj(a=STRING, b=STRING)),
        (
            {**obj(b=STRING), "allOf": [{"$ref": "#/$defs/A"}]},
            {**obj(b=STRING), "description": 'allOf: [{"$ref":"#/$defs/A"}]'},
        ),
        ({**obj(a=STRING), "additionalProperties": {}}, obj(a=STRING)),
        ({"type": "object", "properties": {}}, {**obj(), "required": []}),
        (
            obj(a={"type": "object", "not": {"required": ["x"]}, "properties": {}}),
            obj(
                a={
                    "type": "object",
                    "properties": {},
                    "description": 'not: {"required":["x"]}',
                    "additionalProperties": False,
                    "required": [],
                }
            ),
        ),
        ({**obj(a=STRING), "$schema": "x", "$id": "y"}, obj(a=STRING)),
        (
            obj(a={"type": "string", "format": "uri"}, b={"type": "string", "format": "date"}),
            obj(
                a={"type": "string", "description": "format: uri"},
                b={"type": "string", "format": "date"},
            ),
        ),
        (
            obj(a={"$ref": "#/$defs/A", "description": "d"}),
            obj(a={"anyOf": [{"$ref": "#/$defs/A"}], "description": "d"}),
        ),
    ],
    ids=[
        "optional",
        "optional choice",
        "optional reference",
        "oneOf",
        "allOf beside properties",
        "reference beside properties",
        "open",
        "empty",
        "unknown keyword",
        "meta",
        "formats",
        "description of a reference",
    ],
)
def test_a_loose_schema_is_converted_to_strict(before: dict[str, Any], after: dict[str, Any]):
    strict = strict_schema(before)
    assert strict is not None
    assert strict[0] == after


def test_strict_schema_returns_the_changed_keywords():
    strict = strict_schema({"type": "object", "properties": {"a": {"oneOf": [STRING]}}})
    assert strict is not None
    assert set(strict[1]) == {"oneOf", "required"}


@pytest.mark.parametrize(
    "schema", [{}, {"type": "array"}, {"type": "object", "anyOf": []}, {"$ref": "#/x"}], ids=str
)
def test_a_root_that_is_not_a_plain_object_cannot_be_strict(schema: dict[str, Any]):
    assert strict_schema(schema) is None


@pytest.mark.parametrize(
    "part",
    [{}, True, {"description": "any"}, {"type": "array"}, {"anyOf": [STRING, {"title": "A"}]}],
    ids=str,
)
def test_a_part_without_a_type_cannot_be_strict(part: Any):
    schema = object_parameters(obj(a=STRING, b=obj(c=part)))
    assert strict_schema(schema) is None


def test_arrays_without_items_get_empty_ones():
    bare = {"type": "array", "prefixItems": [STRING]}
    nullable = {"type": ["array", "null"]}
    inside = {"oneOf": [{"type": "array", "items": {"type": "array"}}]}
    schema = {**obj(items=bare, b=nullable, c=inside, d=STRING), "$defs": {"D": dict(bare)}}
    assert object_parameters(schema) == {
        **obj(
            items={**bare, "items": {}},
            b={**nullable, "items": {}},
            c={"oneOf": [{"type": "array", "items": {"type": "array", "items": {}}}]},
            d=STRING,
        ),
        "$defs": {"D": {**bare, "items": {}}},
    }


def test_a_schema_of_true_is_an_empty_one():
    """Fireworks and llama.cpp refuse `true`, which MCP servers in Go and Rust offer."""
    open_object = {"type": "object", "additionalProperties": True}
    schema = obj(a=True, b={"type": "array", "items": True}, c={"anyOf": [True]}, d=open_object)
    assert object_parameters(schema) == obj(
        a={}, b={"type": "array", "items": {}}, c={"anyOf": [{}]}, d=open_object
    )


def test_the_clients_schema_is_not_changed():
    schema = {"type": "object", "properties": {"a": dict(STRING), "b": {"type": "array"}}}
    before = repr(schema)
    strict_schema(schema)
    object_parameters(schema)
    assert repr(schema) == before


names = st.sampled_from(["a", "b", "c"])
keywords = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "object", "array", ["string", "null"]])},
    optional={
        "enum": st.lists(names, max_size=2),
        "not": st.just({}),
        "allOf": st.just([{}]),
        "additionalProperties": st.booleans(),
        "required": st.lists(names, max_size=2),
    },
)
schemas = st.recursive(
    keywords,
    lambda inner: st.builds(
        lambda base, properties, items, options: {
            **base,
            "properties": properties,
            "items": items,
            "oneOf": options,
        },
        keywords,
        st.dictionaries(names, inner, max_size=3),
        inner,
        st.lists(inner, max_size=2),
    ),
    max_leaves=6,
)


@given(st.dictionaries(names, schemas, max_size=3))
def test_a_strict_schema_is_valid_and_idempotent(properties: dict[str, Any]):
    strict = strict_schema({"type": "object", "properties": properties})
    assert strict is not None
    assert strict_schema_problem(strict[0]) is None
    assert strict_schema(strict[0]) == (strict[0], ())


junk = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | names,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "anyOf", "required"]), inner
        )
    ),
    max_leaves=8,
)


@given(junk)
def test_an_invalid_schema_is_tolerated(value: Any):
    object_parameters({"type": "object", "properties": value, "items": value, "oneOf": value})
    strict_schema({"type": "object", "properties": value, "items": value, "required": value})
