"""Generates a value that satisfies a JSON schema, deterministic for a seed.

Covers what clients send for tools and structured output: types, enum, const,
bounds, formats, `$ref`, anyOf, oneOf, allOf, nesting and recursion. A `pattern` is
satisfied if one of a few short samples matches it; for an unsatisfiable schema the value has
the right type only.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from gateway.canon.untrusted_patterns import InvalidPattern, compile_untrusted

# Optional properties are filled down to this depth, to end recursion.
_FILLED_DEPTH = 4
_MAX_DEPTH = 40
# A recursive schema can describe a value of any size.
_MAX_VALUES = 5_000
# Clients write the patterns: only so many are tried in a schema, each for this long.
_MAX_PATTERNS = 20
_PATTERN_S = 0.01
_TEXT_SAMPLES = (
    "demo",
    "Demo",
    "DEMO",
    "a",
    "A",
    "a1",
    "A1",
    "ab-12",
    "AB-12",
    "2026-01-31",
    "12:30",
)
_DIGIT_SAMPLES = tuple("1234567890"[:size] for size in range(1, 11))

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT5M",
    "email": "demo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/demo",
    "url": "https://example.com/demo",
    "uuid": "00000000-0000-4000-8000-000000000001",
}

Hint = Callable[[str], str | None]


def example_value(
    schema: object,
    seed: int = 0,
    *,
    optional: bool = True,
    hint: Hint | None = None,
) -> Any:
    """Return an example value that is valid under the JSON schema.

    `optional` also generates properties that are not required; `hint` may return the text of
    a string property.
    """
    root = schema if isinstance(schema, Mapping) else {}
    return _ExampleBuilder(root, optional=optional, hint=hint or _no_hint).value(
        schema, "", seed, 0
    )


def _no_hint(name: str) -> str | None:
    return None


class _ExampleBuilder:
    """Builds values; has the root schema, to resolve `$ref`."""

    def __init__(self, root: Mapping[str, Any], *, optional: bool, hint: Hint) -> None:
        self._root = root
        self._optional = optional
        self._hint = hint
        self._remaining_values = _MAX_VALUES
        self._remaining_patterns = _MAX_PATTERNS

    def value(self, schema: Any, name: str, seed: int, depth: int) -> Any:
        """Return a value for one (sub)schema; `name` is its property."""
        self._remaining_values -= 1
        if depth > _MAX_DEPTH or self._remaining_values < 0:
            return None
        if not isinstance(schema, Mapping):
            return self._string_example({}, name, seed)
        schema = self._resolve_schema(schema, depth)
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return choices[_pick_index(name, seed, len(choices))]
        return self._typed_example(schema, name, seed, depth)

    def _typed_example(self, schema: Mapping[str, Any], name: str, seed: int, depth: int) -> Any:
        match _schema_type(schema):
            case "object":
                return self._object_example(schema, seed, depth)
            case "array":
                return self._array_example(schema, name, seed, depth)
            case "integer":
                return int(_sample_number(schema, name, seed, is_integer=True))
            case "number":
                return _sample_number(schema, name, seed, is_integer=False)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string_example(schema, name, seed)

    def _resolve_schema(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Return the schema with `$ref`, allOf, anyOf and oneOf resolved into one object."""
        for _ in range(_MAX_DEPTH):
            if isinstance(schema.get("$ref"), str):
                sibling_keys = {key: item for key, item in schema.items() if key != "$ref"}
                schema = {**self._dereference(schema["$ref"]), **sibling_keys}
                continue
            branches = schema.get("anyOf") or schema.get("oneOf")
            if isinstance(branches, list) and branches:
                sibling_keys = {k: v for k, v in schema.items() if k not in {"anyOf", "oneOf"}}
                schema = _merge_schemas(sibling_keys, self._select_branch(branches, depth))
                continue
            if isinstance(schema.get("allOf"), list):
                parts = [part for part in schema["allOf"] if isinstance(part, Mapping)]
                schema = {key: item for key, item in schema.items() if key != "allOf"}
                for part in parts:
                    schema = _merge_schemas(schema, self._resolve_schema(part, depth))
                continue
            break
        return schema

    def _select_branch(self, branches: list[Any], depth: int) -> Mapping[str, Any]:
        """Return the first branch that is not null; at depth, the null branch, to end recursion."""
        schemas = [branch for branch in branches if isinstance(branch, Mapping)]
        null_branches = [branch for branch in schemas if branch.get("type") == "null"]
        non_null = [branch for branch in schemas if branch.get("type") != "null"]
        if depth >= _FILLED_DEPTH and null_branches:
            return null_branches[0]
        return (non_null or schemas or [{}])[0]

    def _dereference(self, reference: str) -> Mapping[str, Any]:
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step and isinstance(node, Mapping):
                node = node.get(step.replace("~1", "/").replace("~0", "~"))
        return node if isinstance(node, Mapping) else {}

    def _object_example(self, schema: Mapping[str, Any], seed: int, depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [n for n in schema.get("required") or () if isinstance(n, str)]
        names = list(required)
        if self._optional and depth < _FILLED_DEPTH:
            names = list(dict.fromkeys([*properties, *required]))
        instance_fields = {n: self.value(properties.get(n, {}), n, seed, depth + 1) for n in names}
        extra = schema.get("additionalProperties")
        for index in range(_int_keyword(schema, "minProperties", 0) - len(instance_fields)):
            key = f"item_{index + 1}"
            instance_fields[key] = self.value(extra, key, seed + index, depth + 1)
        return instance_fields

    def _array_example(
        self, schema: Mapping[str, Any], name: str, seed: int, depth: int
    ) -> list[Any]:
        min_items = _int_keyword(schema, "minItems", 0)
        item_count = max(min_items, 2 if depth < _FILLED_DEPTH else 0)
        item_count = min(item_count, _int_keyword(schema, "maxItems", item_count), 100)
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        items = schema.get("items", {})
        items_built: list[Any] = []
        for index in range(max(item_count, len(first))):
            item = first[index] if index < len(first) else items
            value = self.value(item, name, seed + index, depth + 1)
            if (
                schema.get("uniqueItems") is True
                and value in items_built
                and len(items_built) >= min_items
            ):
                continue
            items_built.append(value)
        return items_built

    def _string_example(self, schema: Mapping[str, Any], name: str, seed: int) -> str:
        text = self._hint(name) or _FORMATS.get(str(schema.get("format", "")))
        if isinstance(schema.get("pattern"), str) and self._remaining_patterns > 0:
            self._remaining_patterns -= 1
            text = _matching_sample(schema["pattern"]) or text
        if text is None:
            label = name.replace("_", " ").strip() or "demo"
            text = f"{label} {_pick_index(name, seed, 9) + 1}"
        min_length = _int_keyword(schema, "minLength", 0)
        max_length = _int_keyword(schema, "maxLength", 10_000)
        return text.ljust(min(min_length, 10_000), "x")[: max(max_length, 0)]


def _merge_schemas(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two schemas, including their properties and required lists."""
    merged_schema = {**base, **overlay}
    if isinstance(base.get("properties"), Mapping) and isinstance(
        overlay.get("properties"), Mapping
    ):
        merged_schema["properties"] = {**base["properties"], **overlay["properties"]}
    if isinstance(base.get("required"), list) and isinstance(overlay.get("required"), list):
        merged_schema["required"] = [*base["required"], *overlay["required"]]
    return merged_schema


def _schema_type(schema: Mapping[str, Any]) -> str:
    declared_type = schema.get("type")
    if isinstance(declared_type, list):
        declared_type = next((item for item in declared_type if item != "null"), "null")
    if isinstance(declared_type, str):
        return declared_type
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def _sample_number(schema: Mapping[str, Any], name: str, seed: int, *, is_integer: bool) -> float:
    step = _float_keyword(schema, "multipleOf") or (1.0 if is_integer else 0.5)
    low, high = _float_keyword(schema, "minimum"), _float_keyword(schema, "maximum")
    above = _float_keyword(schema, "exclusiveMinimum")
    below = _float_keyword(schema, "exclusiveMaximum")
    low = above + step if above is not None else low
    high = below - step if below is not None else high
    value = (_pick_index(name, seed, 9) + 1) * step
    if low is not None and value < low:
        value = -(-low // step) * step
    if high is not None and value > high:
        value = high // step * step
    # If the range is narrower than a step, use a bound or the middle.
    if low is not None and value < low:
        value = low if high is None else (low + high) / 2
    return value


def _float_keyword(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


def _int_keyword(schema: Mapping[str, Any], key: str, default: int) -> int:
    value = schema.get(key)
    return min(value, 10_000) if isinstance(value, int) else default


def _matching_sample(pattern: str) -> str | None:
    """Return one of a few short samples that the pattern matches."""
    if len(pattern) > 200:
        return None
    try:
        compiled_pattern = compile_untrusted(pattern)
        for sample in (*_TEXT_SAMPLES, *_DIGIT_SAMPLES):
            if compiled_pattern.search(sample, timeout=_PATTERN_S):
                return sample
    except (InvalidPattern, TimeoutError):
        return None
    return None


def _pick_index(name: str, seed: int, size: int) -> int:
    return zlib.crc32(f"{name}:{seed}".encode()) % size
