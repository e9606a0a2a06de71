"""A Postman collection of every endpoint, from the OpenAPI document.

The format is https://schema.postman.com/collection/json/v2.1.0/draft-07/docs/index.html. Folders
are the document's tags. The collection's variables are `base_url`, `api_key` (of model clients)
and `admin_key` (of the management API).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ninja import Schema

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# Depth at which a sample of nested schemas ends.
_MAX_DEPTH = 4
_PARAMETER = re.compile(r"{(\w+)}")


class PostmanCollection(Schema):
    """A Postman collection; `item` has a folder for each tag, `variable` the values to fill in."""

    info: dict[str, str]
    variable: list[dict[str, str]]
    item: list[dict[str, Any]]


def build_collection(document: dict[str, Any], base_url: str) -> dict[str, Any]:
    """The collection of an OpenAPI document, with `base_url` as the value of its variable."""
    folders: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            folders.setdefault(tag, []).append(_request_item(document, path, method, operation))
    values = {"base_url": base_url, "api_key": "", "admin_key": ""}
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "schema": SCHEMA,
        },
        "variable": [{"key": name, "value": value} for name, value in values.items()],
        "item": [
            {
                "name": tag,
                "item": items,
                "auth": _bearer_auth("api_key" if tag == "gateway" else "admin_key"),
            }
            for tag, items in folders.items()
        ],
    }


def _bearer_auth(variable: str) -> dict[str, Any]:
    token = {"key": "token", "value": f"{{{{{variable}}}}}", "type": "string"}
    return {"type": "bearer", "bearer": [token]}


def _request_item(
    document: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> dict[str, Any]:
    """One request."""
    parameters = operation.get("parameters", [])
    segments = [_PARAMETER.sub(r":\1", segment) for segment in path.strip("/").split("/")]
    # Optional parameters are included, but disabled.
    query = [
        {
            "key": parameter["name"],
            "value": "",
            "description": parameter.get("description", ""),
            "disabled": not parameter.get("required", False),
        }
        for parameter in parameters
        if parameter["in"] == "query"
    ]
    request: dict[str, Any] = {
        "method": method.upper(),
        "description": operation.get("description") or operation.get("summary", ""),
        "header": [
            {"key": parameter["name"], "value": "", "disabled": True}
            for parameter in parameters
            if parameter["in"] == "header"
        ],
        "url": {
            "raw": "/".join(["{{base_url}}", *segments]),
            "host": ["{{base_url}}"],
            "path": segments,
            "query": query,
            "variable": [
                {"key": parameter["name"], "value": _path_value(parameter)}
                for parameter in parameters
                if parameter["in"] == "path"
            ],
        },
    }
    if not operation.get("security", True):
        request["auth"] = {"type": "noauth"}
    if body := _sample_body(document, operation.get("requestBody", {}).get("content", {})):
        request["body"] = body
    return {"name": operation.get("summary") or operation["operationId"], "request": request}


def _path_value(parameter: dict[str, Any]) -> str:
    """A placeholder, as an empty value would be the path of another endpoint."""
    schema = parameter.get("schema", {})
    return "1" if schema.get("type") == "integer" else str(parameter["name"])


def _sample_body(document: dict[str, Any], content: dict[str, Any]) -> dict[str, Any] | None:
    """The body of a request: sample JSON, or an empty form."""
    if "application/json" in content:
        sample = sample_of(document, content["application/json"].get("schema", {}), 0)
        return {
            "mode": "raw",
            "raw": json.dumps(sample, indent=2),
            "options": {"raw": {"language": "json"}},
        }
    return {"mode": "formdata", "formdata": []} if "multipart/form-data" in content else None


def sample_of(document: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Any:
    """A value of a JSON schema: its example or default, else its required fields."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return sample_of(document, document["components"]["schemas"][name], depth)
    for keyword in ("example", "default", "const"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return sample_of(document, schema[several][0], depth)
    kind = schema.get("type")
    if kind == "object":
        required = schema.get("required", ()) if depth < _MAX_DEPTH else ()
        fields = schema.get("properties", {})
        return {name: sample_of(document, fields.get(name, {}), depth + 1) for name in required}
    return {"array": [], "boolean": False, "integer": 0, "number": 0, "string": ""}.get(str(kind))
