"""Settings of a LiteLLM file that change the upstream request, with a recording upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import openai
import pytest
import redis

from tests.e2e.litellm_gateway import FileConfiguredGateway, running_gateway
from tests.redis_server import RedisServer
from tests.redis_server import running_server as running_redis
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

FILE = """
    model_list:
      - model_name: bare-gemini
        litellm_params:
          model: gemini-2.5-flash
          vertex_project: proj
          vertex_location: europe-west1
          api_base: {url}/v1beta1/projects/proj/locations/europe-west1
          api_key: token
      - model_name: gemini-effort
        litellm_params:
          model: gemini/gemini-2.5-flash
          api_base: {url}
          api_key: k
          reasoning_effort: high
      - model_name: claude-thinking
        litellm_params:
          model: anthropic/claude-sonnet-4-5
          api_base: {url}
          api_key: k
          thinking: {{type: enabled, budget_tokens: 2048}}
      - model_name: claude-effort
        litellm_params:
          model: anthropic/claude-opus-4-6
          api_base: {url}
          api_key: k
          reasoning_effort: low
      - model_name: llama
        litellm_params: {{model: ollama_chat/llama3, api_base: "{url}", num_ctx: 4096}}
      - model_name: private-ca
        litellm_params: {{model: openai/gpt-4o, api_base: "{url}/v1", api_key: k, ssl_verify: false}}
      - model_name: easy
        litellm_params: {{model: openai/small, api_base: "{url}/v1", api_key: k}}
      - model_name: hard
        litellm_params: {{model: openai/large, api_base: "{url}/v1", api_key: k}}
      - model_name: smart
        litellm_params:
          model: auto_router/complexity_router
          complexity_router_config:
            tiers: {{SIMPLE: easy, MEDIUM: easy, COMPLEX: [hard], REASONING: hard}}
            default_model: easy
      - model_name: broken
        litellm_params: {{model: openai/x, order: first}}
    litellm_settings:
      num_retries: 0
      drop_params: true
      callbacks: [prometheus, langfuse, my_module.MyLogger]
      extra_spend_tag_headers: [x-team]
      max_end_user_budget: 1
    router_settings: {{redis_host: 127.0.0.1, redis_port: {redis}}}
    general_settings: {{user_header_name: x-user, master_key: sk-1234}}
"""


class Recorder:
    """An upstream that records requests and refuses them."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.requests.append((self.path, json.loads(body)))
                response = b'{"error": {"message": "recorded", "type": "invalid_request_error"}}'
                self.send_response(400)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(response)))
                self.end_headers()
                self.wfile.write(response)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def configured_gateway(
    upstream: Recorder, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FileConfiguredGateway]:
    text = FILE.format(url=upstream.url, redis=redis_server.port)
    with running_gateway(tmp_path_factory.mktemp("meanings"), text) as gateway:
        yield gateway


def response_and_upstream_request(
    configured_gateway: FileConfiguredGateway,
    upstream: Recorder,
    model: str,
    text: str = "Hello",
    **more: Any,
) -> tuple[str, dict[str, Any]]:
    upstream.requests.clear()
    response = configured_gateway.ask(model, text, **more)
    assert response.status_code == 400, response.text
    return upstream.requests[-1]


def test_a_bare_gemini_with_a_project_is_called_at_vertex(
    configured_gateway: FileConfiguredGateway, upstream: Recorder
) -> None:
    path, _ = response_and_upstream_request(configured_gateway, upstream, "bare-gemini")
    assert path == (
        "/v1beta1/projects/proj/locations/europe-west1/publishers/google/models/"
        "gemini-2.5-flash:generateContent"
    )


def test_a_default_effort_is_translated_like_a_clients(
    configured_gateway: FileConfiguredGateway, upstream: Recorder
) -> None:
    _, as_default = response_and_upstream_request(configured_gateway, upstream, "gemini-effort")
    assert as_default["generationConfig"]["thinkingConfig"]["thinkingBudget"] > 0
    _, by_client = response_and_upstream_request(
        configured_gateway, upstream, "gemini-effort", reasoning_effort="low"
    )
    budget = by_client["generationConfig"]["thinkingConfig"]["thinkingBudget"]
    assert 0 < budget < as_default["generationConfig"]["thinkingConfig"]["thinkingBudget"]
    _, claude = response_and_upstream_request(configured_gateway, upstream, "claude-effort")
    assert claude["output_config"] == {"effort": "low"}


def test_default_thinking_and_context_length_are_sent(
    configured_gateway: FileConfiguredGateway, upstream: Recorder
) -> None:
    _, claude = response_and_upstream_request(
        configured_gateway, upstream, "claude-thinking", max_tokens=4096
    )
    assert claude["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    _, llama = response_and_upstream_request(configured_gateway, upstream, "llama")
    assert llama["options"]["num_ctx"] == 4096


def test_a_complexity_router_selects_the_model_by_the_prompt(
    configured_gateway: FileConfiguredGateway, upstream: Recorder
) -> None:
    assert (
        response_and_upstream_request(
            configured_gateway, upstream, "smart", "hi, what is the time?"
        )[1]["model"]
        == "small"
    )
    hard = "Think step by step and analyze this distributed architecture: compare and contrast."
    assert (
        response_and_upstream_request(configured_gateway, upstream, "smart", hard)[1]["model"]
        == "large"
    )


def test_the_routers_redis_is_used(
    configured_gateway: FileConfiguredGateway, redis_server: RedisServer, upstream: Recorder
) -> None:
    """The gateway's connection is in addition to the test's own."""
    response_and_upstream_request(configured_gateway, upstream, "easy")
    with redis.Redis(port=redis_server.port) as client:
        wait_until(lambda: len(client.client_list()) > 1)


def test_azures_client_reaches_a_model_by_its_deployment(
    configured_gateway: FileConfiguredGateway, upstream: Recorder
) -> None:
    """The SDK defines the paths, the `api-key` header and the `api-version`."""
    upstream.requests.clear()
    with openai.AzureOpenAI(
        azure_endpoint=configured_gateway.url,
        api_key=configured_gateway.key,
        api_version="2024-10-21",
        max_retries=0,
    ) as client:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="easy", messages=[{"role": "user", "content": "Hi"}]
            )
        path, body = upstream.requests[-1]
        assert (path, body["model"]) == ("/v1/chat/completions", "small")
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model="hard", input="x")
        path, body = upstream.requests[-1]
        assert (path, body["model"]) == ("/v1/embeddings", "large")
        assert "smart" in {model.id for model in client.models.list()}
    with (
        openai.AzureOpenAI(
            azure_endpoint=configured_gateway.url,
            api_key="sk-wrong",
            api_version="2024-10-21",
            max_retries=0,
        ) as unknown_client,
        pytest.raises(openai.AuthenticationError),
    ):
        unknown_client.models.list()


def test_unsupported_settings_are_reported_with_advice(
    configured_gateway: FileConfiguredGateway,
) -> None:
    report = configured_gateway.output
    for remark in (
        "its TLS certificates are not verified (ssl_verify)",
        "callbacks[1]: set OTEL_EXPORTER_OTLP_ENDPOINT",
        "callbacks[2]: `my_module.MyLogger` is not loaded",
        "order: must be a number; broken is skipped",
    ):
        assert remark in report, remark
    for supported in ("callbacks[0]", "extra_spend_tag_headers", "end_user", "user_header_name"):
        assert supported not in report, supported
    model_ids = {
        model["id"] for model in configured_gateway.send("GET", "/v1/models").json()["data"]
    }
    assert {"smart", "llama", "bare-gemini"} <= model_ids
    assert "broken" not in model_ids
