"""The OpenAPI document is complete, matches its snapshot and is served without other hosts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from gateway.edge.endpoints import find_endpoint

SNAPSHOT = Path(__file__).resolve().parents[1] / "snapshots" / "openapi.json"


def document() -> Any:
    response = Client().get("/api/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_the_document_is_the_committed_one() -> None:
    """Update the snapshot with `UPDATE_SNAPSHOTS=1 pytest tests/api`."""
    now = json.dumps(document(), indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(now, encoding="utf-8")
    assert now == SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/models/{id}",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/api/requests",
        "/api/requests/{request_id}",
        "/api/requests/{request_id}/bodies",
        "/api/routes",
        "/api/providers",
        "/api/models",
        "/api/warnings",
        "/api/translate",
    ],
)
def test_a_path_is_in_the_document(path: str) -> None:
    operations = document()["paths"][path]
    assert all(operation["summary"] for operation in operations.values())


def test_every_documented_path_of_the_gateway_is_served() -> None:
    for path, item in document()["paths"].items():
        tags = {tag for operation in item.values() for tag in operation.get("tags", ())}
        if path.startswith("/v1/") and "gateway" in tags:
            assert find_endpoint(path.replace("{id}", "x")) is not None, path


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [op["operationId"] for item in document()["paths"].values() for op in item.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", ["/docs", "/docs/create_score"])
@pytest.mark.parametrize("method", ["get", "head"])
def test_the_pages_need_no_other_host(path: str, method: str) -> None:
    response = getattr(Client(), method)(path)
    assert response.status_code == 200
    page = response.content.decode()
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert not [source for source in sources if "//" in source]
    for source in sources:
        if source.startswith("/static/"):
            assert finders.find(source.removeprefix("/static/").partition("#")[0]), source


def test_the_docs_link_to_the_openapi_document() -> None:
    assert "/api/openapi.json" in Client().get("/docs").content.decode()


def test_unsupported_page_parameters_are_refused() -> None:
    assert Client().post("/").status_code == 405
