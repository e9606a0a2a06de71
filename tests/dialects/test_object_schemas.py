"""Schemas whose root is no plain object: tools get one object, outputs an instruction."""

from __future__ import annotations

import json
from typing import Any

from gateway.canon.object_schema import merge_into_object
from gateway.canon.request import Request, Text, Tool, Turn
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.simulate import translate
from tests.each import each
from tests.fakes import openai_rules, responses_rules

STRING, NUMBER = {"type": "string"}, {"type": "number"}
CAT = {"type": "object", "properties": {"kind": {"const": "cat"}, "name": STRING, "lives": NUMBER}}
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}, "name": STRING}}
CAT |= {"required": ["kind", "name", "lives"]}
DOG |= {"required": ["name", "kind"]}
EITHER = {"kind": {"enum": ["cat", "dog"]}, "name": STRING, "lives": NUMBER}
ROOTS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "anyOf": ({"anyOf": [CAT, DOG]}, EITHER, ["kind", "name"]),
    "oneOf": ({"type": "object", "oneOf": [CAT, DOG]}, EITHER, ["kind", "name"]),
    "allOf": (
        {"allOf": [DOG, {"properties": {"age": NUMBER}, "required": ["age"]}]},
        {**DOG["properties"], "age": NUMBER},
        ["name", "kind", "age"],
    ),
    "$ref": (
        {"$ref": "#/$defs/Cat", "$defs": {"Cat": CAT}},
        CAT["properties"],
        ["kind", "name", "lives"],
    ),
    "references in anyOf": (
        {
            "anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
            "$defs": {"Cat": CAT, "Dog": DOG},
        },
        EITHER,
        ["kind", "name"],
    ),
    "beside own properties": (
        {
            "type": "object",
            "properties": {"id": STRING, "name": NUMBER},
            "required": ["id"],
            "anyOf": [{"required": ["name"]}, {"properties": {"name": STRING}}],
        },
        {"id": STRING, "name": {"anyOf": [NUMBER, STRING]}},
        ["id"],
    ),
    "null beside an object": (
        {"anyOf": [DOG, {"type": "null"}]},
        DOG["properties"],
        ["name", "kind"],
    ),
}


@each("root", ROOTS)
def test_the_branches_of_a_root_are_put_together(root: str) -> None:
    schema, properties, required = ROOTS[root]
    merged, reason = merge_into_object(schema)
    assert merged["type"] == "object"
    assert merged["properties"] == properties
    assert merged.get("required", []) == required
    assert not merged.keys() & {"anyOf", "oneOf", "allOf", "$ref"}
    assert "merged into one object" in reason


def test_an_object_stays_the_same_and_a_recursive_reference_ends() -> None:
    assert merge_into_object(CAT) == (CAT, "")
    merged, _ = merge_into_object({"$ref": "#"})
    assert merged == {"type": "object", "properties": {}}


@each(
    "dialect",
    [
        "openai_chat",
        "openai_responses",
        "anthropic_messages",
        "bedrock_converse",
        "cohere",
        "ollama",
    ],
)
@each("root", ROOTS)
def test_no_provider_gets_alternatives_at_the_root(dialect: str, root: str) -> None:
    schema, properties, _ = ROOTS[root]
    turn = Turn(role="user", parts=(Text(text="Hi"),))
    tool = Tool(name="f", schema=schema, path="tools[0]")
    rendered_request = DIALECTS[dialect].provider.render_request(
        Request(model="m", turns=(turn,), tools=(tool,)), Traits(model="m")
    )
    (rendered_schema,) = _schemas(rendered_request.body)
    assert rendered_schema["properties"] == properties
    assert not rendered_schema.keys() & {"anyOf", "oneOf", "allOf", "$ref"}
    assert [item.path for item in rendered_request.report].count("tools[0]") == 1


def _schemas(body: dict[str, Any]) -> list[dict[str, Any]]:
    tools = body["tools"] if "tools" in body else body["toolConfig"]["tools"]
    schemas = []
    for tool in tools:
        inner = tool.get("function") or tool.get("toolSpec") or tool
        schema = (
            inner.get("parameters") or inner.get("input_schema") or inner["inputSchema"]["json"]
        )
        schemas.append(schema)
    return schemas


@each(
    ("schema", "properties"),
    [
        ({"anyOf": [CAT, DOG]}, {"kind", "name", "lives"}),
        (
            {"type": "object", "allOf": [DOG, {"properties": {"age": NUMBER}}]},
            {"name", "kind", "age"},
        ),
        ({"$ref": "#/$defs/Cat", "$defs": {"Cat": CAT}}, {"kind", "name", "lives"}),
        ({"properties": {"a": STRING}}, {"a"}),
    ],
    ids=["anyOf", "allOf", "$ref", "no type"],
)
def test_gemini_gets_an_object_at_the_root(schema: dict[str, Any], properties: set[str]) -> None:
    """Google refuses others: "parameters schema should be of type OBJECT"."""
    turn = Turn(role="user", parts=(Text(text="Hi"),))
    tool = Tool(name="f", schema=schema, path="tools[0]")
    rendered_request = DIALECTS["gemini"].provider.render_request(
        Request(model="m", turns=(turn,), tools=(tool,)), Traits(model="m")
    )
    sent_schema = rendered_request.body["tools"][0]["functionDeclarations"][0][
        "parametersJsonSchema"
    ]
    assert sent_schema["type"] == "object"
    assert set(sent_schema["properties"]) == properties


# --- outputs --------------------------------------------------------------------------------

NAMES = {"type": "ARRAY", "items": {"type": "STRING"}}
LISTED = {"$ref": "#/$defs/Names", "$defs": {"Names": NAMES}}
OPENAI = [("openai_chat", openai_rules), ("openai_responses", responses_rules)]


def output_request(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a request of a Gemini client, as its SDK sends `response_schema=list[str]`."""
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    contents = [{"role": "user", "parts": [{"text": "names"}]}]
    return {"model": "m", "contents": contents, "generationConfig": config}


@each(("target", "rules"), OPENAI)
@each(
    "schema",
    [NAMES, {"type": "STRING"}, {"anyOf": [NAMES, {"type": "OBJECT"}]}, {"enum": ["a"]}, LISTED],
)
def test_openai_gets_an_output_that_is_no_object_as_an_instruction(
    target: str, rules: Any, schema: dict[str, Any]
) -> None:
    translation = translate.request("gemini", target, output_request(schema), {}, "gpt-4.1")
    body = translation["body"]
    assert rules.refusal(body) is None
    assert "response_format" not in body
    assert "text" not in body
    assert "Answer only with JSON that follows this JSON Schema" in str(body)
    (row,) = translation["report"]
    assert (row["field"], row["action"]) == ("generationConfig.responseSchema", "approximated")
    assert row["note"] == "OpenAI accepts only objects: sent as an instruction"


@each(("target", "rules"), OPENAI)
def test_an_output_with_properties_is_an_object(target: str, rules: Any) -> None:
    request = output_request({"properties": {"a": {"type": "STRING"}}})
    body = translate.request("gemini", target, request, {}, "gpt-4.1")["body"]
    assert rules.refusal(body) is None
    assert '"type": "object"' in json.dumps(body)


@each(("target", "rules"), OPENAI)
def test_an_output_that_refers_to_an_object_is_that_object(target: str, rules: Any) -> None:
    """A recursive model of Pydantic has a reference at its root."""
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    }
    schema = {"$ref": "#/$defs/Node", "$defs": {"Node": node}}
    config = {"responseMimeType": "application/json", "responseJsonSchema": schema}
    request = output_request(NAMES) | {"generationConfig": config}
    translation = translate.request("gemini", target, request, {}, "gpt-4.1")
    body = translation["body"]
    assert rules.refusal(body) is None
    output = body["text"]["format"] if "text" in body else body["response_format"]["json_schema"]
    assert output["schema"] == {**node, "$defs": {"Node": node}}
    assert translation["report"] == []


def test_other_servers_enforce_an_output_that_is_no_object() -> None:
    translation = translate.request("gemini", "vllm", output_request(NAMES), {}, "qwen3")
    schema = translation["body"]["response_format"]["json_schema"]["schema"]
    assert schema == {"type": "array", "items": {"type": "string"}}


@each("kind", ["ARRAY", "STRING"])
@each("target", ["openai_chat", "openai_responses", "anthropic", "bedrock", "ollama", "cohere"])
def test_a_tool_whose_arguments_are_no_object_is_reported(kind: str, target: str) -> None:
    functions = [{"name": "f", "parameters": {"type": kind, "items": {"type": "STRING"}}}]
    request = output_request(NAMES) | {"tools": [{"functionDeclarations": functions}]}
    del request["generationConfig"]
    model = {"bedrock": "anthropic.claude-sonnet-4-6", "anthropic": "claude-sonnet-4-6"}
    translation = translate.request("gemini", target, request, {}, model.get(target, "m"))
    notes = {row["field"]: row["note"] for row in translation["report"]}
    assert notes["tools[0].functionDeclarations[0]"] == (
        f"{kind.lower()} at the root of a tool's schema became an object"
    )


# --- booleans as schemas ----------------------------------------------------------------------

WITH_BOOLEANS = {
    "type": "object",
    "properties": {"open": True, "closed": False, "rows": {"type": "array", "items": True}},
    "additionalProperties": False,
}
# Where each target has the schema of its first tool; it must contain no other boolean.
TOOL_SCHEMAS = {
    "gemini": ("tools", 0, "functionDeclarations", 0, "parametersJsonSchema"),
    "cohere": ("tools", 0, "function", "parameters"),
    "ollama": ("tools", 0, "function", "parameters"),
}
# The same for the schema of the output.
OUTPUT_SCHEMAS = {
    "anthropic": ("output_config", "format", "schema"),
    "gemini": ("generationConfig", "responseJsonSchema"),
    "cohere": ("response_format", "json_schema"),
}
MODELS = {"gemini": "gemini-3.8-flash", "cohere": "command-a-03-2025", "ollama": "qwen3"}
MODELS |= {"anthropic": "claude-opus-5-5"}


def translated_schema(target: str, path: tuple[str | int, ...], **fields: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    value = translate.request("openai_chat", target, body, {}, MODELS[target])["body"]
    for key in path:
        value = value[key]
    return value


def check_booleans(schema: dict[str, Any]) -> None:
    assert schema.pop("additionalProperties") is False
    properties = schema["properties"]
    assert not any(isinstance(item, bool) for item in properties.values())
    assert properties["open"] == {}
    assert "not" in json.dumps(properties["closed"])
    assert properties["rows"]["items"] == {}


@each("target", list(TOOL_SCHEMAS))
def test_booleans_in_the_schema_of_a_tool_become_objects(target: str) -> None:
    """Google, Cohere and Ollama describe schemas as objects."""
    tool = {"type": "function", "function": {"name": "f", "parameters": WITH_BOOLEANS}}
    check_booleans(translated_schema(target, TOOL_SCHEMAS[target], tools=[tool]))


@each("target", list(OUTPUT_SCHEMAS))
def test_booleans_in_the_schema_of_an_output_become_objects(target: str) -> None:
    output = {"type": "json_schema", "json_schema": {"name": "n", "schema": WITH_BOOLEANS}}
    check_booleans(translated_schema(target, OUTPUT_SCHEMAS[target], response_format=output))


def test_what_a_boolean_forbids_is_reported_where_it_is_only_described() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": WITH_BOOLEANS}}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "tools": [tool]}
    rows = translate.request("openai_chat", "gemini", body, {}, MODELS["gemini"])["report"]
    assert ("tools[0].function.parameters", "approximated") in {
        (row["field"], row["action"]) for row in rows
    }


NULLS = {"type": "object", "properties": None, "required": None}


@each(
    "target", ["anthropic", "openai", "openai_responses", "gemini", "bedrock", "cohere", "ollama"]
)
def test_nulls_in_a_schema_without_parameters_are_absent(target: str) -> None:
    """Clients in Go, Ollama's among them, write an empty map and an empty list as null."""
    function = {"name": "f", "description": "d", "parameters": NULLS}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "tools": [{"type": "function", "function": function}],
    }
    source = "ollama" if target != "ollama" else "openai_chat"
    translation = translate.request(source, target, {**body, "stream": False}, {}, "gpt-4.1")
    sent = json.dumps(translation["body"]["toolConfig" if target == "bedrock" else "tools"])
    assert '{"type": "object", "properties": {}}' in sent
    assert "null" not in sent
