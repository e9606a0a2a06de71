"""The official SDKs on a live gateway in front of Bedrock, Cohere and Claude on Vertex AI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import TextBlock, ThinkingBlock, ToolUseBlock
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google import genai
from google.genai import types

from tests.e2e.stack import Gateway, litellm_config
from tests.fakes import Call, RecordedRequest, Refusal, ScriptedResponse, Server, StrictAnthropic
from tests.fakes.bedrock import BEARER, KEY_ID, SECRET, SESSION, StrictBedrock
from tests.fakes.bedrock_rules import CLAUDE, NOVA
from tests.fakes.cohere import StrictCohere
from tests.fakes.cohere_rules import PLAIN, REASONER
from tests.fakes.server import ResponseWriter

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:The model '.*' is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Using Claude with:UserWarning"),
]

ON = ("nova", "bedrock-claude", "cohere")
EACH = pytest.mark.parametrize("model", ON)
HELLO = "Hello from the strict upstream."
SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
CALL = Call("get_weather", {"city": "Paris"}, "call_a")


class VertexClaude(StrictAnthropic):
    """Claude on Vertex AI: the model in the path, the version in the body."""

    token = "vertex-token-1"

    async def respond(self, recorded_request: RecordedRequest, out: ResponseWriter) -> bool:
        """Grant a token, or respond as Anthropic does."""
        if recorded_request.path == "/token":
            await out.reply(200, {"access_token": self.token, "expires_in": 3600})
            return True
        head = "/v1/projects/p/locations/global/publishers/anthropic/models/"
        body = dict(recorded_request.body or {})
        allowed = recorded_request.headers.get("authorization") == f"Bearer {self.token}"
        name, _, action = recorded_request.path.removeprefix(head).partition(":")
        version = body.pop("anthropic_version", None)
        is_invalid = "model" in body or recorded_request.query or version != "vertex-2023-10-16"
        if not allowed or is_invalid or action not in {"rawPredict", "streamRawPredict"}:
            refusal = {"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}
            await out.reply(400 if allowed else 401, refusal)
            return True
        recorded_request.path = "/v1/messages"
        recorded_request.headers = {
            **recorded_request.headers,
            "x-api-key": self.key,
            "anthropic-version": recorded_request.headers.get("anthropic-version", "2023-06-01"),
        }
        recorded_request.raw = json.dumps({**body, "model": name}).encode()
        return await super().respond(recorded_request, out)


@dataclass
class GatewayStack:
    """A gateway in front of the cloud providers."""

    gateway: Gateway
    bedrock: StrictBedrock
    cohere: StrictCohere
    vertex: VertexClaude

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Have all providers answer user texts that contain `text` with `response`."""
        for server in (self.bedrock, self.cohere, self.vertex):
            server.script.on(text, response)

    def last(self, model: str) -> RecordedRequest:
        """Return the newest upstream request of a model."""
        server: Server = self.cohere if model.startswith("cohere") else self.bedrock
        return server.requests[-1]


def _account(server: Server) -> dict[str, Any]:
    """Return a service account whose tokens the fake grants."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "client_email": "robot@project.iam.example",
        "private_key": pem.decode(),
        "private_key_id": "1",
        "token_uri": f"{server.url}/token",
        "project_id": "p",
    }


def _row(public: str, **params: Any) -> dict[str, Any]:
    return {"model_name": public, "litellm_params": params}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    """A live gateway whose file configures each cloud as LiteLLM does."""
    with ExitStack() as stack:
        bedrock = stack.enter_context(StrictBedrock())
        cohere = stack.enter_context(StrictCohere())
        vertex = stack.enter_context(VertexClaude())
        signed = {
            "aws_access_key_id": KEY_ID,
            "aws_secret_access_key": SECRET,
            "aws_session_token": SESSION,
            "aws_bedrock_runtime_endpoint": bedrock.url,
        }
        rows = [
            _row("nova", model=f"bedrock/converse/{NOVA}", **signed),
            _row(
                "bedrock-claude",
                model=f"bedrock/{CLAUDE}",
                api_key=BEARER,
                aws_bedrock_runtime_endpoint=bedrock.url,
            ),
            _row("wrong-key", model=f"bedrock/{NOVA}", api_key="ABSKwrong", api_base=bedrock.url),
            _row("cohere", model=f"cohere_chat/{PLAIN}", api_key=cohere.key, api_base=cohere.url),
            _row(
                "cohere-thinks",
                model=f"cohere/{REASONER}",
                api_key=cohere.key,
                api_base=cohere.url,
            ),
            _row(
                "vertex-claude",
                model="vertex_ai/claude-sonnet-4-5",
                vertex_credentials=_account(vertex),
                api_base=f"{vertex.url}/v1/projects/p/locations/global",
            ),
        ]
        gateway = Gateway(tmp_path_factory.mktemp("clouds"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, bedrock, cohere, vertex)
        gateway.stop()


@pytest.fixture
def chat(stack: GatewayStack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{stack.gateway.url}/v1", api_key=stack.gateway.key, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def messages(stack: GatewayStack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=stack.gateway.url, api_key=stack.gateway.key, max_retries=0
    ) as client:
        yield client


def user(text: Any) -> Any:
    return [{"role": "user", "content": text}]


@EACH
def test_chat_gets_a_complete_response(chat: openai.OpenAI, model: str) -> None:
    response = chat.chat.completions.create(model=model, messages=user("Hello there"))
    assert response.choices[0].message.content == HELLO
    assert response.choices[0].finish_reason == "stop"
    assert response.usage is not None
    assert (response.usage.prompt_tokens, response.usage.completion_tokens) == (11, 23)


@EACH
def test_chat_gets_a_stream(chat: openai.OpenAI, model: str) -> None:
    chunks = list(
        chat.chat.completions.create(
            model=model,
            messages=user("Hello there"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == HELLO
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 23


@EACH
def test_messages_gets_a_stream(messages: anthropic.Anthropic, model: str) -> None:
    with messages.messages.stream(
        model=model, max_tokens=100, messages=user("Hello there")
    ) as stream:
        assert "".join(stream.text_stream) == HELLO
        assert stream.get_final_message().stop_reason == "end_turn"


@EACH
def test_a_gemini_client_gets_a_response(stack: GatewayStack, model: str) -> None:
    options = types.HttpOptions(base_url=stack.gateway.url)
    with genai.Client(api_key=stack.gateway.key, http_options=options) as client:
        response = client.models.generate_content(model=model, contents="Hello there")
        assert response.text == HELLO
        streamed = client.models.generate_content_stream(model=model, contents="Hello there")
        assert "".join(chunk.text or "" for chunk in streamed) == HELLO


@EACH
def test_a_tool_is_called_and_its_result_is_sent(
    stack: GatewayStack, chat: openai.OpenAI, messages: anthropic.Anthropic, model: str
) -> None:
    stack.on(
        "weather",
        ScriptedResponse(
            text="I look.", calls=(CALL,), then=ScriptedResponse(text="It is {results}.")
        ),
    )
    tool: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
    user_messages: Any = user("the weather in Paris")
    first = chat.chat.completions.create(model=model, messages=user_messages, tools=[tool])
    message = first.choices[0].message
    assert message.content == "I look."
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    history = [
        *user_messages,
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = chat.chat.completions.create(model=model, messages=history, tools=[tool])
    assert second.choices[0].message.content == "It is sunny."

    client_tool: Any = {"name": "get_weather", "input_schema": SCHEMA}
    with messages.messages.stream(
        model=model, max_tokens=100, messages=user_messages, tools=[client_tool]
    ) as stream:
        rendered_message = stream.get_final_message()
    assert rendered_message.stop_reason == "tool_use"
    text, use = rendered_message.content
    assert isinstance(text, TextBlock)
    assert isinstance(use, ToolUseBlock)
    assert use.input == {"city": "Paris"}


def test_reasoning_is_sent_back_to_bedrock_unchanged(
    stack: GatewayStack, messages: anthropic.Anthropic
) -> None:
    stack.on("Think", ScriptedResponse(reasoning="Let me see.", text="Done."))
    params: dict[str, Any] = {
        "model": "bedrock-claude",
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    first = messages.messages.create(**params, messages=user("Think hard"))
    thought, text = first.content
    assert isinstance(thought, ThinkingBlock)
    assert isinstance(text, TextBlock)
    assert thought.thinking == "Let me see."
    history = [
        *user("Think hard"),
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        *user("And again"),
    ]
    messages.messages.create(**params, messages=history)
    upstream_content = stack.bedrock.requests[-1].body["messages"][1]["content"]
    reasoning_text = upstream_content[0]["reasoningContent"]["reasoningText"]
    assert reasoning_text["text"] == "Let me see."
    assert not reasoning_text["signature"].startswith("dgm1.")


def test_coheres_reasoning_is_shown(stack: GatewayStack, chat: openai.OpenAI) -> None:
    stack.on("Ponder", ScriptedResponse(reasoning="Hm.", text="Done."))
    response = chat.chat.completions.create(
        model="cohere-thinks", messages=user("Ponder this"), reasoning_effort="low"
    )
    assert response.choices[0].message.content == "Done."
    assert response.choices[0].message.model_dump()["reasoning_content"] == "Hm."
    assert stack.cohere.requests[-1].body["thinking"]["token_budget"] == 2048


def test_upstream_requests_are_signed(stack: GatewayStack, chat: openai.OpenAI) -> None:
    chat.chat.completions.create(model="nova", messages=user("Sign this"))
    headers = stack.bedrock.requests[-1].headers
    assert headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={KEY_ID}/")
    assert headers["x-amz-security-token"] == SESSION


def test_an_invalid_provider_credential_is_a_502(stack: GatewayStack, chat: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as error:
        chat.chat.completions.create(model="wrong-key", messages=user("Hello"))
    assert error.value.status_code == 502
    assert "ABSKwrong" not in str(error.value)


@EACH
def test_a_provider_error_has_the_clients_dialect(
    stack: GatewayStack, chat: openai.OpenAI, model: str
) -> None:
    throttling = Refusal(429, "ThrottlingException", "slow down", headers={"retry-after": "7"})
    stack.on("too fast", ScriptedResponse(error=throttling))
    with pytest.raises(openai.RateLimitError) as error:
        chat.chat.completions.create(model=model, messages=user("too fast"))
    assert error.value.response.headers["retry-after"] == "7"


@EACH
@pytest.mark.parametrize("breaks", ["error", "cut"])
def test_a_broken_stream_ends_in_an_error(
    stack: GatewayStack, chat: openai.OpenAI, model: str, breaks: str
) -> None:
    stack.on(
        f"break {breaks}", ScriptedResponse(text="A long answer that breaks off.", breaks=breaks)
    )
    with pytest.raises(openai.APIError):
        list(
            chat.chat.completions.create(model=model, messages=user(f"break {breaks}"), stream=True)
        )


def test_tokens_are_counted_by_bedrock(stack: GatewayStack, messages: anthropic.Anthropic) -> None:
    count = messages.messages.with_raw_response.count_tokens(
        model="bedrock-claude", messages=user("Count me")
    )
    assert count.headers["x-dragoman-token-count"] == "upstream"
    assert stack.bedrock.requests[-1].path.endswith("/count-tokens")


def test_claude_on_vertex_is_passed_through(
    stack: GatewayStack, messages: anthropic.Anthropic
) -> None:
    response = messages.messages.create(
        model="vertex-claude",
        max_tokens=50,
        messages=user("Hello there"),
        extra_query={"beta": "true"},
    )
    (block,) = response.content
    assert isinstance(block, TextBlock)
    assert block.text == HELLO
    with messages.messages.stream(
        model="vertex-claude", max_tokens=50, messages=user("Hello there")
    ) as stream:
        assert "".join(stream.text_stream) == HELLO
    tokens = [request for request in stack.vertex.requests if request.path == "/token"]
    assert len(tokens) == 1, "one token serves all"


def test_requests_are_translated_for_claude_on_vertex(
    stack: GatewayStack, chat: openai.OpenAI
) -> None:
    response = chat.chat.completions.create(model="vertex-claude", messages=user("Hello there"))
    assert response.choices[0].message.content == HELLO


def test_no_secret_is_returned_or_logged(stack: GatewayStack) -> None:
    response = httpx.get(
        f"{stack.gateway.url}/api/requests",
        params={"limit": 100},
        headers={"authorization": f"Bearer {stack.gateway.key}"},
    )
    for secret in (SECRET, SESSION, BEARER, "PRIVATE KEY", stack.vertex.token):
        assert secret not in response.text
        assert secret not in stack.gateway.output
