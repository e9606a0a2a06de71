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
    """The cases that ask for this kind of translation."""
    found = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return [pytest.param(case, id=case["name"]) for case in found if kind_of(case) == key]


def kind_of(case: dict[str, Any]) -> str:
    """What the case translates: a stream, an error or a request."""
    if "stream" in case:
        return "stream"
    return "error" if "status" in case["request"] else "request"


def same(want: Any, got: Any) -> bool:
    """Equality but for placeholders."""
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(same(want[key], got[key]) for key in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(same, want, got))
    if want == "HASH9HASH":
        return re.fullmatch(r"[A-Za-z0-9]{9}", got) is not None
    if isinstance(want, str) and want.endswith("SHA8SHA8"):
        head = re.escape(want.removesuffix("SHA8SHA8"))
        return re.fullmatch(rf"{head}[0-9a-f]{{8}}", got) is not None
    if isinstance(want, str) and want.startswith(PREFIX):
        return unwrap_signature(want) == unwrap_signature(got)
    if isinstance(want, str) and want.startswith("sha256:"):
        return re.fullmatch(r"sha256:[0-9a-f]{16,}", got) is not None
    return bool(want == got)


def rows(report: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """A report without its prose."""
    return sorted((row["field"], row["action"]) for row in report)


def upstream_model(expected: dict[str, Any]) -> str:
    """The model that the case sends to: in the body, or in the path."""
    body: dict[str, Any] = expected["body"]
    place = expected.get("path", expected.get("url", ""))
    found = re.search(r"/models?/([^/:]+)[/:]", place)
    return str(body["model"]) if "model" in body or found is None else unquote(found[1])


@pytest.mark.parametrize("case", cases("request"))
def test_a_request_becomes_what_the_case_says(case: dict[str, Any]):
    asked, expected = case["request"], case["expected"]
    body, headers = asked.get("body", asked), asked.get("headers", {})
    found = translate.request(
        case["from"],
        case["to"],
        body,
        headers,
        upstream_model(expected),
        expected.get("stored"),
    )
    assert same(expected["body"], found["body"]), found["body"]
    assert rows(found["report"]) == rows(expected["report"])
    assert found["url"] == expected.get("url", found["url"])
    assert expected.get("path", found["path"]) in found["url"]
    assert found["headers"].items() >= expected.get("headers", {}).items()


@pytest.mark.parametrize("case", cases("stream"))
def test_a_stream_becomes_what_the_case_says(case: dict[str, Any]):
    found = translate.stream(case["from"], case["to"], case["stream"], "")
    assert same(case["expected"]["events"], found["events"]), found["events"]


@pytest.mark.parametrize("case", cases("error"))
def test_an_error_becomes_what_the_case_says(case: dict[str, Any]):
    asked, expected = case["request"], case["expected"]
    found = translate.error(
        case["from"], case["to"], asked["status"], asked["headers"], asked["body"]
    )
    assert found["status"] == expected["status"]
    assert found["body"] == expected["body"]
    assert found["headers"].items() >= expected.get("headers", {}).items()


def test_the_cases_are_all_there():
    assert sum(len(cases(kind)) for kind in ("request", "stream", "error")) == 32
