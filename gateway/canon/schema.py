"""JSON Schema in the subsets that providers enforce.

Each function gives a new schema and never changes its argument; the same schema
gives the same result in every turn. What a subset has no keyword for is said in
the description, where the model at least reads it: `minimum: 0, maximum: 150`.
"""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

import msgspec

Schema = dict[str, Any]

# Deeper schemas are left as they are from here on; no provider compiles them anyway.
_DEEPEST = 100
# As many references are more than any provider compiles.
_MOST_REFS = 1000
_META = ("$schema", "$id")
# Where schemas sit inside a schema: in a map, in a list, alone.
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "prefixItems")
_SINGLE = ("items",)


class Subset(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's structured output refuses.

    Attributes:
        unknown: keywords it has no place for.
        formats: the string formats it knows; None means all.
        least_items: the largest `minItems` it takes; None means any.
        refs_in_all_of: whether an `allOf` may hold references.
        all_required: whether every property must be required.
    """

    unknown: frozenset[str]
    formats: frozenset[str] | None = None
    least_items: int | None = None
    refs_in_all_of: bool = True
    all_required: bool = False


_NOWHERE = frozenset(
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
# platform.claude.com, structured outputs, 2026-08; the formats as the SDK lists them.
ANTHROPIC = Subset(
    unknown=_NOWHERE
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
    formats=frozenset(
        {
            "date-time",
            "time",
            "date",
            "duration",
            "email",
            "hostname",
            "uri",
            "ipv4",
            "ipv6",
            "uuid",
        }
    ),
    least_items=1,
    refs_in_all_of=False,
)
# developers.openai.com, structured outputs, 2026-08.
OPENAI_STRICT = Subset(unknown=_NOWHERE | {"allOf"}, all_required=True)


def without_meta(schema: Schema) -> Schema:
    """The schema without `$schema` and `$id`, which some providers refuse."""
    return {key: value for key, value in schema.items() if key not in _META}


def for_anthropic(schema: Schema) -> tuple[Schema, list[str]]:
    """The schema in Anthropic's subset, and the keywords that had to be changed.

    Closed objects (`additionalProperties: false`) are not counted as a change where
    the schema said nothing of further properties.
    """
    return _in_subset(schema, ANTHROPIC)


def for_openai_strict(schema: Schema) -> tuple[Schema, list[str]]:
    """The schema in OpenAI's strict subset, and the keywords that had to be changed.

    For output formats only: what was optional becomes required and may be null, which
    is not what a tool expects of its arguments.
    """
    return _in_subset(schema, OPENAI_STRICT)


def _in_subset(schema: Schema, subset: Subset) -> tuple[Schema, list[str]]:
    changed: dict[str, None] = {}
    return _fitted(schema, subset, changed, 0), list(changed)


def _fitted(schema: Schema, subset: Subset, changed: dict[str, None], depth: int) -> Schema:
    if depth > _DEEPEST:
        changed["nesting"] = None
        return schema
    schema = _unwrapped(schema)
    lost = [key for key in schema if _is_unknown(schema, key, subset)]
    changed.update(dict.fromkeys(lost))
    out = {k: v for k, v in schema.items() if k not in _META and k not in lost}
    _describe(out, schema, lost)
    if isinstance(out.get("oneOf"), list):
        changed["oneOf"] = None
        out["anyOf"] = [*_list(out.get("anyOf")), *out.pop("oneOf")]
    for key in _MAPS:
        if isinstance(out.get(key), dict):
            out[key] = {n: _inner(s, subset, changed, depth) for n, s in out[key].items()}
    for key in (*_LISTS, *_SINGLE):
        if key in out:
            out[key] = _inner(out[key], subset, changed, depth)
    if out.get("type") == "object" or isinstance(out.get("properties"), dict):
        _close(out, subset, changed)
    return out


def _inner(value: Any, subset: Subset, changed: dict[str, None], depth: int) -> Any:
    """A schema, or each of a list of them; `true` and `false` are schemas too."""
    if isinstance(value, list):
        return [_inner(item, subset, changed, depth + 1) for item in value]
    return _fitted(value, subset, changed, depth + 1) if isinstance(value, dict) else value


def _unwrapped(schema: Schema) -> Schema:
    """The schema with an `allOf` of one (as pydantic writes a reference) taken apart."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        return schema
    return {**parts[0], **{key: value for key, value in schema.items() if key != "allOf"}}


def _is_unknown(schema: Schema, key: str, subset: Subset) -> bool:
    value = schema[key]
    if key in subset.unknown:
        return True
    if key == "format" and subset.formats is not None:
        return isinstance(value, str) and value not in subset.formats
    if key == "minItems" and subset.least_items is not None:
        return not (type(value) is int and value <= subset.least_items)
    if key == "allOf" and not subset.refs_in_all_of:
        return any("$ref" in inner for inner in _within(value))
    return False


def _describe(out: Schema, schema: Schema, lost: list[str]) -> None:
    """Say in the description what the subset has no keyword for."""
    if not lost:
        return
    said = ", ".join(f"{key}: {_shown(schema[key])}" for key in lost)
    told = out.get("description")
    out["description"] = f"{told}\n\n{said}" if isinstance(told, str) and told else said


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _close(out: Schema, subset: Subset, changed: dict[str, None]) -> None:
    """Allow no further properties; where the subset says so, require all there are."""
    said = out.get("additionalProperties")
    # An object of which nothing is said is any object; closed, it is an empty one.
    if said not in (None, False) or (said is None and "properties" not in out):
        changed["additionalProperties"] = None
    if isinstance(said, dict) and said:
        _describe(out, {"additionalProperties": said}, ["additionalProperties"])
    out["additionalProperties"] = False
    if not subset.all_required:
        return
    properties = out.get("properties")
    properties = out["properties"] = dict(properties) if isinstance(properties, dict) else {}
    required = _list(out.get("required"))
    for name in properties:
        if name not in required:
            changed["required"] = None
            properties[name] = _nullable(properties[name])
    out["required"] = list(properties)


def _nullable(schema: Any) -> Any:
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


# --- what can not be enforced at all ---------------------------------------------------


def can_be_enforced(schema: Schema) -> bool:
    """Whether a provider can compile it: root an object, no recursion, no foreign `$ref`."""
    if schema.get("type") != "object" or any(key in schema for key in ("anyOf", "oneOf", "allOf")):
        return False
    edges: dict[str, set[str]] = {}
    open_refs = _refs(schema)
    while open_refs:
        ref = open_refs.pop()
        target = _target(schema, ref)
        if target is None or len(edges) >= _MOST_REFS:
            return False
        edges[ref] = _refs(target)
        open_refs |= edges[ref] - edges.keys()
    try:
        TopologicalSorter(edges).prepare()
    except CycleError:
        return False
    return True


def _refs(value: Any) -> set[str]:
    return {ref for inner in _within(value) if isinstance(ref := inner.get("$ref"), str)}


def _target(root: Schema, ref: str) -> Any:
    """What a reference within the schema means; None for any other."""
    if ref == "#":
        return root
    place: Any = root if ref.startswith("#/") else None
    for step in ref.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        place = place.get(name) if isinstance(place, dict) else None
    return place


def _within(value: Any) -> Iterator[Schema]:
    """Every object in a JSON value, itself included; of any depth."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack += item.values()
        elif isinstance(item, list):
            stack += item
