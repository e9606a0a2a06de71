"""The official `boto3` on a live gateway: on Bedrock itself, on Chat and on Messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import EventStreamError

from tests.certificates import CertificateAuthority
from tests.e2e.sdk_inputs import PIXEL
from tests.e2e.stack import Gateway, ModelStack, litellm_config
from tests.e2e.test_up import running_up
from tests.fakes import Call, Refusal, ScriptedResponse, StrictAnthropic, StrictOpenAI
from tests.fakes.bedrock import BEARER, StrictBedrock
from tests.fakes.bedrock_rules import CLAUDE

pytestmark = pytest.mark.e2e

MODELS = ("bedrock-claude", "gpt-4o", "claude-sonnet-4-5")
EACH = pytest.mark.parametrize("model", MODELS, ids=["on_bedrock", "on_chat", "on_messages"])
HOW = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
HELLO = "Hello from the strict upstream."
PIXEL_BYTES = base64.b64decode(PIXEL)
WEATHER: Any = {
    "toolSpec": {
        "name": "get_weather",
        "description": "The weather of a city",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            }
        },
    }
}
CALL = Call("get_weather", {"city": 'Zürich "HB"', "near": [1, 2.5, None]}, "call_a")


def row(public: str, **params: Any) -> dict[str, Any]:
    return {"model_name": public, "litellm_params": params}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStack]:
    with ExitStack() as stack:
        bedrock = stack.enter_context(StrictBedrock())
        chat = stack.enter_context(StrictOpenAI())
        messages = stack.enter_context(StrictAnthropic())
        bedrock_params = {"model": f"bedrock/{CLAUDE}", "api_key": BEARER, "max_retries": 0}
        claude = f"anthropic/{MODELS[2]}"
        rows = [
            row(MODELS[0], aws_bedrock_runtime_endpoint=bedrock.url, **bedrock_params),
            row(MODELS[1], model="openai/gpt-4o", api_base=f"{chat.url}/v1", api_key=chat.key),
            row(MODELS[2], model=claude, api_base=messages.url, api_key=messages.key),
        ]
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield ModelStack(gateway, dict(zip(MODELS, (bedrock, chat, messages), strict=True)))
        gateway.stop()


def boto3_client(
    url: str, service: str = "bedrock-runtime", signature_version: Any = None, **credentials: Any
) -> Any:
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=url,
        config=Config(
            retries={"total_max_attempts": 1},
            read_timeout=30,
            signature_version=signature_version,
        ),
        **credentials,
    )


def unsigned_client(url: str, key: str, service: str = "bedrock-runtime") -> Any:
    """Return a client without signatures; boto3 sends no Bedrock API key without TLS."""
    api_client = boto3_client(url, service, signature_version=UNSIGNED)

    def add_key(request: Any, **_: Any) -> None:
        request.headers["authorization"] = f"Bearer {key}"

    api_client.meta.events.register(f"request-created.{service}", add_key)
    return api_client


@pytest.fixture(scope="module")
def client(stack: ModelStack) -> Iterator[Any]:
    """The official client with the gateway's key."""
    with closing(unsigned_client(stack.gateway.url, stack.gateway.key)) as api_client:
        yield api_client


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"text": b} if isinstance(b, str) else b for b in blocks]}


def joined(events: list[Any]) -> dict[str, Any]:
    """Return the response that a stream's events add up to, joined as an SDK's user does."""
    blocks: dict[int, dict[str, Any]] = {}
    out: dict[str, Any] = {}
    for event in events:
        ((name, data),) = event.items()
        index = data.get("contentBlockIndex", -1)
        if name == "contentBlockStart":
            blocks[index] = {"toolUse": {**data["start"]["toolUse"], "input": ""}}
        elif name == "contentBlockDelta":
            _add_delta(blocks.setdefault(index, {}), data["delta"])
        elif name in {"messageStop", "metadata"}:
            out |= data
    assert list(blocks) == list(range(len(blocks)))
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = _decoded(block["toolUse"]["input"])
    message = {"role": "assistant", "content": list(blocks.values())}
    return {**out, "output": {"message": message}}


def _decoded(text: str) -> Any:
    return json.loads(text) if text else {}


def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "reasoningContent" in delta:
        reasoning_text = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {})
        for key, value in delta["reasoningContent"].items():
            reasoning_text[key] = reasoning_text.get(key, "") + value


def send_converse(client: Any, stream: bool, **fields: Any) -> dict[str, Any]:
    """Return the response, whole or joined from its stream."""
    if not stream:
        return dict(client.converse(**fields))
    response = client.converse_stream(**fields)
    with closing(response["stream"]) as stream_events:
        events = list(stream_events)
    assert next(iter(events[0])) == "messageStart"
    assert next(iter(events[-1])) == "metadata"
    return {**joined(events), "ResponseMetadata": response["ResponseMetadata"]}


@EACH
@HOW
def test_boto3_parses_a_response(client: Any, model: str, stream: bool) -> None:
    response = send_converse(client, stream, modelId=model, messages=[user("Hello there")])
    assert response["output"]["message"]["content"] == [{"text": HELLO}]
    assert response["stopReason"] == "end_turn"
    usage = response["usage"]
    assert (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"]) == (11, 23, 34)
    assert response["metrics"]["latencyMs"] >= 0
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-dragoman-target"]


@EACH
@HOW
def test_a_tool_is_called_and_its_result_is_sent_back(
    stack: ModelStack, client: Any, model: str, stream: bool
) -> None:
    prompt = f"The weather, {model} {stream}"
    stack.on(prompt, ScriptedResponse(text="I look.", calls=(CALL,)))
    params: dict[str, Any] = {"modelId": model, "toolConfig": {"tools": [WEATHER]}}
    response = send_converse(client, stream, messages=[user(prompt)], **params)
    message = response["output"]["message"]
    assert response["stopReason"] == "tool_use"
    assert message["content"] == [
        {"text": "I look."},
        {"toolUse": {"toolUseId": "call_a", "name": "get_weather", "input": CALL.object}},
    ]
    result = {"toolUseId": "call_a", "content": [{"json": {"degrees": 21}}], "status": "success"}
    history = [user(prompt), message, user({"toolResult": result})]
    second = send_converse(client, stream, messages=history, **params)
    assert second["stopReason"] == "end_turn"
    (block,) = second["output"]["message"]["content"]
    assert model == "bedrock-claude" or "21" in block["text"]


@EACH
def test_images_documents_and_settings_arrive(stack: ModelStack, client: Any, model: str) -> None:
    document = {"format": "txt", "name": "Notes", "source": {"bytes": b"the notes"}}
    response = client.converse(
        modelId=model,
        messages=[
            user(
                "Look at these",
                {"image": {"format": "png", "source": {"bytes": PIXEL_BYTES}}},
                {"document": document},
            )
        ],
        system=[{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        inferenceConfig={"maxTokens": 77, "temperature": 0.25, "stopSequences": ["END!"]},
        additionalModelRequestFields={"top_k": 39},
    )
    assert response["output"]["message"]["content"] == [{"text": HELLO}]
    upstream_json = str(stack.last(model))
    for mark in (PIXEL[:30], "Be brief.", "77", "0.25", "END!"):
        assert mark in upstream_json
    assert model == "gpt-4o" or "'top_k': 39" in upstream_json
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    dropped_fields = headers.get("x-dragoman-dropped", "")
    assert ("additionalModelRequestFields.top_k" in dropped_fields) == (model == "gpt-4o")


def test_bedrocks_guardrails_are_reported_where_they_are_lost(
    stack: ModelStack, client: Any
) -> None:
    guardrail = {"guardrailIdentifier": "abc123", "guardrailVersion": "1"}
    params = {"messages": [user("Guarded", {"guardContent": {"text": {"text": "Mind this."}}})]}
    response = client.converse(modelId="gpt-4o", guardrailConfig=guardrail, **params)
    dropped_fields = response["ResponseMetadata"]["HTTPHeaders"]["x-dragoman-dropped"]
    assert "guardrailConfig" in dropped_fields
    assert "messages[0].content[1].guardContent" in dropped_fields
    assert "Mind this." in str(stack.last("gpt-4o"))


@HOW
def test_reasoning_is_returned_and_its_state_is_sent_back(
    stack: ModelStack, client: Any, stream: bool
) -> None:
    prompt = f"Think of the weather {stream}"
    stack.on(prompt, ScriptedResponse(reasoning="Hm, let me see.", text="I look.", calls=(CALL,)))
    params: dict[str, Any] = {
        "modelId": "claude-sonnet-4-5",
        "toolConfig": {"tools": [WEATHER]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    }
    response = send_converse(client, stream, messages=[user(prompt)], **params)
    message = response["output"]["message"]
    reasoning_text = message["content"][0]["reasoningContent"]["reasoningText"]
    assert reasoning_text["text"] == "Hm, let me see."
    result = {"toolUseId": "call_a", "content": [{"text": "21 degrees"}]}
    send_converse(
        client, stream, messages=[user(prompt), message, user({"toolResult": result})], **params
    )
    upstream_body = stack.last("claude-sonnet-4-5")
    (thinking,) = [b for b in upstream_body["messages"][1]["content"] if b["type"] == "thinking"]
    assert thinking["thinking"] == "Hm, let me see."
    assert not thinking["signature"].startswith("dgm1.")


@EACH
def test_a_schema_enforces_structured_output(stack: ModelStack, client: Any, model: str) -> None:
    stack.on("A verdict", ScriptedResponse(text='{"city":"Rome"}'))
    schema = '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],'
    schema += '"additionalProperties":false}'
    structure = {"jsonSchema": {"schema": schema, "name": "verdict"}}
    text_format = {"type": "json_schema", "structure": structure}
    response = client.converse(
        modelId=model, messages=[user("A verdict")], outputConfig={"textFormat": text_format}
    )
    assert response["output"]["message"]["content"] == [{"text": '{"city":"Rome"}'}]
    assert "additionalProperties" in str(stack.last(model))


def test_cached_tokens_are_counted_apart(stack: ModelStack, client: Any) -> None:
    stack.on("From the cache", ScriptedResponse(text="Yes.", cached_tokens=4))
    for model in MODELS:
        usage = client.converse(modelId=model, messages=[user("From the cache")])["usage"]
        assert (usage["inputTokens"], usage["cacheReadInputTokens"]) == (7, 4), model
        assert usage["totalTokens"] == 34


CLASSES = (
    (Refusal(429, "rate_limit_error", "slow down", "rate_limit_exceeded"), "ThrottlingException"),
    (Refusal(400, "invalid_request_error", "no such thing"), "ValidationException"),
    (Refusal(500, "server_error", "oops"), "InternalServerException"),
)


@pytest.mark.parametrize(("refusal", "name"), CLASSES, ids=[name for _, name in CLASSES])
@HOW
def test_a_refusal_raises_the_class_of_its_kind(
    stack: ModelStack, client: Any, refusal: Refusal, name: str, stream: bool
) -> None:
    stack.servers[MODELS[1]].script.on(f"Refuse {name}", ScriptedResponse(error=refusal))
    with pytest.raises(getattr(client.exceptions, name), match=refusal.message):
        send_converse(client, stream, modelId="gpt-4o", messages=[user(f"Refuse {name}")])


@EACH
def test_a_broken_stream_raises(stack: ModelStack, client: Any, model: str) -> None:
    stack.on("Break off", ScriptedResponse(text="x" * 60, breaks="error", pace_s=0.03))
    response = client.converse_stream(modelId=model, messages=[user("Break off")])
    with closing(response["stream"]) as stream_events, pytest.raises(EventStreamError):
        list(stream_events)


def test_errors_of_the_gateway_itself_have_their_classes(client: Any) -> None:
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="does not exist"):
        client.converse(modelId="nothing", messages=[user("Hello")])
    with pytest.raises(client.exceptions.ValidationException, match="messages is required"):
        client.converse(modelId="gpt-4o", messages=[])


def test_a_signed_request_error_names_what_to_send_instead(
    stack: ModelStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_BEARER_TOKEN_BEDROCK", raising=False)
    credentials = {"aws_access_key_id": "AKIA0", "aws_secret_access_key": "s"}
    with (
        closing(boto3_client(stack.gateway.url, **credentials)) as signing,
        pytest.raises(signing.exceptions.AccessDeniedException, match="AWS_BEARER_TOKEN_BEDROCK"),
    ):
        signing.converse(modelId="gpt-4o", messages=[user("Hello")])


CLAUDE_BODY = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}


def claude_body(prompt: str, **fields: Any) -> str:
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({**CLAUDE_BODY, "messages": messages, **fields})


@EACH
def test_invoke_model_accepts_the_body_of_claude_models(client: Any, model: str) -> None:
    body = claude_body("Hello there", anthropic_beta=["context-1m-2025-08-07"])
    whole = json.load(client.invoke_model(modelId=model, body=body)["body"])
    assert whole["content"][0]["text"] == HELLO
    streamed = client.invoke_model_with_response_stream(modelId=model, body=body)
    events = [json.loads(event["chunk"]["bytes"]) for event in streamed["body"]]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == HELLO
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    usage = events[0]["message"]["usage"] | events[-2]["usage"]
    assert metrics["inputTokenCount"] == usage["input_tokens"] > 0
    assert metrics["outputTokenCount"] == usage["output_tokens"] > 0
    assert 0 <= metrics["firstByteLatency"] <= metrics["invocationLatency"]


@EACH
def test_a_broken_stream_of_invoke_model_raises(stack: ModelStack, client: Any, model: str) -> None:
    stack.on("Break off", ScriptedResponse(text="x" * 60, breaks="error", pace_s=0.03))
    response = client.invoke_model_with_response_stream(
        modelId=model, body=claude_body("Break off")
    )
    with closing(response["body"]) as stream_events, pytest.raises(EventStreamError):
        list(stream_events)


def test_invoke_model_rejects_the_bodies_of_other_models(client: Any) -> None:
    betas = {"anthropic_version": "x", "anthropic_beta": ["a\r\nb: c"]}
    for body in ({"anthropic_version": 1}, {"anthropic_version": "x"}, betas):
        with pytest.raises(client.exceptions.ValidationException):
            client.invoke_model(modelId="gpt-4o", body=json.dumps(body))
    with pytest.raises(client.exceptions.ValidationException, match="use Converse"):
        client.invoke_model(modelId="gpt-4o", body=json.dumps({"inputText": "Hi"}))


@EACH
def test_tokens_are_counted(client: Any, model: str) -> None:
    counted = {"converse": {"messages": [user("Count these words, please")]}}
    assert client.count_tokens(modelId=model, input=counted)["inputTokens"] > 3


def test_the_bedrock_api_key_of_the_environment_is_the_gateways_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3 sends a Bedrock API key over HTTPS only."""
    authority = CertificateAuthority()
    issued = authority.issue()
    (tmp_path / "key.pem").write_text(issued.key)
    (tmp_path / "certificate.pem").write_text(issued.certificate)
    (tmp_path / "authority.pem").write_text(authority.pem)
    options = ("--ssl-certfile", str(tmp_path / "certificate.pem"))
    options += ("--ssl-keyfile", str(tmp_path / "key.pem"))
    with running_up(tmp_path / "data", *options, authority=authority.pem) as gateway:
        monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", gateway.key)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        with closing(boto3_client(gateway.base)) as secured:
            response = send_converse(secured, True, modelId="demo", messages=[user("Hello there")])
        assert response["output"]["message"]["content"][0]["text"]
        assert gateway.end() == 0


def test_models_are_listed(stack: ModelStack, client: Any) -> None:
    with closing(unsigned_client(stack.gateway.url, stack.gateway.key, "bedrock")) as control:
        summaries = control.list_foundation_models()["modelSummaries"]
        assert {row["modelId"] for row in summaries} >= set(MODELS)
        details = control.get_foundation_model(modelIdentifier="gpt-4o")["modelDetails"]
        assert details["inputModalities"] == ["TEXT", "IMAGE"]
        with pytest.raises(control.exceptions.ResourceNotFoundException):
            control.get_foundation_model(modelIdentifier="nothing")


def test_a_base_path_and_an_encoded_model_work(stack: ModelStack, client: Any) -> None:
    with closing(unsigned_client(f"{stack.gateway.url}/bedrock", stack.gateway.key)) as below:
        response = below.converse(modelId="gpt-4o", messages=[user("Hello there")])
    request_id = response["ResponseMetadata"]["HTTPHeaders"]["x-request-id"]
    row = stack.gateway.row(request_id)
    assert (row["client_dialect"], row["endpoint"]) == (
        "bedrock_converse",
        "/model/{id}/converse",
    )
    assert (row["requested_model"], row["input_tokens"]) == ("gpt-4o", 11)
