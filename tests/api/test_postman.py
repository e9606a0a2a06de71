"""The Postman collection has every operation, with samples that match the schemas."""

from __future__ import annotations

import json
import re
from typing import Any

from django.test import Client

from gateway.api.postman import SCHEMA, build_collection
from tests.api.test_openapi import document


def collection() -> Any:
    response = Client().get("/api/postman.json", headers={"host": "localhost:4000"})
    assert response.status_code == 200
    return response.json()


def requests_of(collection_or_item: Any) -> dict[tuple[str, str], Any]:
    """Return the requests by method and path in the document."""
    items_by_operation = {}
    for folder in collection_or_item["item"]:
        for item in folder["item"]:
            request = item["request"]
            segments = [re.sub(r":(\w+)", r"{\1}", part) for part in request["url"]["path"]]
            items_by_operation[request["method"].lower(), "/" + "/".join(segments)] = request
    return items_by_operation


def test_every_operation_is_in_the_collection() -> None:
    postman_collection, described = collection(), document()
    assert postman_collection["info"]["schema"] == SCHEMA
    variables = {variable["key"]: variable["value"] for variable in postman_collection["variable"]}
    assert variables == {"base_url": "http://localhost:4000", "api_key": "", "admin_key": ""}
    operations = {
        (method, "/" + path.strip("/"))
        for path, item in described["paths"].items()
        for method in item
    }
    # A colon within a segment, as in `{id}:generateContent`, is a part of the path.
    assert len(requests_of(postman_collection)) == len(operations)
    assert ("post", "/v1/chat/completions") in requests_of(postman_collection)
    assert ("get", "/api/requests/{request_id}") in requests_of(postman_collection)


def test_model_clients_have_a_key_of_their_own() -> None:
    postman_collection = collection()
    tokens = {
        folder["name"]: folder["auth"]["bearer"][0]["value"]
        for folder in postman_collection["item"]
    }
    assert tokens.pop("gateway") == "{{api_key}}"
    assert set(tokens.values()) == {"{{admin_key}}"}


def test_a_path_s_parameters_are_variables() -> None:
    request = requests_of(collection())["get", "/api/requests/{request_id}"]
    assert request["url"]["raw"] == "{{base_url}}/api/requests/:request_id"
    assert request["url"]["variable"] == [{"key": "request_id", "value": "request_id"}]


def test_no_parameter_of_a_path_is_empty() -> None:
    """Without its value, `/api/routes/{name}/versions/{number}/restore` is another endpoint."""
    for request in requests_of(collection()).values():
        assert all(variable["value"] for variable in request["url"]["variable"])


def test_samples_have_the_required_fields() -> None:
    requests = requests_of(collection())
    chat = json.loads(requests["post", "/v1/chat/completions"]["body"]["raw"])
    assert chat == {"messages": [{"role": "user", "content": "Hello"}], "model": "demo"}
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            if not schema.get("required"):
                continue
            segments = [re.sub(r"{(\w+)}", r":\1", part) for part in path.strip("/").split("/")]
            body = next(
                request["body"]
                for request in requests.values()
                if request["url"]["path"] == segments and request["method"] == method.upper()
            )
            assert set(schema["required"]) <= set(json.loads(body["raw"])), path


def test_a_sample_of_a_recursive_schema_terminates() -> None:
    node = {
        "type": "object",
        "required": ["next"],
        "properties": {"next": {"$ref": "#/components/schemas/Node"}},
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    postman_collection = build_collection(
        {
            "info": {"title": "t", "description": ""},
            "paths": {"/x": {"post": {"operationId": "x", "requestBody": body}}},
            "components": {"schemas": {"Node": node}},
        },
        "http://x",
    )
    assert json.loads(postman_collection["item"][0]["item"][0]["request"]["body"]["raw"])["next"][
        "next"
    ]
