"""botocore's model accepts rendered requests, and its client parses the fake's responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.canon.request import Request
from gateway.dialects.bedrock_converse import DIALECT
from gateway.framing.eventstream import Decoder
from gateway.providers.capabilities import traits_for
from tests.dialects.anthropic_messages.test_sdk import requests
from tests.dialects.bedrock_converse.make import stream_bytes, traits
from tests.fakes import Call, Refusal, ScriptedResponse, bedrock_rules
from tests.fakes.bedrock import KEY_ID, SECRET, SESSION, StrictBedrock
from tests.fakes.bedrock_rules import CLAUDE, MODELS


@settings(max_examples=200)
@given(requests(), st.sampled_from(MODELS))
def test_a_strict_server_accepts_every_rendered_request(request: Request, model: str) -> None:
    try:
        rendered_request = DIALECT.provider.render_request(request, traits_for("bedrock", model))
    except GatewayError as refused:
        assert refused.error.param
        return
    body = json.loads(json.dumps(rendered_request.body))
    refusal = bedrock_rules.refusal(model, body)
    assert refusal is None, refusal
    if "claude" in model:  # the only ones that count
        count = DIALECT.token_count_body(body, model)
        assert bedrock_rules.count_refusal(model, count) is None


@pytest.fixture(scope="module")
def server() -> Iterator[StrictBedrock]:
    with StrictBedrock() as bedrock:
        yield bedrock


@pytest.fixture
def client(server: StrictBedrock, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The official client, which signs requests."""
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    return boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=server.url,
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
        aws_session_token=SESSION,
        config=Config(retries={"total_max_attempts": 1}),
    )


REQUEST: dict[str, Any] = {
    "modelId": CLAUDE,
    "messages": [{"role": "user", "content": [{"text": "the weather"}]}],
}
SCRIPTED_RESPONSE = ScriptedResponse(
    text="I look.", calls=(Call("get_weather", {"city": "Paris", "n": 1.5}, "t1"),)
)


def test_boto3_and_the_parser_read_the_same_response(server: StrictBedrock, client: Any) -> None:
    server.script.on("the weather", SCRIPTED_RESPONSE)
    response = client.converse(**REQUEST)
    response.pop("ResponseMetadata")
    parsed_response = DIALECT.provider.parse_response(response, traits(), None)
    assert [part.__class__.__name__ for part in parsed_response.parts] == ["Text", "ToolCall"]
    assert response["stopReason"] == "tool_use"


def test_boto3_and_the_parser_read_the_same_stream(server: StrictBedrock, client: Any) -> None:
    server.script.on("the weather", SCRIPTED_RESPONSE)
    stream = client.converse_stream(**REQUEST)["stream"]
    boto3_events = [(name, data) for event in stream for name, data in event.items()]
    text = "".join(d["delta"].get("text", "") for n, d in boto3_events if n == "contentBlockDelta")
    assert text == "I look."
    parser = DIALECT.provider.stream_parser(traits(), None)
    frames = Decoder().feed(stream_bytes(boto3_events))
    events = [event for frame in frames for event in parser.feed(frame)]
    assert len(frames) == len(boto3_events)
    assert events[-1].__class__.__name__ == "End"


def test_the_fake_raises_the_exceptions_that_boto3_expects(
    server: StrictBedrock, client: Any
) -> None:
    server.script.on(
        "the weather", ScriptedResponse(error=Refusal(429, "ThrottlingException", "slow down"))
    )
    with pytest.raises(client.exceptions.ThrottlingException, match="slow down"):
        client.converse(**REQUEST)
    with pytest.raises(client.exceptions.ValidationException, match="start with a user"):
        client.converse(
            modelId=CLAUDE, messages=[{"role": "assistant", "content": [{"text": "x"}]}]
        )
