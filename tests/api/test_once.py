"""`Idempotency-Key` is honored by every POST that creates something."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from gateway.api.app import api as ninja
from gateway.api.openapi_operations import IDEMPOTENT_OPERATIONS
from tests.api.test_resources import send
from tests.api.test_roles import CLIENTS, operations

# What is read before the key is looked at must be right for it to be seen.
BODIES: dict[str, dict[str, Any]] = {
    "create_personal_key": {"name": "laptop"},
    "create_user": {"name": "vic", "password": "four words are enough"},
    "create_capability_report": {"model": "p/m"},
    "apply_capability_report": {"traits": []},
    "import_litellm_file": {"text": ""},
    "create_alert_silence": {"hours": 1},
    "create_preset": {"name": "mine", "document": {}},
    "import_provider_models": {"add": []},
}
MAKING = [
    (path, name)
    for method, path, name in operations()
    if method == "post" and name not in IDEMPOTENT_OPERATIONS
]


def test_every_idempotent_operation_exists() -> None:
    assert {name for _method, _path, name in operations()} >= IDEMPOTENT_OPERATIONS


@pytest.mark.parametrize(("path", "name"), MAKING, ids=[name for _path, name in MAKING])
def test_a_post_reads_the_idempotency_key(api: Client, path: str, name: str) -> None:
    concrete = re.sub(r"\{\w+\}", "none", path.replace("{number}", "1")).removeprefix("/api/")
    body = BODIES.get(name, {})
    # The admin credential has no keys of its own.
    client = CLIENTS["member"]() if path.startswith("/api/personal/") else api
    response = send(client, "POST", concrete, body, **{"idempotency-key": "k" * 256})
    assert (response.status_code, response.json()["field"]) == (422, "Idempotency-Key")
    operation = ninja.get_openapi_schema()["paths"][path]["post"]
    assert "Idempotency-Key" in {parameter["name"] for parameter in operation["parameters"]}
