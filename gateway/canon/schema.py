"""JSON Schema in the subsets that providers enforce.

Each function returns a new schema and never changes its argument; the same schema gives the
same result in every turn. Constraints that a subset does not support are added to the
description, where the model reads them: `minimum: 0, maximum: 150`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain, islice
from operator import is_not
from typing import Any

import msgspec

from gateway.canon.json_values import list_or_empty

Schema = dict[str, Any]

# Deeper schemas are not changed: no provider compiles them.
_MAX_DEPTH = 100
# More references than any provider compiles.
_MAX_REFS = 1000
# More objects than any provider compiles; an object counts once for each reference to it.
_MAX_OBJECTS = 50_000
# More values than any provider accepts: references to schemas with several references each would
# grow exponentially if they were written out.
_MAX_INLINED_VALUES = 20_000
_META_KEYWORDS = ("$schema", "$id")
# Keywords whose value is a map of schemas, a list of schemas, a single schema.
_MAP_KEYWORDS = ("properties", "$defs", "definitions")
_LIST_KEYWORDS = ("anyOf", "allOf", "prefixItems")
_SCHEMA_KEYWORDS = ("items",)
# Types without parts.
_SCALAR_TYPES = ("string", "number", "integer", "boolean", "null")
# Keywords that say which values a schema is for.
_TYPE_KEYWORDS = frozenset({"type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"})


class SchemaSubset(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON Schema subset of a provider's structured output.

    Attributes:
        unsupported_keywords: keywords that it rejects.
        formats: the string formats it supports; None means all.
        largest_min_items: the largest `minItems` it accepts; None means any.
        refs_in_all_of: whether an `allOf` may contain references.
        keywords_beside_ref: whether a `$ref` may have other keywords next to it.
        all_required: whether every property must be required.
    """

    unsupported_keywords: frozenset[str]
    formats: frozenset[str] | None = None
    largest_min_items: int | None = None
    refs_in_all_of: bool = True
    keywords_beside_ref: bool = True
    all_required: bool = False


_UNSUPPORTED_BY_ALL = frozenset(
    {
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "dependentSchemas",
        "patternProperties",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "contains",
        "minContains",
        "maxContains",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
# platform.claude.com, structured outputs, 2026-08; the formats as the SDK lists them.
ANTHROPIC = SchemaSubset(
    unsupported_keywords=_UNSUPPORTED_BY_ALL
    | {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "maxItems",
    },
    formats=_FORMATS | {"uri"},
    largest_min_items=1,
    refs_in_all_of=False,
)
# developers.openai.com, structured outputs, 2026-08. Other formats are a 400 ("'uri' is not a valid
# format"), as are keywords beside `$ref`; OpenAI's SDK inlines such references.
OPENAI_STRICT = SchemaSubset(
    unsupported_keywords=_UNSUPPORTED_BY_ALL | {"allOf"},
    formats=_FORMATS,
    keywords_beside_ref=False,
    all_required=True,
)


def without_meta_keywords(schema: Schema) -> Schema:
    """The schema without `$schema` and `$id`, which some providers refuse."""
    return {key: value for key, value in schema.items() if key not in _META_KEYWORDS}


def with_object_schemas(schema: Schema) -> Schema:
    """The schema with objects for `true`, `false` and the items that an array does not name.

    `{}` and `{"not": {}}` mean the same. OpenAI refuses arrays without items, strict or not:
    "array schema missing items". Ollama, llama.cpp and Fireworks refuse booleans; Google,
    Cohere and Anthropic's structured outputs document objects only.
    """
    completed: Schema = _add_object_schemas(schema, 0)
    return completed


def _add_object_schemas(value: Any, depth: int) -> Any:
    """A schema or a list of schemas; the value itself if nothing in it changes."""
    if depth > _MAX_DEPTH:
        return value
    if isinstance(value, bool):
        return {} if value else {"not": {}}
    if isinstance(value, list):
        items = [_add_object_schemas(item, depth + 1) for item in value]
        return items if any(map(is_not, items, value)) else value
    if not isinstance(value, dict) or value.get("type") in _SCALAR_TYPES:
        return value
    changes: Schema = {}
    for key in _MAP_KEYWORDS:
        if isinstance(schemas := value.get(key), dict):
            changed_schemas = {
                name: new
                for name, old in schemas.items()
                if (new := _add_object_schemas(old, depth + 1)) is not old
            }
            if changed_schemas:
                changes[key] = {**schemas, **changed_schemas}
    for key in (*_LIST_KEYWORDS, *_SCHEMA_KEYWORDS, "oneOf", "additionalProperties"):
        # `additionalProperties` may be a boolean everywhere.
        if key not in value or (key == "additionalProperties" and isinstance(value[key], bool)):
            continue
        if (new := _add_object_schemas(value[key], depth + 1)) is not value[key]:
            changes[key] = new
    kind = value.get("type")
    if "items" not in value and (kind == "array" or (isinstance(kind, list) and "array" in kind)):
        changes["items"] = {}
    return {**value, **changes} if changes else value


def has_untyped_part(schema: Schema) -> bool:
    """Whether a part of the schema accepts values of any type (`{}`, `true`)."""
    open_parts: list[Any] = [schema]
    while open_parts:
        part = open_parts.pop()
        if part is True or (isinstance(part, dict) and not _TYPE_KEYWORDS & part.keys()):
            return True
        if isinstance(part, dict):
            open_parts += _subschemas(part)
    return False


def count_parameters(schema: Schema) -> tuple[int, int]:
    """How many properties of all objects are optional, and how many accept several types."""
    optional = unions = 0
    open_parts: list[Any] = [schema]
    while open_parts:
        part = open_parts.pop()
        if not isinstance(part, dict):
            continue
        properties = part.get("properties")
        if isinstance(properties, dict):
            required = list_or_empty(part.get("required"))
            optional += sum(name not in required for name in properties)
            unions += sum(map(_is_union, properties.values()))
        open_parts += _subschemas(part)
    return optional, unions


def _is_union(schema: Any) -> bool:
    return isinstance(schema, dict) and ("anyOf" in schema or isinstance(schema.get("type"), list))


def _subschemas(part: Schema) -> Iterator[Any]:
    """The schemas directly inside a schema."""
    maps = (part[key] for key in _MAP_KEYWORDS if isinstance(part.get(key), dict))
    yield from chain.from_iterable(schemas.values() for schemas in maps)
    yield from chain.from_iterable(list_or_empty(part.get(key)) for key in _LIST_KEYWORDS)
    yield from (part[key] for key in _SCHEMA_KEYWORDS if key in part)


def with_description(schema: Schema, description: str | None) -> Schema:
    """The schema with a description, if it has none of its own."""
    return (
        schema
        if not description or "description" in schema
        else {"description": description, **schema}
    )


def restrict_to_anthropic(schema: Schema) -> tuple[Schema, list[str]]:
    """The schema in Anthropic's subset, and the keywords that were changed.

    Closing an object (`additionalProperties: false`) does not count as a change if the
    schema does not mention further properties.
    """
    return _restrict_to_subset(with_object_schemas(schema), ANTHROPIC)


def restrict_to_openai_strict(schema: Schema) -> tuple[Schema, list[str]]:
    """The schema in OpenAI's strict subset, and the keywords that were changed.

    For output formats only: optional properties become required and nullable, which tools
    do not expect of their arguments.
    """
    return _restrict_to_subset(schema, OPENAI_STRICT)


def _restrict_to_subset(schema: Schema, subset: SchemaSubset) -> tuple[Schema, list[str]]:
    changed_keywords: dict[str, None] = {}
    return _restrict_schema(schema, subset, changed_keywords, 0), list(changed_keywords)


def _restrict_schema(
    schema: Schema, subset: SchemaSubset, changed_keywords: dict[str, None], depth: int
) -> Schema:
    if depth > _MAX_DEPTH:
        changed_keywords["nesting"] = None
        return schema
    schema = unwrap_single_all_of(schema)
    dropped_keywords = {key: None for key in schema if _is_unsupported(schema, key, subset)}
    changed_keywords.update(dropped_keywords)
    out = {k: v for k, v in schema.items() if k not in _META_KEYWORDS and k not in dropped_keywords}
    describe_constraints(out, schema, list(dropped_keywords))
    if isinstance(out.get("oneOf"), list):
        changed_keywords["oneOf"] = None
        out["anyOf"] = [*list_or_empty(out.get("anyOf")), *out.pop("oneOf")]
    if not subset.keywords_beside_ref and "$ref" in out and len(out) > 1 and "anyOf" not in out:
        out["anyOf"] = [{"$ref": out.pop("$ref")}]
    for key in _MAP_KEYWORDS:
        if isinstance(out.get(key), dict):
            out[key] = {
                n: _restrict_value(s, subset, changed_keywords, depth) for n, s in out[key].items()
            }
    for key in (*_LIST_KEYWORDS, *_SCHEMA_KEYWORDS):
        if key in out:
            out[key] = _restrict_value(out[key], subset, changed_keywords, depth)
    if out.get("type") == "object" or isinstance(out.get("properties"), dict):
        _close_object(out, subset, changed_keywords)
    return out


def _restrict_value(
    value: Any, subset: SchemaSubset, changed_keywords: dict[str, None], depth: int
) -> Any:
    """A schema, or each of a list of them; `true` and `false` are schemas too."""
    if isinstance(value, list):
        return [_restrict_value(item, subset, changed_keywords, depth + 1) for item in value]
    return (
        _restrict_schema(value, subset, changed_keywords, depth + 1)
        if isinstance(value, dict)
        else value
    )


def unwrap_single_all_of(schema: Schema) -> Schema:
    """The schema with an `allOf` of one (as pydantic writes a reference) taken apart.

    A reference beside properties stays: what it refers to has properties of its own.
    """
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    inner = parts[0]
    if "$ref" in inner and "properties" in schema:
        return schema
    out = {**inner, **{key: value for key, value in schema.items() if key != "allOf"}}
    if isinstance(inner.get("properties"), dict) and isinstance(out["properties"], dict):
        out["properties"] = {**inner["properties"], **out["properties"]}
    if isinstance(inner.get("required"), list) and isinstance(out["required"], list):
        required = [name for name in inner["required"] if name not in out["required"]]
        out["required"] = [*required, *out["required"]]
    return out


def _is_unsupported(schema: Schema, key: str, subset: SchemaSubset) -> bool:
    value = schema[key]
    if key in subset.unsupported_keywords:
        return True
    if key == "format" and subset.formats is not None:
        return isinstance(value, str) and value not in subset.formats
    if key == "minItems" and subset.largest_min_items is not None:
        return not (type(value) is int and value <= subset.largest_min_items)
    if key == "allOf" and not subset.refs_in_all_of:
        return any("$ref" in inner for inner in _iter_objects(value))
    return False


def describe_constraints(out: Schema, schema: Schema, dropped_keywords: list[str]) -> None:
    """Add constraints that the subset does not support to the description."""
    if not dropped_keywords:
        return
    constraints = ", ".join(f"{key}: {_value_text(schema[key])}" for key in dropped_keywords)
    description = out.get("description")
    out["description"] = (
        f"{description}\n\n{constraints}"
        if isinstance(description, str) and description
        else constraints
    )


def _value_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _close_object(out: Schema, subset: SchemaSubset, changed_keywords: dict[str, None]) -> None:
    """Disallow further properties; require all properties if the subset demands it."""
    additional = out.get("additionalProperties")
    # An object schema without properties accepts any object; closed, only an empty one.
    if additional not in (None, False) or (additional is None and "properties" not in out):
        changed_keywords["additionalProperties"] = None
    if isinstance(additional, dict) and additional:
        describe_constraints(out, {"additionalProperties": additional}, ["additionalProperties"])
    out["additionalProperties"] = False
    if not subset.all_required:
        return
    properties = out.get("properties")
    properties = out["properties"] = dict(properties) if isinstance(properties, dict) else {}
    required = {name for name in list_or_empty(out.get("required")) if isinstance(name, str)}
    for name in properties:
        if name not in required:
            changed_keywords["required"] = None
            properties[name] = _make_nullable(properties[name])
    out["required"] = list(properties)


def _make_nullable(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if not isinstance(kind, str | list):
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = [kind] if isinstance(kind, str) else kind
    out = {**schema, "type": kinds if "null" in kinds else [*kinds, "null"]}
    if isinstance(out.get("enum"), list) and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    return out


# --- schemas that cannot be enforced ----------------------------------------------------


def is_enforceable(schema: Schema) -> bool:
    """Whether a provider can compile it: root an object, no recursion, no foreign `$ref`."""
    if schema.get("type") != "object" or any(key in schema for key in ("anyOf", "oneOf", "allOf")):
        return False
    edges: dict[str, set[str]] = {}
    objects = list(islice(_iter_objects(schema), _MAX_OBJECTS + 1))
    remaining_objects = _MAX_OBJECTS - len(objects)
    open_refs = _references_in(objects)
    while open_refs and remaining_objects >= 0:
        ref = open_refs.pop()
        target = resolve_ref(schema, ref)
        if target is None or len(edges) >= _MAX_REFS:
            return False
        objects = list(islice(_iter_objects(target), remaining_objects + 1))
        remaining_objects -= len(objects)
        edges[ref] = _references_in(objects)
        open_refs.update(new_ref for new_ref in edges[ref] if new_ref not in edges)
    if remaining_objects < 0:
        return False
    try:
        TopologicalSorter(edges).prepare()
    except CycleError:
        return False
    return True


def _references_in(objects: Iterable[Schema]) -> set[str]:
    return {ref for inner in objects if isinstance(ref := inner.get("$ref"), str)}


def resolve_ref(root: Schema, ref: str) -> Any:
    """The subschema that a reference within the schema names; None for any other reference."""
    if ref == "#":
        return root
    node: Any = root if ref.startswith("#/") else None
    for step in ref.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _iter_objects(value: Any) -> Iterator[Schema]:
    """Every object in a JSON value, itself included; of any depth."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack += item.values()
        elif isinstance(item, list):
            stack += item


def inline_references(schema: Schema) -> Schema:
    """The schema with each local `$ref` replaced by what it refers to.

    A recursive reference, and what would make the result too large, accepts every value.
    """
    inlined: Schema = _inline_value(schema, schema, (), [_MAX_INLINED_VALUES], 0)
    return inlined


def _inline_value(
    value: Any, root: Schema, open_refs: tuple[str, ...], budget: list[int], depth: int
) -> Any:
    """A part of the schema; `budget` is the number of values that may still be written."""
    budget[0] -= 1
    if budget[0] < 0 or depth > _MAX_DEPTH:
        return {} if isinstance(value, dict) else [] if isinstance(value, list) else value
    if isinstance(value, list):
        return [_inline_value(item, root, open_refs, budget, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    ref = value.get("$ref")
    if not isinstance(ref, str):
        return {
            key: _inline_value(item, root, open_refs, budget, depth + 1)
            for key, item in value.items()
        }
    siblings = {key: item for key, item in value.items() if key != "$ref"}
    target = None if ref in open_refs else resolve_ref(root, ref)
    if isinstance(target, dict):
        siblings, open_refs = {**target, **siblings}, (*open_refs, ref)
    return _inline_value(siblings, root, open_refs, budget, depth + 1)
