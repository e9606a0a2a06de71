"""Golden cases of the client dialects Bedrock Converse and Cohere, through the live code.

The files in `client_cases` have the format of those in `cases`; a `response` is a whole response
of a provider. The vendor's own SDK also parses the client's response.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cohere.v2.types import V2ChatStreamResponse
from cohere.v2.types.v2chat_response import V2ChatResponse
from pydantic import TypeAdapter

from gateway.canon.adaptation import adaptation_rows
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.providers.capabilities import traits_for
from gateway.providers.catalog import resolve_preset
from gateway.simulate import translate
from tests.dialects.test_cases import equal_but_placeholders, rows

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "client_cases"
CLIENTS = ("bedrock_converse", "cohere")


def kind_of(case: Json) -> str:
    """Return the kind of a case: a response, a stream, an error or a request."""
    for kind in ("response", "stream"):
        if kind in case:
            return kind
    return "error" if "status" in case["request"] else "request"


def cases(kind: str) -> list[Any]:
    """Return the cases of this kind."""
    bodies = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
    ]
    return [pytest.param(case, id=case["name"]) for case in bodies if kind_of(case) == kind]


@pytest.mark.parametrize("case", cases("request"))
def test_a_request_of_the_client_becomes_the_providers(case: Json) -> None:
    expected = case["expected"]
    translation = translate.request(
        case["from"], case["to"], case["request"], {}, expected["model"]
    )
    assert translation["body"] == expected["body"]
    assert rows(translation["report"]) == rows(expected["report"])
    assert translation["path"] == expected["path"]


@pytest.mark.parametrize("case", cases("response"))
def test_a_response_of_the_provider_becomes_the_clients(case: Json) -> None:
    preset = resolve_preset(case["from"])
    assert preset is not None
    traits = traits_for(preset.name, case["model"])
    provider = DIALECTS[preset.dialect].provider
    response = provider.parse_response(case["response"], traits, None)
    context = ResponseContext(id="1", created=1_700_000_000, model="up")
    body, report = DIALECTS[case["to"]].client.render_response(response, context)
    assert equal_but_placeholders(case["expected"]["body"], body), body
    assert rows(adaptation_rows(report)) == rows(case["expected"]["report"])


@pytest.mark.parametrize("case", cases("stream"))
def test_a_stream_of_the_provider_becomes_the_clients(case: Json) -> None:
    translated = translate.stream(case["from"], case["to"], case["stream"], "")
    assert equal_but_placeholders(case["expected"]["events"], translated["events"]), translated[
        "events"
    ]
    assert rows(translated["report"]) == rows(case["expected"]["report"])


@pytest.mark.parametrize("case", cases("error"))
def test_an_error_of_the_provider_becomes_the_clients(case: Json) -> None:
    error, expected = case["request"], case["expected"]
    translated = translate.error(
        case["from"], case["to"], error["status"], error["headers"], error["body"]
    )
    assert translated == expected


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_has_cases_of_each_kind(client: str) -> None:
    requests = [p.values[0] for p in cases("request") if p.values[0]["from"] == client]
    wire = json.dumps(requests)
    assert len(requests) >= 4
    assert "image" in wire and "tool" in wire
    for kind in ("response", "stream", "error"):
        assert sum(p.values[0]["to"] == client for p in cases(kind)) >= 3


@pytest.mark.parametrize("case", [p for p in cases("stream") if p.values[0]["to"] == "cohere"])
def test_coheres_sdk_reads_the_expected_streams(case: Json) -> None:
    for event in case["expected"]["events"]:
        if event != "[DONE]":
            TypeAdapter(V2ChatStreamResponse).validate_python(event["data"])


@pytest.mark.parametrize("case", [p for p in cases("response") if p.values[0]["to"] == "cohere"])
def test_coheres_sdk_reads_the_expected_responses(case: Json) -> None:
    body = case["expected"]["body"]
    response = V2ChatResponse.model_validate(body)
    assert response.finish_reason == body["finish_reason"]


def shape_errors(name: str, value: Any) -> str:
    """Return boto3's validation errors of a value of this shape."""
    loader = pytest.importorskip("botocore.loaders").Loader()
    model = pytest.importorskip("botocore.model").ServiceModel(
        loader.load_service_model("bedrock-runtime", "service-2")
    )
    validator = pytest.importorskip("botocore.validate").ParamValidator()
    return str(validator.validate(value, model.shape_for(name)).generate_report())


@pytest.mark.parametrize(
    "case", [p for p in cases("response") if p.values[0]["to"] == "bedrock_converse"]
)
def test_botocores_service_model_describes_the_expected_responses(case: Json) -> None:
    assert not shape_errors("ConverseResponse", case["expected"]["body"])


@pytest.mark.parametrize(
    "case", [p for p in cases("stream") if p.values[0]["to"] == "bedrock_converse"]
)
def test_botocores_service_model_describes_the_expected_events(case: Json) -> None:
    for event in case["expected"]["events"]:
        assert not shape_errors("ConverseStreamOutput", {event["event"]: event["data"]})
