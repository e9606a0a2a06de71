"""Every golden case through `POST /api/translate`.

The cases in tests/dialects/cases are those of the wire documentation, unchanged: `SUMS` has the
SHA-256 of each file, so an edited, missing or added case fails by name.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.dialects.test_cases import FOLDER, equal_but_placeholders, kind_of, rows, upstream_model

Json = dict[str, Any]
SUMS = Path(__file__).parents[1] / "dialects" / "cases.sha256"
CASES = [
    pytest.param(json.loads(path.read_text(encoding="utf-8")), id=path.stem)
    for path in sorted(FOLDER.glob("*.json"))
]
# Case -> why it is not as the documentation has it. None is.
DEVIATES: dict[str, str] = {}


def translation_request(case: Json) -> Json:
    """Return the request body for a case."""
    fields: Json = {"from": case["from"], "to": case["to"]}
    expected = case["expected"]
    match kind_of(case):
        case "stream":
            return {**fields, "stream": case["stream"]}
        case "error":
            return {**fields, "error": case["request"]}
        case _:
            stored = expected.get("stored")
            more = {"model": upstream_model(expected), "stored": stored}
            return {**fields, "request": case["request"], **more}


def case_differences(case: Json, differences: Json) -> list[str]:
    """Return the differences between the response and the expectations of the case."""
    expected = case["expected"]
    if "events" in expected:
        return (
            []
            if equal_but_placeholders(expected["events"], differences.get("events"))
            else ["events"]
        )
    problems = [] if equal_but_placeholders(expected["body"], differences.get("body")) else ["body"]
    if "report" in expected and rows(expected["report"]) != rows(differences.get("report", [])):
        problems.append("report")
    if expected.get("url", differences.get("url")) != differences.get("url"):
        problems.append("url")
    if expected.get("path", "") not in differences.get("url", ""):
        problems.append("path")
    if not differences.get("headers", {}).items() >= expected.get("headers", {}).items():
        problems.append("headers")
    if expected.get("status", differences.get("status")) != differences.get("status"):
        problems.append("status")
    return problems


@pytest.mark.parametrize("case", CASES)
def test_a_translated_case_matches_the_documentation(api: Client, case: Json) -> None:
    response = api.post(
        "/api/translate", translation_request(case), content_type="application/json"
    )
    assert response.status_code == 200, response.content
    body = response.json()
    if case["name"] in DEVIATES:
        assert case_differences(case, body), (
            f"{case['name']} is as documented: take it off the list"
        )
        return
    assert case_differences(case, body) == [], body


@pytest.mark.parametrize("case", [c for c in CASES if kind_of(c.values[0]) == "error"])  # type: ignore[arg-type]
def test_an_error_can_be_passed_as_the_request(api: Client, case: Json) -> None:
    """The cases have the error under `request`, with its status."""
    cases_by_key = {key: case[key] for key in ("from", "to", "request")}
    response = api.post("/api/translate", cases_by_key, content_type="application/json")
    assert response.status_code == 200, response.content
    assert case_differences(case, response.json()) == []


def test_the_cases_are_those_of_the_documentation() -> None:
    parts = dict(line.split("  ")[::-1] for line in SUMS.read_text(encoding="ascii").splitlines())
    hexdigests_by_name = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.json")
    }
    assert hexdigests_by_name == parts
