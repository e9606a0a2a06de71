"""The official `ollama` SDK on a live gateway: on an Ollama, on Chat and on Messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.e2e.sdk_inputs import PIXEL
from tests.e2e.stack import Gateway, litellm_config
from tests.fakes import Call, Refusal, ScriptedResponse, Server, StrictAnthropic, StrictOpenAI
from tests.fakes.ollama import StrictOllama

pytestmark = pytest.mark.e2e

MODELS = ("llama3.2", "gpt-4o", "claude-sonnet-4-5")
EACH = pytest.mark.parametrize("model", MODELS, ids=["on_ollama", "on_chat", "on_messages"])
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


@dataclass
class GatewayStack:
    """A gateway in front of one provider of each dialect."""

    gateway: Gateway
    local: StrictOllama
    chat: StrictOpenAI
    messages: StrictAnthropic

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Have all providers answer user texts that contain `text` with `response`."""
        for server in (self.local, self.chat, self.messages):
            server.script.on(text, response)

    @property
    def seen(self) -> int:
        """Return how many requests the providers have received."""
        servers: tuple[Server, ...] = (self.local, self.chat, self.messages)
        return sum(len(server.requests) for server in servers)


def row(public: str, model: str, base: str, key: str = "") -> dict[str, Any]:
    params = {"model": model, "api_base": base, **({"api_key": key} if key else {})}
    return {"model_name": public, "litellm_params": params}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with ExitStack() as stack:
        local = stack.enter_context(StrictOllama())
        chat = stack.enter_context(StrictOpenAI())
        messages = stack.enter_context(StrictAnthropic())
        rows = [row(name, f"ollama_chat/{name}", local.url) for name in local.models]
        rows.append(row("gpt-4o", "openai/gpt-4o", f"{chat.url}/v1", chat.key))
        claude = "claude-sonnet-4-5"
        rows.append(row(claude, f"anthropic/{claude}", messages.url, messages.key))
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, local, chat, messages)
        gateway.stop()


@pytest.fixture
def client(stack: GatewayStack) -> Iterator[ollama.Client]:
    headers = {"authorization": f"Bearer {stack.gateway.key}"}
    with ollama.Client(host=stack.gateway.url, headers=headers) as api_client:
        yield api_client


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@EACH
def test_a_complete_response_is_parsed(client: ollama.Client, model: str) -> None:
    response = client.chat(model=model, messages=user("Hello there"))
    assert response.message.content == "Hello from the strict upstream."
    assert (response.done, response.done_reason) == (True, "stop")
    assert (response.prompt_eval_count, response.eval_count) == (11, 23)


@EACH
def test_a_stream_adds_up_to_the_response(client: ollama.Client, model: str) -> None:
    rows = list(client.chat(model=model, messages=user("Hello there"), stream=True))
    assert "".join(r.message.content or "" for r in rows) == "Hello from the strict upstream."
    assert [r.done for r in rows].count(True) == 1
    assert rows[-1].eval_count == 23


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_unicode_line_separators_do_not_split_ndjson_lines(
    stack: GatewayStack, client: ollama.Client, model: str, stream: bool
) -> None:
    """The SDK splits the body with `splitlines`, which also splits at Unicode separators."""
    text = "one\u2028two\u2029three\x85four é 雪"
    prompt = f"Separators, {model} {stream}"
    stack.on(prompt, ScriptedResponse(text=text, calls=(Call("note", {"text": text}),)))
    tools = [{"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}]
    params: dict[str, Any] = {"model": model, "messages": user(prompt), "tools": tools}
    if stream:
        messages = [row.message for row in client.chat(stream=True, **params)]
    else:
        messages = [client.chat(**params).message]
    assert "".join(message.content or "" for message in messages) == text
    (call,) = [call for message in messages for call in message.tool_calls or []]
    assert call.function.arguments == {"text": text}


@EACH
def test_the_host_may_have_a_path(stack: GatewayStack, model: str) -> None:
    headers = {"authorization": f"Bearer {stack.gateway.key}"}
    with ollama.Client(host=f"{stack.gateway.url}/ollama", headers=headers) as client:
        response = client.chat(model=model, messages=user("Hello there"))
    assert response.message.content == "Hello from the strict upstream."


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_parallel_tool_calls_make_a_round_trip(
    stack: GatewayStack, client: ollama.Client, model: str, stream: bool
) -> None:
    prompt = f"Weather of two cities, {model} {stream}"
    calls = tuple(Call("get_weather", {"city": city}) for city in ("Paris", "Rome"))
    stack.on(prompt, ScriptedResponse(text="I will look.", calls=calls))
    params: dict[str, Any] = {"model": model, "tools": [WEATHER]}
    if stream:
        rows = list(client.chat(messages=user(prompt), stream=True, **params))
        tool_calls = [call for r in rows for call in r.message.tool_calls or []]
    else:
        tool_calls = list(client.chat(messages=user(prompt), **params).message.tool_calls or [])
    assert [c.function.arguments for c in tool_calls] == [{"city": "Paris"}, {"city": "Rome"}]
    history = [
        *user(prompt),
        {"role": "assistant", "content": "I will look.", "tool_calls": tool_calls},
        {"role": "tool", "tool_name": "get_weather", "content": "sun"},
        {"role": "tool", "tool_name": "get_weather", "content": "rain"},
    ]
    response = client.chat(messages=history, **params)
    assert response.message.content == "The tools answered: sun | rain"


@EACH
def test_an_ollama_generate_prompt_is_continued(client: ollama.Client, model: str) -> None:
    response = client.generate(model=model, prompt="Hello there", system="Be brief")
    assert response.response == "Hello from the strict upstream."
    rows = list(client.generate(model=model, prompt="Hello there", stream=True))
    assert "".join(r.response or "" for r in rows) == "Hello from the strict upstream."
    assert rows[-1].done


@EACH
def test_images_and_options_arrive(stack: GatewayStack, client: ollama.Client, model: str) -> None:
    prompt = f"What is this, {model}"
    message = {"role": "user", "content": prompt, "images": [PIXEL]}
    client.chat(model=model, messages=[message], options={"num_predict": 77, "num_ctx": 4096})
    servers: tuple[Server, ...] = (stack.local, stack.chat, stack.messages)
    recorded_requests = [
        s for server in servers for s in server.requests if prompt.encode() in s.raw
    ]
    assert PIXEL.encode() in recorded_requests[-1].raw
    assert b"77" in recorded_requests[-1].raw


@EACH
def test_a_refusal_is_an_error(stack: GatewayStack, client: ollama.Client, model: str) -> None:
    prompt = f"Refuse {model}"
    stack.on(prompt, ScriptedResponse(error=Refusal(429, "rate_limit_error", "slow down please")))
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError, match="slow down") as error:
            list(client.chat(model=model, messages=user(prompt), stream=stream))
        assert error.value.status_code == 429


@EACH
@pytest.mark.parametrize("breaks", ["cut", "error"])
def test_a_broken_stream_raises(
    stack: GatewayStack, client: ollama.Client, model: str, breaks: str
) -> None:
    prompt = f"Break by {breaks}"
    text = "A long and winding answer that never ends."
    stack.on(prompt, ScriptedResponse(text=text, breaks=breaks, pace_s=0.02))
    recorded_requests: list[str] = []
    with pytest.raises(ollama.ResponseError):
        for part in client.chat(model=model, messages=user(prompt), stream=True):
            recorded_requests.append(part.message.content or "")
    assert "".join(recorded_requests).startswith("A long")


def test_reasoning_is_separate_from_the_text(stack: GatewayStack, client: ollama.Client) -> None:
    stack.on("Think first", ScriptedResponse(reasoning="Hm.", text="Yes."))
    response = client.chat(model="qwen3", messages=user("Think first"), think=True)
    assert (response.message.thinking, response.message.content) == ("Hm.", "Yes.")


def test_invalid_input_never_reaches_a_provider(stack: GatewayStack, client: ollama.Client) -> None:
    before = stack.seen
    for model in MODELS[1:]:
        with pytest.raises(ollama.ResponseError) as error:
            client.chat(model=model, messages=[{"role": "wizard", "content": "x"}])
        assert error.value.status_code == 400
    assert stack.seen == before


def test_models_are_listed_and_shown(client: ollama.Client) -> None:
    names = {model.model for model in client.list().models}
    assert set(MODELS) <= names
    assert "tools" in (client.show("gpt-4o").capabilities or [])
    assert client.ps().models == []
    with pytest.raises(ollama.ResponseError) as error:
        client.show("no-such-model")
    assert error.value.status_code == 404


def test_a_model_for_embeddings_is_not_shown_as_one_for_chat(
    stack: GatewayStack, client: ollama.Client
) -> None:
    """Clients offer models for chat, and for embeddings, by these fields."""
    assert client.show("nomic-embed-text").capabilities == ["embedding"]
    options = types.HttpOptions(base_url=stack.gateway.url)
    with genai.Client(api_key=stack.gateway.key, vertexai=False, http_options=options) as google:
        model = google.models.get(model="nomic-embed-text")
        chat_model = google.models.get(model="gpt-4o")
    assert model.supported_actions == ["embedContent"]
    assert "generateContent" in (chat_model.supported_actions or [])


def test_ollama_returns_vectors(client: ollama.Client) -> None:
    response = client.embed(model="nomic-embed-text", input=["a", "bbb"], dimensions=3)
    assert [list(v) for v in response.embeddings] == [[1.0, 0.5, 0.5], [3.0, 0.5, 0.5]]


def test_an_unknown_key_is_refused(stack: GatewayStack) -> None:
    headers = {"authorization": "Bearer sk-nobody"}
    with (
        ollama.Client(host=stack.gateway.url, headers=headers) as client,
        pytest.raises(ollama.ResponseError) as error,
    ):
        client.chat(model="gpt-4o", messages=user("Hi"))
    assert error.value.status_code == 401


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_openai_client_calls_tools_of_an_ollama(stack: GatewayStack, stream: bool) -> None:
    prompt = f"Weather by Chat {stream}"
    stack.on(
        prompt, ScriptedResponse(reasoning="Hm.", calls=(Call("get_weather", {"city": "Paris"}),))
    )
    base = f"{stack.gateway.url}/v1"
    params: dict[str, Any] = {"model": "qwen3", "messages": user(prompt), "tools": [WEATHER]}
    with openai.OpenAI(base_url=base, api_key=stack.gateway.key, max_retries=0) as sdk:
        if stream:
            with sdk.chat.completions.stream(**params) as events:
                choice = events.get_final_completion().choices[0]
        else:
            choice = sdk.chat.completions.create(**params).choices[0]
        message: Any = choice.message
        (call,) = message.tool_calls or []
        assert call.function.arguments == '{"city":"Paris"}'
        assert choice.finish_reason == "tool_calls"
        history = [
            *user(prompt),
            {"role": "assistant", "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": "sun"},
        ]
        response = sdk.chat.completions.create(**{**params, "messages": history})
    assert response.choices[0].message.content == "The tools answered: sun"
    assert stack.local.requests[-1].body["messages"][-1]["tool_name"] == "get_weather"


def test_the_management_api_is_not_shadowed_by_ollama_paths(stack: GatewayStack) -> None:
    assert stack.gateway.api("/api/requests", limit=1) is not None
    response = httpx.get(f"{stack.gateway.url}/api/openapi.json", timeout=10)
    assert response.status_code in {200, 401}


def test_a_non_ascii_key_raises_the_authentication_error_of_each_sdk(stack: GatewayStack) -> None:
    def spoil(request: Any) -> None:
        for name in ("authorization", "x-api-key", "x-goog-api-key"):
            if name in request.headers:
                request.headers.encoding = "utf-8"
                request.headers[name] = "sk-schlüssel€"

    url, hooks = stack.gateway.url, {"request": [spoil]}
    http = httpx.Client(event_hooks=hooks)
    with http, pytest.raises(openai.AuthenticationError, match="API key"):
        chat = openai.OpenAI(api_key="x", base_url=f"{url}/v1", http_client=http)
        chat.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
    other = anthropic.DefaultHttpxClient(event_hooks=hooks)
    with other, pytest.raises(anthropic.AuthenticationError, match="API key"):
        claude = anthropic.Anthropic(api_key="x", base_url=url, http_client=other)
        claude.messages.create(
            model="gpt-4o", max_tokens=5, messages=[{"role": "user", "content": "x"}]
        )
    # The SDK leaves a client open that it was given.
    pool = httpx.Client(event_hooks=hooks)
    options = types.HttpOptions(base_url=url, httpx_client=pool)
    with (
        pool,
        genai.Client(api_key="x", vertexai=False, http_options=options) as google,
        pytest.raises(errors.ClientError, match="UNAUTHENTICATED"),
    ):
        google.models.generate_content(model="gpt-4o", contents="x")
    headers = {"authorization": "Bearer x"}
    with (
        ollama.Client(host=url, headers=headers, event_hooks=hooks) as local,
        pytest.raises(ollama.ResponseError, match="API key") as error,
    ):
        local.chat(model="gpt-4o", messages=user("x"))
    assert error.value.status_code == 401
