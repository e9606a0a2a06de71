"""The operations of the OpenAPI document as the reference shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.api.app import api
from gateway.api.postman import sample_of

# Depth and number of fields up to which a schema is listed.
MAX_DEPTH = 5
MAX_FIELDS = 300
MAX_EXAMPLE_DEPTH = 4
# Format or type of a value -> what stands for it in an example.
_SAMPLES: dict[str, Any] = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "string": "text",
    "boolean": True,
    "integer": 1,
    "number": 0.5,
}
# Fields in the example of a body that requires none.
_SAMPLE_FIELDS = 4
# Security scheme of the document -> who may call; by the names of `gateway.api.auth`.
CALLERS: dict[str, Promise] = {
    "GatewayKey": _("Gateway key"),
    "Holder": _("Gateway key or admin key"),
    "ScorerOrKey": _(
        "Gateway key of the request, admin key, or a session of an editor or key owner"
    ),
    "Admin": _("Admin key, or a session of an admin"),
    "Editor": _("Admin key, or a session of an editor"),
    "Reader": _("Admin key, or a session of a viewer"),
    "BodyReader": _("Admin key, or a session of a user who may read bodies"),
    "Scorer": _("Admin key, or a session of an editor or key owner"),
    "KeyOwner": _("Session of a member"),
}
_GATEWAY_SCHEMES = frozenset({"GatewayKey", "ScorerOrKey"})
_LOCATIONS: dict[str, Promise] = {
    "path": _("Path parameters"),
    "query": _("Query parameters"),
    "header": _("Headers"),
}
_LIMITS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "min. length {}",
    "maxLength": "max. length {}",
    "pattern": "pattern {}",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of a body by its path, such as `messages[].content`.

    Attributes:
        type: of JSON, such as `string`, `array of object` or `number or null`.
        values: the values that are allowed; empty if any is.
        default: as JSON; empty without a default.
        limits: bounds of the value or its length, such as `≥ 0`.
    """

    path: str
    type: str
    required: bool
    description: str
    values: tuple[str, ...] = ()
    default: str = ""
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldTable:
    """Fields under a title; `format` and `description` are those of a body."""

    title: Promise | str
    fields: tuple[Field, ...]
    format: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """A response: its status, or `default` for all others, its headers and a JSON body's fields.

    `example` is JSON, or empty.
    """

    status: str
    description: str
    formats: tuple[str, ...]
    fields: tuple[Field, ...]
    headers: tuple[Field, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path; `reference` is the URL of the vendor's documentation, or empty."""

    id: str
    method: str
    path: str
    tag: str
    title: str
    description: str
    callers: tuple[Promise | str, ...]
    requests: tuple[FieldTable, ...]
    responses: tuple[Response, ...]
    curl: str
    reference: str

    @property
    def search_text(self) -> str:
        """The searchable text, in lower case."""
        return f"{self.method} {self.path} {self.tag} {self.title} {self.description}".lower()


@lru_cache(maxsize=1)
def operations() -> Mapping[str, Operation]:
    """All operations by id, in the order of the document, those of model clients first."""
    # To look up the prefix imports the URLs of the API, which add the console's routers.
    document = api.get_openapi_schema(path_prefix=reverse("api:api-root"))
    all_operations = [
        _read_operation(document, method, path, entry)
        for path, entries in document["paths"].items()
        for method, entry in entries.items()
    ]
    all_operations.sort(key=lambda each: each.tag != "gateway")
    return {each.id: each for each in all_operations}


def groups(query: str = "") -> list[tuple[str, list[Operation]]]:
    """Operations with every word of `query`, by tag."""
    words = query.lower().split()
    by_tag: dict[str, list[Operation]] = {}
    for operation in operations().values():
        if all(word in operation.search_text for word in words):
            by_tag.setdefault(operation.tag, []).append(operation)
    return list(by_tag.items())


def _read_operation(document: Any, method: str, path: str, entry: Any) -> Operation:
    schemes = [name for scheme in entry.get("security") or () for name in scheme]
    # `x-api-key` is another header for the same key.
    callers = tuple(CALLERS.get(name, name) for name in schemes if name != "XApiKey")
    return Operation(
        id=entry["operationId"],
        method=method.upper(),
        path=path,
        tag=(entry.get("tags") or ["other"])[0],
        title=entry.get("summary") or entry["operationId"],
        description=entry.get("description", ""),
        callers=callers,
        requests=tuple(_request_tables(document, entry)),
        responses=tuple(_read_responses(document, entry)),
        curl=_curl_command(document, method, path, entry, schemes),
        reference=entry.get("externalDocs", {}).get("url", ""),
    )


def _request_tables(document: Any, entry: Any) -> Iterator[FieldTable]:
    yield from _parameter_tables(document, entry, "path", "query")
    for format_, content in entry.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        text = _resolve_schema(document, schema)[0].get("description", "")
        yield FieldTable(_("Body"), _schema_fields(document, schema), format_, text)
    yield from _parameter_tables(document, entry, "header")


def _parameter_tables(document: Any, entry: Any, *locations: str) -> Iterator[FieldTable]:
    for location in locations:
        fields = tuple(
            _schema_field(
                document,
                each["name"],
                each["schema"],
                required=each.get("required", False),
                description=each.get("description", ""),
            )
            for each in entry.get("parameters", ())
            if each["in"] == location
        )
        if fields:
            yield FieldTable(_LOCATIONS[location], fields)


def _read_responses(document: Any, entry: Any) -> Iterator[Response]:
    for status, response in entry.get("responses", {}).items():
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        is_success = str(status).startswith("2")
        fields = _schema_fields(document, schema) if is_success else ()
        headers = tuple(
            _schema_field(
                document, name, each["schema"], required=False, description=each["description"]
            )
            for name, each in response.get("headers", {}).items()
        )
        text = response.get("description", "")
        example = ""
        if fields or "example" in schema:
            sample = _response_sample(document, schema, 0)
            example = json.dumps(sample, indent=2, ensure_ascii=False)
        yield Response(str(status), text, tuple(content), fields, headers, example)


def _response_sample(document: Any, schema: Any, depth: int) -> Any:
    """A value with all fields of a schema; objects are empty below MAX_EXAMPLE_DEPTH."""
    if "example" in schema:
        return schema["example"]
    schema, _null = _resolve_schema(document, schema)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type"))
    if kind == "array":
        items = schema.get("items", {})
        return [_response_sample(document, items, depth + 1)] if depth < MAX_EXAMPLE_DEPTH else []
    if kind == "object" or "properties" in schema:
        fields = schema.get("properties", {}) if depth < MAX_EXAMPLE_DEPTH else {}
        return {
            name: _response_sample(document, value, depth + 1) for name, value in fields.items()
        }
    return _SAMPLES.get(schema.get("format", ""), _SAMPLES.get(kind))


def _schema_fields(document: Any, schema: Any) -> tuple[Field, ...]:
    fields: list[Field] = []
    for field in _walk_fields(document, schema, "", 0):
        fields.append(field)
        if len(fields) == MAX_FIELDS:
            break
    return tuple(fields)


def _walk_fields(document: Any, schema: Any, prefix: str, depth: int) -> Iterator[Field]:
    """The fields of an object, or of an array's objects, and those within them."""
    schema, _null = _resolve_schema(document, schema)
    if schema.get("type") == "array":
        yield from _walk_fields(document, schema.get("items", {}), f"{prefix}[]", depth)
        return
    for name, value in schema.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        yield _schema_field(document, path, value, required=name in schema.get("required", ()))
        if depth < MAX_DEPTH:
            yield from _walk_fields(document, value, path, depth + 1)


def _schema_field(
    document: Any, path: str, schema: Any, *, required: bool, description: str = ""
) -> Field:
    resolved_schema, _null = _resolve_schema(document, schema)
    default = schema.get("default", resolved_schema.get("default"))
    return Field(
        path=path,
        type=_type_label(document, schema),
        required=required,
        description=description
        or schema.get("description")
        or resolved_schema.get("description")
        or "",
        values=tuple(map(str, resolved_schema.get("enum", ()))),
        default="" if default is None else json.dumps(default, ensure_ascii=False),
        limits=tuple(
            text.format(resolved_schema[name])
            for name, text in _LIMITS.items()
            if name in resolved_schema
        ),
    )


def _resolve_schema(document: Any, schema: Any) -> tuple[dict[str, Any], bool]:
    """A schema without references, and whether it may be null; of several the first."""
    null = False
    for _attempt in range(8):
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = document["components"]["schemas"].get(name, {})
        elif several := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            null = null or any(each.get("type") == "null" for each in several)
            schema = next((each for each in several if each.get("type") != "null"), {})
        else:
            break
    return schema, null


def _type_label(document: Any, schema: Any) -> str:
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_type_label(document, each) for each in several))
    resolved_schema, _null = _resolve_schema(document, schema)
    if "const" in resolved_schema:
        return json.dumps(resolved_schema["const"])
    kind = str(
        resolved_schema.get("type") or ("object" if "properties" in resolved_schema else "any")
    )
    return (
        f"array of {_type_label(document, resolved_schema.get('items', {}))}"
        if kind == "array"
        else kind
    )


def _curl_command(document: Any, method: str, path: str, entry: Any, schemes: list[str]) -> str:
    """A command for a POSIX shell; parameters of the path are variables."""
    url = re.sub(r"\{(\w+)\}", lambda match: "$" + match[1].upper(), path)
    lines = [f'curl {"" if method == "get" else f"-X {method.upper()} "}"$DRAGOMAN_BASE_URL{url}"']
    if schemes:
        key = "$DRAGOMAN_API_KEY" if _GATEWAY_SCHEMES & set(schemes) else "$ADMIN_KEY"
        lines.append(f'  -H "Authorization: Bearer {key}"')
    content = entry.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        sample = _body_sample(document, content["application/json"].get("schema", {}))
        text = json.dumps(sample, ensure_ascii=False).replace("'", "'\\''")
        lines += ['  -H "Content-Type: application/json"', f"  -d '{text}'"]
    elif "multipart/form-data" in content:
        lines.append("  -F file=@FILE")
    return " \\\n".join(lines)


def _body_sample(document: Any, schema: Any) -> Any:
    """The required fields of a body with sample values; its first fields if none is required."""
    sample = sample_of(document, schema)
    if sample != {}:
        return sample
    fields = _resolve_schema(document, schema)[0].get("properties", {})
    return {
        name: sample_of(document, value) for name, value in list(fields.items())[:_SAMPLE_FIELDS]
    }
