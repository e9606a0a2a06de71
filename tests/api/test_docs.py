"""The examples in docs/api.md run, and its paths exist in the API."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.test import Client

from gateway.api.app import api as ninja
from tests.api.conftest import MASTER

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
_BLOCKS = re.compile(r"```sh\n(.*?)```(?:\n```json\n(.*?)```)?", re.DOTALL)


def run(client: Any, command: str) -> Any:
    """Execute a curl command with the Django test client."""
    arguments = shlex.split(
        command.replace("$DRAGOMAN_BASE_URL", "http://127.0.0.1:8000").replace("$ADMIN_KEY", MASTER)
    )
    assert arguments.pop(0) == "curl"
    method, headers, data, url = "GET", {}, "", ""
    while arguments:
        word = arguments.pop(0)
        if word == "-X":
            method = arguments.pop(0)
        elif word == "-H":
            name, _, value = arguments.pop(0).partition(": ")
            headers[name.lower()] = value
        elif word == "-d":
            data = arguments.pop(0)
        else:
            url = word
    parts = urlsplit(url)
    kind = headers.pop("content-type", "application/json")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return client.generic(method, path, data=data, content_type=kind, headers=headers)


def contains_expected(expected: Any, actual: Any) -> bool:
    """Return whether every expected value is in the actual one."""
    if isinstance(expected, dict):
        return all(
            name in actual and contains_expected(value, actual[name])
            for name, value in expected.items()
        )
    return bool(expected == actual)


def test_the_examples_give_the_documented_output(api: Client) -> None:
    api.defaults.pop("HTTP_AUTHORIZATION", None)
    ran = 0
    for commands, response in _BLOCKS.findall(TEXT):
        for command in re.sub(r"\\\n", " ", commands).splitlines():
            if not command.startswith("curl"):
                continue
            completed = run(api, command)
            ran += 1
            assert completed.status_code in {200, 201}, (command, completed.content)
            if "Idempotency-Key" in command:
                assert completed.json()["key"]
                assert run(api, command)["Idempotency-Replayed"] == "true"
        if response:
            assert contains_expected(json.loads(response), completed.json()), completed.json()
    assert ran >= 8


def test_api_paths_named_in_the_text_exist() -> None:
    paths = set(ninja.get_openapi_schema()["paths"])
    named = {path for path in re.findall(r"`(/api/[^`? ]+)`", TEXT) if "{kind}" not in path}
    assert len(named) > 15
    missing = {path for path in named if path not in paths and path != "/api/openapi.json"}
    assert not missing
