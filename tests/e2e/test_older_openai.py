"""The official `openai` SDK's legacy completions and embeddings on a live gateway."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.e2e.stack import ROOT, Gateway, litellm_config
from tests.e2e.test_ollama import row
from tests.fakes import Refusal, ScriptedResponse, StrictAnthropic, StrictOpenAI
from tests.fakes.ollama import StrictOllama
from tests.fakes.openai_older import StrictOlderOpenAI

pytestmark = pytest.mark.e2e

INSTRUCT = "gpt-3.5-turbo-instruct"
MODELS = (INSTRUCT, "davinci-002", "gpt-4o", "claude-sonnet-4-5", "llama3.2")
EACH = pytest.mark.parametrize(
    "model",
    MODELS,
    ids=["on_openai", "on_completions", "on_chat", "on_messages", "on_ollama"],
)
SMALL, LOCAL = "text-embedding-3-small", "nomic-embed-text"
BOTH = pytest.mark.parametrize("model", [SMALL, LOCAL], ids=["on_openai", "on_ollama"])


@dataclass
class GatewayStack:
    """A gateway in front of one provider of each dialect."""

    gateway: Gateway
    older: StrictOlderOpenAI
    chat: StrictOpenAI
    messages: StrictAnthropic
    local: StrictOllama

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Have all providers answer prompts that contain `text` with `response`."""
        for server in (self.older, self.chat, self.messages, self.local):
            server.script.on(text, response)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with ExitStack() as stack:
        older = stack.enter_context(StrictOlderOpenAI())
        chat = stack.enter_context(StrictOpenAI())
        messages = stack.enter_context(StrictAnthropic())
        local = stack.enter_context(StrictOllama())
        base, claude = f"{older.url}/v1", "claude-sonnet-4-5"
        rows = [
            row(INSTRUCT, f"openai/{INSTRUCT}", base, older.key),
            row("davinci-002", "text-completion-openai/davinci-002", base, older.key),
            row(SMALL, f"openai/{SMALL}", base, older.key),
            row("gpt-4o", "openai/gpt-4o", f"{chat.url}/v1", chat.key),
            row(claude, f"anthropic/{claude}", messages.url, messages.key),
            row("llama3.2", "ollama/llama3.2", local.url),
            row(LOCAL, f"ollama/{LOCAL}", local.url),
        ]
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config(rows)).start()
        stack.callback(gateway.kill)
        yield GatewayStack(gateway, older, chat, messages, local)
        gateway.stop()


@EACH
def test_a_completions_prompt_is_continued(client: openai.OpenAI, model: str) -> None:
    response = client.completions.create(model=model, prompt="Hello there", max_tokens=50, user="u")
    assert response.choices[0].text == "Hello from the strict upstream."
    assert response.choices[0].finish_reason == "stop"
    assert response.usage is not None
    assert response.usage.total_tokens == 34


@EACH
def test_a_stream_adds_up_to_the_response(client: openai.OpenAI, model: str) -> None:
    chunks = list(
        client.completions.create(
            model=model, prompt="Hello there", stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].text for c in chunks if c.choices)
    assert text == "Hello from the strict upstream."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("model", MODELS[2:])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_several_prompts_are_answered_in_their_order(
    stack: GatewayStack, client: openai.OpenAI, model: str, stream: bool
) -> None:
    stack.on("Count to one", ScriptedResponse(text="1"))
    stack.on("Count to two", ScriptedResponse(text="2"))
    params: Any = {"model": model, "prompt": ["Count to one", "Count to two"]}
    if stream:
        chunks = list(client.completions.create(stream=True, **params))
        pairs = [(c.index, c.text) for chunk in chunks for c in chunk.choices if c.text]
    else:
        pairs = [(c.index, c.text) for c in client.completions.create(**params).choices]
    assert pairs == [(0, "1"), (1, "2")]


@EACH
def test_an_error_raises_the_exception_of_the_sdk(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    prompt = f"Refuse {model}"
    stack.on(prompt, ScriptedResponse(error=Refusal(429, "rate_limit_error", "slow down please")))
    with pytest.raises(openai.RateLimitError, match="slow down"):
        client.completions.create(model=model, prompt=prompt)


@EACH
def test_a_broken_stream_raises(stack: GatewayStack, client: openai.OpenAI, model: str) -> None:
    text = "A long and winding answer that never ends."
    stack.on("Break", ScriptedResponse(text=text, breaks="cut", pace_s=0.02))
    with pytest.raises(openai.APIError):
        list(client.completions.create(model=model, prompt="Break", stream=True))


def test_a_chat_request_reaches_a_completions_model(
    client: openai.OpenAI, stack: GatewayStack
) -> None:
    messages: Any = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]
    response = client.chat.completions.create(model=INSTRUCT, messages=messages)
    assert response.choices[0].message.content == "Hello from the strict upstream."
    assert stack.older.requests[-1].body["prompt"] == "Be brief\n\nUser: Hi\n\nAssistant:"


@BOTH
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_vectors_are_returned_in_each_encoding(
    client: openai.OpenAI, model: str, encoding: Any
) -> None:
    more = {} if encoding is None else {"encoding_format": encoding}
    response = client.embeddings.create(model=model, input=["a", "bbb"], dimensions=3, **more)
    embeddings: list[Any] = [row.embedding for row in response.data]
    if encoding == "base64":
        assert all(isinstance(vector, str) for vector in embeddings)
    else:
        assert embeddings == [[1.0, 0.5, 0.5], [3.0, 0.5, 0.5]]
    assert response.usage.prompt_tokens == 4


@BOTH
def test_the_log_has_the_embedding_request(
    stack: GatewayStack, client: openai.OpenAI, model: str
) -> None:
    raw = client.embeddings.with_raw_response.create(model=model, input="a")
    row_ = stack.gateway.row(raw.headers["x-request-id"])
    assert (row_["status"], row_["endpoint"]) == (200, "/v1/embeddings")


def test_a_probe_uses_the_api_of_each_model(stack: GatewayStack) -> None:
    command = [sys.executable, "manage.py", "probe", INSTRUCT, SMALL, LOCAL]
    environment = stack.gateway.environment()
    environment["DRAGOMAN_DATA_DIR"] = str(stack.gateway.data_dir)
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert [line.split()[0] for line in completed.stdout.splitlines()] == ["ok"] * 3
    assert completed.stdout.count("an embedding of") == 2


def test_token_ids_are_embedded_or_refused_per_provider(client: openai.OpenAI) -> None:
    response = client.embeddings.create(model=SMALL, input=[[1, 2, 3]], encoding_format="float")
    assert response.data[0].embedding[0] == 3.0
    # As LangChain's `OpenAIEmbeddings` sends them by default.
    with pytest.raises(openai.BadRequestError, match="not tokens.*check_embedding_ctx_length"):
        client.embeddings.create(model=LOCAL, input=[[1, 2, 3]])


@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "no-such-model"])
def test_a_model_without_embeddings_returns_an_error(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.APIStatusError) as error:
        client.embeddings.create(model=model, input="a")
    assert error.value.status_code in {400, 404}
