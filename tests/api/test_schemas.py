"""Every operation in the document has a described request and response schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.api.app import api as ninja

# docs/litellm.md describes the schemas of the LiteLLM endpoints.
_LITELLM_PATHS = ("/model/", "/v1/model/", "/model_group/", "/key/", "/spend/", "/utils/")
_LITELLM_PATHS += ("/team/", "/user/", "/customer/")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in ninja.get_openapi_schema()["paths"].items():
        if not path.startswith(_LITELLM_PATHS):
            for method, operation in item.items():
                # Model requests have their vendors' formats; tests/api/test_openapi.py lists them.
                if operation.get("tags") != ["gateway"]:
                    yield method, path, operation


def _empty(schema: Any) -> bool:
    """Return whether a schema has neither structure nor a description."""
    if not schema:
        return True
    if schema.get("type") == "array":
        return _empty(schema.get("items"))
    if schema.get("type") == "object":
        return not (schema.get("properties") or schema.get("description"))
    return not ({"$ref", "allOf", "anyOf", "type"} & schema.keys())


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_each_response_has_a_schema() -> None:
    for method, path, operation in operations():
        good = {k: v for k, v in operation["responses"].items() if str(k).startswith("2")}
        assert good, (method, path)
        for status, value in good.items():
            if str(status) == "204":
                continue
            contents = value["content"]
            assert contents, (method, path)
            assert not any(_empty(media_type["schema"]) for media_type in contents.values()), (
                method,
                path,
            )


def test_each_accepted_body_has_a_schema() -> None:
    bodiless = {
        "activate_", "adopt_", "revoke_", "restore_key", "end_key_grace", "rotate_key", "rotate_personal_key", "stop_", "list_upstream",
        "test_alert_channel"
    }  # fmt: skip
    for method, path, operation in operations():
        body = operation.get("requestBody")
        if method in {"put", "patch"}:
            assert body, (method, path)
        if method == "post" and not operation["operationId"].startswith(tuple(bodiless)):
            assert body, (method, path)
        for media_type in (body or {"content": {}})["content"].values():
            assert not _empty(media_type["schema"]), (method, path)


def test_each_operation_documents_its_purpose_and_errors() -> None:
    for method, path, operation in operations():
        assert operation["summary"], (method, path)
        if path.startswith("/api/") and "401" in operation["responses"]:
            assert operation["description"], (method, path)
            for status in ("401", "403", "422"):
                application_json = operation["responses"][status]["content"]["application/json"]
                assert application_json["schema"] == {"$ref": "#/components/schemas/Problem"}, (
                    method,
                    path,
                )


def test_each_list_has_pages() -> None:
    for method, path, operation in operations():
        if method == "get" and operation["operationId"].startswith("list_"):
            names = {parameter["name"] for parameter in operation["parameters"]}
            assert operation["operationId"] == "list_settings" or names >= {"cursor", "limit"}, path


def test_each_named_component_exists_and_has_a_description() -> None:
    document = ninja.get_openapi_schema()
    schemas = document["components"]["schemas"]
    named = {ref.removeprefix("#/components/schemas/") for ref in _references(document)}
    assert named <= schemas.keys(), named - schemas.keys()
    for name, schema in schemas.items():
        assert "properties" in schema or "allOf" in schema or "anyOf" in schema, name
