"""The golden cases of the wire documentation, through the code of live traffic.

Notes are prose and not compared; placeholders stand for hashes and opaque tokens.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.canon.signature import PREFIX, unwrap_signature
from gateway.simulate import translate

FOLDER = Path(__file__).parent / "cases"


def cases(key: str) -> list[Any]:
    """Return the cases with this kind of translation."""
    bodies = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return [pytest.param(case, id=case["name"]) for case in bodies if kind_of(case) == key]


def kind_of(case: dict[str, Any]) -> str:
    """Return the kind of a case: a stream, an error or a request."""
    if "stream" in case:
        return "stream"
    return "error" if "status" in case["request"] else "request"


def equal_but_placeholders(expected: Any, actual: Any) -> bool:
    """Return whether two values are equal except for placeholders."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(
            equal_but_placeholders(expected[key], actual[key]) for key in expected
        )
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(equal_but_placeholders, expected, actual))
    if expected == "HASH9HASH":
        return re.fullmatch(r"[A-Za-z0-9]{9}", actual) is not None
    if isinstance(expected, str) and expected.endswith("SHA8SHA8"):
        head = re.escape(expected.removesuffix("SHA8SHA8"))
        return re.fullmatch(rf"{head}[0-9a-f]{{8}}", actual) is not None
    if isinstance(expected, str) and expected.startswith(PREFIX):
        return unwrap_signature(expected) == unwrap_signature(actual)
    if isinstance(expected, str) and expected.startswith("sha256:"):
        return re.fullmatch(r"sha256:[0-9a-f]{16,}", actual) is not None
    return bool(expected == actual)


def rows(report: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return a report without its explanations."""
    return sorted((row["field"], row["action"]) for row in report)


def upstream_model(expected: dict[str, Any]) -> str:
    """Return the upstream model of a case, from the body or the path."""
    body: dict[str, Any] = expected["body"]
    upstream_url = expected.get("path", expected.get("url", ""))
    match = re.search(r"/models?/([^/:]+)[/:]", upstream_url)
    return str(body["model"]) if "model" in body or match is None else unquote(match[1])


@pytest.mark.parametrize("case", cases("request"))
def test_a_request_is_translated_as_the_case_expects(case: dict[str, Any]):
    request, expected = case["request"], case["expected"]
    body, headers = request.get("body", request), request.get("headers", {})
    translation = translate.request(
        case["from"],
        case["to"],
        body,
        headers,
        upstream_model(expected),
        expected.get("stored"),
    )
    assert equal_but_placeholders(expected["body"], translation["body"]), translation["body"]
    assert rows(translation["report"]) == rows(expected["report"])
    assert translation["url"] == expected.get("url", translation["url"])
    assert expected.get("path", translation["path"]) in translation["url"]
    assert translation["headers"].items() >= expected.get("headers", {}).items()


@pytest.mark.parametrize("case", cases("stream"))
def test_a_stream_is_translated_as_the_case_expects(case: dict[str, Any]):
    translation = translate.stream(case["from"], case["to"], case["stream"], "")
    assert equal_but_placeholders(case["expected"]["events"], translation["events"]), translation[
        "events"
    ]


@pytest.mark.parametrize("case", cases("error"))
def test_an_error_is_translated_as_the_case_expects(case: dict[str, Any]):
    request, expected = case["request"], case["expected"]
    translation = translate.error(
        case["from"], case["to"], request["status"], request["headers"], request["body"]
    )
    assert translation["status"] == expected["status"]
    assert translation["body"] == expected["body"]
    assert translation["headers"].items() >= expected.get("headers", {}).items()


def test_all_golden_cases_are_loaded():
    assert sum(len(cases(kind)) for kind in ("request", "stream", "error")) == 32
