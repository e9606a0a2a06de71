"""The official `google-genai` SDK on a live gateway, on providers of three dialects."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests.e2e.sdk_inputs import PIXEL, TWO_CALLS
from tests.e2e.stack import Gateway, litellm_config
from tests.fakes import Refusal, ScriptedResponse, StrictAnthropic, StrictGemini, StrictOpenAI
from tests.fakes.gemini_rules import SENTINEL, signature

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:google"),
]

OWN, OLD, CHAT, CLAUDE = "gemini-3.8-flash", "gemini-2.5-flash", "gpt-4o", "claude-sonnet-4-5"
ALL = pytest.mark.parametrize("model", [OWN, CHAT, CLAUDE], ids=["own", "chat", "messages"])
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather of a city",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={"city": types.Schema(type=types.Type.STRING, nullable=True)},
                required=["city"],
            ),
        )
    ]
)


class GatewayStack:
    """A gateway in front of strict providers of three dialects."""

    def __init__(self, gateway: Gateway, servers: list[Any]) -> None:
        self.gateway = gateway
        self.servers = servers

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Have all providers answer user texts that contain `text` with `response`."""
        for server in self.servers:
            server.script.on(text, response)

    def last(self, text: str) -> Any:
        """Return the newest upstream request with this text."""
        for server in self.servers:
            for request in reversed(server.requests):
                if text.encode() in request.raw:
                    return request
        raise AssertionError(f"no provider saw {text!r}")


def row(public: str, model: str, server: Any, path: str = "") -> dict[str, Any]:
    base = f"{server.url}{path}"
    params = {"model": model, "api_base": base, "api_key": server.key, "max_retries": 0}
    return {"model_name": public, "litellm_params": params}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with StrictGemini() as gemini_server, StrictOpenAI() as chat, StrictAnthropic() as claude:
        rows = [
            row(OWN, f"gemini/{OWN}", gemini_server),
            row(OLD, f"gemini/{OLD}", gemini_server, "/v1beta"),
            row(CHAT, f"openai/{CHAT}", chat, "/v1"),
            row(CLAUDE, f"anthropic/{CLAUDE}", claude),
        ]
        gateway = Gateway(tmp_path_factory.mktemp("gemini"), litellm_config(rows)).start()
        try:
            yield GatewayStack(gateway, [gemini_server, chat, claude])
            gateway.stop()
        finally:
            gateway.kill()


@pytest.fixture
def client(stack: GatewayStack) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=stack.gateway.url)
    with genai.Client(
        api_key=stack.gateway.key, vertexai=False, http_options=options
    ) as api_client:
        yield api_client


def user_content(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


@ALL
def test_a_complete_response_is_parsed(client: genai.Client, model: str) -> None:
    response = client.models.generate_content(model=model, contents="Hello there")
    assert response.text == "Hello from the strict upstream."
    assert response.candidates is not None
    assert response.candidates[0].finish_reason == types.FinishReason.STOP
    usage = response.usage_metadata
    assert usage is not None
    assert usage.prompt_token_count == 11
    assert usage.total_token_count == 34


@ALL
def test_a_stream_adds_up_to_the_response(client: genai.Client, model: str) -> None:
    chunks = list(client.models.generate_content_stream(model=model, contents="Hello there"))
    assert "".join(chunk.text or "" for chunk in chunks) == "Hello from the strict upstream."
    last = chunks[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.total_token_count == 34


@ALL
async def test_the_asynchronous_client_streams(stack: GatewayStack, model: str) -> None:
    options = types.HttpOptions(base_url=stack.gateway.url, api_version="v1")
    client = genai.Client(api_key=stack.gateway.key, vertexai=False, http_options=options).aio
    stream = await client.models.generate_content_stream(model=model, contents="Hello there")
    text = "".join([chunk.text or "" async for chunk in stream])
    await client.aclose()
    assert text == "Hello from the strict upstream."


@ALL
def test_without_sse_the_stream_is_one_array(stack: GatewayStack, model: str) -> None:
    url = f"{stack.gateway.url}/v1beta/models/{model}:streamGenerateContent"
    body = {"contents": [{"parts": [{"text": "Hello there"}]}]}
    response = httpx.post(url, json=body, params={"key": stack.gateway.key})
    assert response.headers["content-type"].startswith("application/json")
    chunks = response.json()
    assert len(chunks) > 2
    texts = [part["text"] for c in chunks for part in c["candidates"][0]["content"]["parts"]]
    assert "".join(texts) == "Hello from the strict upstream."


@ALL
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_parallel_calls_make_a_round_trip(
    stack: GatewayStack, client: genai.Client, model: str, stream: bool
) -> None:
    prompt = f"Weather of two cities, {model} {stream}"
    stack.on(prompt, ScriptedResponse(text="I will look.", calls=TWO_CALLS, reasoning="Hm."))
    config = types.GenerateContentConfig(
        system_instruction="Be brief.", tools=[WEATHER], temperature=0.5, max_output_tokens=4000
    )
    config.automatic_function_calling = types.AutomaticFunctionCallingConfig(disable=True)
    params: dict[str, Any] = {"model": model, "config": config}
    if stream:
        chunks = list(
            client.models.generate_content_stream(contents=[user_content(prompt)], **params)
        )
    else:
        chunks = [client.models.generate_content(contents=[user_content(prompt)], **params)]
    parts = [p for c in chunks for p in c.candidates[0].content.parts or []]  # type: ignore[union-attr, index]
    parts = [part for part in parts if part.text != ""]
    calls = [part.function_call for part in parts if part.function_call]
    assert [(call.id, call.args) for call in calls] == [
        ("toolu_a", {"city": "Paris"}),
        ("toolu_b", {"city": "Rome"}),
    ]
    results = [
        types.Part.from_function_response(name="get_weather", response={"output": word})
        for word in ("sun", "rain")
    ]
    history = [
        user_content(prompt),
        types.Content(role="model", parts=parts),
        types.Content(role="user", parts=results),
    ]
    second = client.models.generate_content(contents=history, **params)
    assert second.text == "The tools answered: sun | rain"


def test_a_signature_returns_to_its_model_through_a_chat_client(stack: GatewayStack) -> None:
    prompt = "Weather through Chat"
    stack.on(prompt, ScriptedResponse(calls=TWO_CALLS))
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
    user = {"role": "user", "content": prompt}
    body: dict[str, Any] = {"model": OWN, "messages": [user], "tools": [tool]}
    headers = {"authorization": f"Bearer {stack.gateway.key}"}
    url = f"{stack.gateway.url}/v1/chat/completions"
    message = httpx.post(url, json=body, headers=headers).json()["choices"][0]["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": "sun"}
        for call in message["tool_calls"]
    ]
    body["messages"] = [user, message, *results]
    response = httpx.post(url, json=body, headers=headers)
    assert response.status_code == 200
    upstream_parts = stack.last(prompt).body["contents"][1]["parts"]
    assert upstream_parts[0]["thoughtSignature"] == signature("get_weather")
    body["messages"] = [
        user,
        {**message, "tool_calls": [{**c, "extra_content": None} for c in message["tool_calls"]]},
        *results,
    ]
    # The gateway remembers what the client has lost, as long as it is the same conversation.
    assert httpx.post(url, json=body, headers=headers).status_code == 200
    upstream_parts = stack.last(prompt).body["contents"][1]["parts"]
    assert upstream_parts[0]["thoughtSignature"] == signature("get_weather")
    text = json.dumps(body).replace("toolu_", "else_").replace(prompt, f"{prompt}, but another")
    assert httpx.post(url, json=json.loads(text), headers=headers).status_code == 200
    upstream_parts = stack.last("but another").body["contents"][1]["parts"]
    assert upstream_parts[0]["thoughtSignature"] == SENTINEL


def test_a_signature_returns_to_its_model_through_a_messages_client(stack: GatewayStack) -> None:
    prompt = "Weather through Messages"
    stack.on(prompt, ScriptedResponse(calls=TWO_CALLS, reasoning="Hm."))
    tool = {"name": "get_weather", "input_schema": {"type": "object"}}
    user = {"role": "user", "content": prompt}
    body: dict[str, Any] = {
        "model": OWN,
        "max_tokens": 4000,
        "messages": [user],
        "tools": [tool],
        "thinking": {"type": "adaptive"},
    }
    headers = {"x-api-key": stack.gateway.key, "anthropic-version": "2023-06-01"}
    url = f"{stack.gateway.url}/v1/messages"
    content = httpx.post(url, json=body, headers=headers).json()["content"]
    assert [block["type"] for block in content] == ["thinking", "tool_use", "tool_use"]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "sun"}
        for block in content[1:]
    ]
    body["messages"] = [
        user,
        {"role": "assistant", "content": content},
        {"role": "user", "content": results},
    ]
    assert httpx.post(url, json=body, headers=headers).status_code == 200
    upstream_parts = stack.last(prompt).body["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in upstream_parts] == [
        None,
        signature("get_weather"),
        None,
    ]


@ALL
def test_an_image_reaches_the_provider(
    stack: GatewayStack, client: genai.Client, model: str
) -> None:
    prompt = f"What is on it, {model}?"
    image = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    client.models.generate_content(model=model, contents=[prompt, image])
    assert PIXEL.encode() in stack.last(prompt).raw.replace(b"-", b"+").replace(b"_", b"/")


@ALL
def test_structured_output_is_parsed(stack: GatewayStack, client: genai.Client, model: str) -> None:
    prompt = f"The largest city, {model}, as json"
    stack.on(prompt, ScriptedResponse(text='{"name":"Tokyo"}'))
    schema = types.Schema(
        type=types.Type.OBJECT,
        properties={"name": types.Schema(type=types.Type.STRING)},
        required=["name"],
    )
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=schema
    )
    response = client.models.generate_content(model=model, contents=prompt, config=config)
    assert response.parsed == {"name": "Tokyo"}
    assert b'"name"' in stack.last(prompt).raw


@pytest.mark.parametrize("model", [OLD, CLAUDE])
def test_reasoning_is_returned_on_request(
    stack: GatewayStack, client: genai.Client, model: str
) -> None:
    prompt = f"Think, {model}"
    stack.on(prompt, ScriptedResponse(text="Done.", reasoning="Let me see."))
    for include_thoughts in (True, False):
        thinking = types.ThinkingConfig(thinking_budget=2048, include_thoughts=include_thoughts)
        config = types.GenerateContentConfig(thinking_config=thinking, max_output_tokens=5000)
        response = client.models.generate_content(model=model, contents=prompt, config=config)
        parts = response.candidates[0].content.parts or []  # type: ignore[union-attr, index]
        thoughts = [part.text for part in parts if part.thought and part.text]
        assert thoughts == (["Let me see."] if include_thoughts else [])
        assert response.text == "Done."


@ALL
def test_tokens_are_counted(client: genai.Client, model: str) -> None:
    counted = client.models.count_tokens(model=model, contents="Hello there")
    assert counted.total_tokens is not None
    assert counted.total_tokens > 0


def test_the_models_are_listed(client: genai.Client) -> None:
    names = [model.name for model in client.models.list(config={"page_size": 2})]
    assert f"models/{CLAUDE}" in names
    assert f"models/{OWN}" in names
    model = client.models.get(model=OWN)
    assert model.input_token_limit == 1_048_576


@ALL
def test_errors_are_the_sdks_own(stack: GatewayStack, client: genai.Client, model: str) -> None:
    with pytest.raises(errors.ClientError) as missing:
        client.models.generate_content(model="nobody", contents="x")
    assert (missing.value.code, missing.value.status) == (404, "NOT_FOUND")
    word = {OWN: "UNAVAILABLE", CHAT: "server_error", CLAUDE: "overloaded_error"}[model]
    stack.on(f"Overloaded, {model}", ScriptedResponse(error=Refusal(503, word, "too many")))
    with pytest.raises(errors.ServerError) as busy:
        client.models.generate_content(model=model, contents=f"Overloaded, {model}")
    assert (busy.value.code, busy.value.status) == (503, "UNAVAILABLE")
    stack.on(
        f"Slow down, {model}", ScriptedResponse(error=Refusal(429, "rate_limit_error", "slow down"))
    )
    with pytest.raises(errors.ClientError) as error_info:
        client.models.generate_content(model=model, contents=f"Slow down, {model}")
    assert error_info.value.code == 429


@ALL
def test_a_broken_stream_raises(stack: GatewayStack, client: genai.Client, model: str) -> None:
    stack.on(f"Break, {model}", ScriptedResponse(text="This will never be whole.", breaks="error"))
    stream = client.models.generate_content_stream(model=model, contents=f"Break, {model}")
    with pytest.raises(errors.APIError):
        list(stream)


def test_a_wrong_key_is_refused(stack: GatewayStack) -> None:
    options = types.HttpOptions(base_url=stack.gateway.url)
    with (
        genai.Client(api_key="no", vertexai=False, http_options=options) as client,
        pytest.raises(errors.ClientError) as error,
    ):
        client.models.generate_content(model=OWN, contents="x")
    assert (error.value.code, error.value.status) == (401, "UNAUTHENTICATED")


def test_passthrough_bodies_are_unchanged(stack: GatewayStack) -> None:
    url = f"{stack.gateway.url}/v1beta/models/{OWN}:generateContent"
    body = {
        "contents": [{"role": "user", "parts": [{"text": "Passed through"}]}],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
    }
    response = httpx.post(
        url, content=json.dumps(body), headers={"x-goog-api-key": stack.gateway.key}
    )
    assert response.status_code == 200
    assert response.json()["responseId"] == "up1"
    assert stack.last("Passed through").body == body


def test_texts_are_embedded(stack: GatewayStack, client: genai.Client) -> None:
    embed_content = client.models.embed_content(
        model=OWN,
        contents=[user_content("a"), user_content("b")],
        config=types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=2),
    )
    vectors = [item.values for item in embed_content.embeddings or []]
    assert vectors == [[0.0, 1.0], [1.0, 1.0]]
    upstream_requests = stack.servers[0].requests[-1].body["requests"]
    assert [upstream_request["model"] for upstream_request in upstream_requests] == [
        f"models/{OWN}"
    ] * 2
    assert [upstream_request["taskType"] for upstream_request in upstream_requests] == [
        "RETRIEVAL_QUERY"
    ] * 2
    url = f"{stack.gateway.url}/v1/embeddings"
    headers = {"authorization": f"Bearer {stack.gateway.key}"}
    body = {"model": OWN, "input": "a", "dimensions": 2}
    response = httpx.post(url, json=body, headers=headers).json()
    assert response["data"][0]["embedding"] == [0.0, 1.0]
