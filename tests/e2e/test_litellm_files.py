"""LiteLLM's files on a live gateway: fallbacks, retries, weights, cache and budgets.

The first three are users' guides, unchanged; the others are the examples of docs.litellm.ai
(proxy/reliability, routing, proxy/caching, proxy/virtual_keys) with the URLs of fakes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import anthropic
import openai
import pytest

from tests.e2e.litellm_gateway import (
    BUSY,
    DOWN,
    AzureUpstream,
    FileConfiguredGateway,
    Upstream,
    count_responses,
    forwarded_port,
    running_gateway,
    upstreams,
)
from tests.fakes import Refusal, ScriptedResponse
from tests.fakes.ollama import StrictOllama
from tests.fakes.openai import KEY
from tests.litellm.test_seeds import SEVERAL, SIMPLE, SWITCHABLE
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

TOO_LONG = Refusal(
    400,
    "invalid_request_error",
    "This model's maximum context length is 8192 tokens. However, your messages resulted in "
    "9000 tokens. Please reduce the length of the messages.",
    "context_length_exceeded",
    "messages",
)
FILTERED = Refusal(
    400,
    "invalid_request_error",
    "Your request was rejected as a result of our safety system.",
    "content_policy_violation",
)


# --- the guides' files ------------------------------------------------------------------


def test_the_simple_file_serves_both_kinds_of_clients(tmp_path: Path) -> None:
    with upstreams("openai") as servers:
        upstream = servers["openai"]
        base = {"OPENAI_API_KEY": upstream.key, "OPENAI_API_BASE": f"{upstream.url}/v1"}
        with running_gateway(tmp_path, SIMPLE, **base) as gateway:
            for model in ("gpt-4o", "gpt-4o-mini", "o1", "o1-mini"):
                assert gateway.response_text(model, max_completion_tokens=50) == "openai"
                assert upstream.requests[-1].body["model"] == model
            # What the guide is for: an agent of Anthropic's on a model of OpenAI's.
            with anthropic.Anthropic(base_url=gateway.url, api_key="sk-1234") as client:
                message = client.messages.create(
                    model="gpt-4o", max_tokens=50, messages=[{"role": "user", "content": "Hi"}]
                )
            assert message.content[0].text == "openai"  # type: ignore[union-attr]
            assert gateway.ask("gpt-4o", key="sk-wrong").status_code == 401
            assert gateway.ask("gpt-5-turbo").status_code == 404


def test_the_file_of_several_providers_reaches_each_of_them(tmp_path: Path) -> None:
    with ExitStack() as stack:
        chat, azure = stack.enter_context(Upstream()), stack.enter_context(AzureUpstream())
        ollama = stack.enter_context(StrictOllama())
        ollama.models = ("llama3",)
        chat.script.on("", ScriptedResponse(text="openai"))
        azure.script.on("", ScriptedResponse(text="azure"))
        is_forwarded = stack.enter_context(forwarded_port(11434, ollama.port))
        environ = {
            "OPENAI_API_KEY": chat.key,
            "OPENAI_API_BASE": f"{chat.url}/v1",
            "AZURE_API_BASE": azure.url,
            "AZURE_API_KEY": azure.key,
        }
        gateway = stack.enter_context(running_gateway(tmp_path, SEVERAL, **environ))
        assert gateway.response_text("gpt-4o") == "openai"
        assert gateway.response_text("azure-gpt-4") == "azure"
        if is_forwarded:
            ollama.script.on("", ScriptedResponse(text="ollama"))
            assert gateway.response_text("llama3") == "ollama"


def test_the_model_switching_file_drops_unsupported_parameters(tmp_path: Path) -> None:
    with upstreams("openai") as servers:
        upstream = servers["openai"]
        base = {"OPENAI_API_KEY": upstream.key, "OPENAI_API_BASE": f"{upstream.url}/v1"}
        with (
            running_gateway(tmp_path, SWITCHABLE, key="sk-anything", **base) as gateway,
            anthropic.Anthropic(base_url=gateway.url, api_key="sk-anything") as client,
        ):
            message = client.messages.create(
                model="gpt-4o",
                max_tokens=2000,
                thinking={"type": "enabled", "budget_tokens": 1024},
                messages=[{"role": "user", "content": "Hi"}],
            )
            assert message.content[0].text == "openai"  # type: ignore[union-attr]
            upstream_body = upstream.requests[-1].body
            assert "thinking" not in upstream_body
            assert "reasoning_effort" not in upstream_body
            assert gateway.send("GET", "/v1/models").json()["data"][0]["id"] == "deepseek-chat"


# --- one file for reliability -----------------------------------------------------------

RELIABLE = """
    model_list:
      - model_name: zephyr-beta
        litellm_params:
          model: openai/gpt-4o
          api_base: {one}/v1
          api_key: {key}
          rpm: 60
      - model_name: zephyr-beta
        litellm_params:
          model: openai/gpt-4o
          api_base: {two}/v1
          api_key: {key}
          rpm: 600
      - model_name: primary
        litellm_params:
          model: openai/gpt-4
          api_base: {primary}/v1
          api_key: {key}
      - model_name: without-fallbacks
        litellm_params:
          model: openai/gpt-3.5-turbo
          api_base: {primary}/v1
          api_key: {key}
      - model_name: ordered
        litellm_params:
          model: openai/gpt-4o
          api_base: {primary}/v1
          api_key: {key}
          order: 1
      - model_name: ordered
        litellm_params:
          model: openai/gpt-4o
          api_base: {backup}/v1
          api_key: {key}
          order: 2
      - model_name: backup
        litellm_params:
          model: openai/gpt-4.1
          api_base: {backup}/v1
          api_key: {key}
      - model_name: larger
        litellm_params:
          model: openai/gpt-4.1
          api_base: {larger}/v1
          api_key: {key}
      - model_name: tolerant
        litellm_params:
          model: openai/gpt-4.1
          api_base: {tolerant}/v1
          api_key: {key}

    litellm_settings:
      num_retries: 2
      request_timeout: 10
      fallbacks: [{{"primary": ["backup"]}}]
      context_window_fallbacks: [{{"primary": ["larger"]}}]
      content_policy_fallbacks: [{{"primary": ["tolerant"]}}]
      default_fallbacks: ["larger"]

    router_settings:
      disable_cooldowns: true
      routing_strategy: simple-shuffle
      model_group_alias: {{"gpt-4-alias": "backup"}}

    general_settings:
      master_key: sk-1234
"""
NAMES = ("one", "two", "primary", "backup", "larger", "tolerant")


@pytest.fixture(scope="module")
def reliable(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FileConfiguredGateway, dict[str, Upstream]]]:
    with upstreams(*NAMES) as servers:
        urls = {name: server.url for name, server in servers.items()}
        text = RELIABLE.format(key=KEY, **urls)
        with running_gateway(tmp_path_factory.mktemp("reliable"), text) as gateway:
            yield gateway, servers


@pytest.fixture
def healthy(
    reliable: tuple[FileConfiguredGateway, dict[str, Upstream]],
) -> tuple[FileConfiguredGateway, dict[str, Upstream]]:
    for server in reliable[1].values():
        server.recover()
    return reliable


GatewayStack = tuple[FileConfiguredGateway, dict[str, Upstream]]


def test_deployments_share_the_traffic_by_their_rpm(healthy: GatewayStack) -> None:
    gateway, _ = healthy
    drawn = count_responses(gateway, "zephyr-beta", 220)
    assert drawn["one"] + drawn["two"] == 220
    assert 2 <= drawn["one"] <= 45  # a binomial draw of 1 in 11: 20, give or take 4.3


def test_a_model_is_retried_before_its_fallback_is_called(healthy: GatewayStack) -> None:
    """proxy/reliability: `num_retries: 2` means three calls of each model_name."""
    gateway, upstreams = healthy
    upstreams["primary"].fail(DOWN, times=2)
    assert gateway.response_text("primary", "Twice in vain") == "primary"
    assert upstreams["primary"].request_count("Twice in vain") == 3
    upstreams["primary"].fail(DOWN)
    assert gateway.response_text("primary", "For ever") == "backup"
    assert (
        upstreams["primary"].request_count("For ever"),
        upstreams["backup"].request_count("For ever"),
    ) == (3, 1)


def test_another_model_answers_for_one_that_is_down(healthy: GatewayStack) -> None:
    gateway, upstreams = healthy
    upstreams["primary"].fail(DOWN)
    response = gateway.ask("primary")
    assert response.json()["choices"][0]["message"]["content"] == "backup"
    # Clients read which deployment it was in the headers, as LiteLLM's do.
    assert "gpt-4.1" in response.headers["x-dragoman-target"]
    assert upstreams["backup"].requests[-1].body["model"] == "gpt-4.1"


def test_a_stream_falls_back_before_its_first_frame(healthy: GatewayStack) -> None:
    gateway, upstreams = healthy
    upstreams["primary"].fail(DOWN)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-1234", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="primary", messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert text == "backup"


@pytest.mark.parametrize(
    ("text", "refusal", "answerer"),
    [("Too long", TOO_LONG, "larger"), ("Not allowed", FILTERED, "tolerant")],
    ids=["context window", "content policy"],
)
def test_a_refusal_of_the_request_has_its_own_fallback(
    healthy: GatewayStack, text: str, refusal: Refusal, answerer: str
) -> None:
    gateway, upstreams = healthy
    upstreams["primary"].fail(refusal)
    assert gateway.response_text("primary", text) == answerer
    # The same request would be refused again: it is not retried.
    assert upstreams["primary"].request_count(text) <= 1
    assert upstreams["backup"].request_count(text) == 0


def test_the_default_fallback_is_for_models_without_their_own(healthy: GatewayStack) -> None:
    gateway, upstreams = healthy
    upstreams["primary"].fail(DOWN)
    assert gateway.response_text("without-fallbacks") == "larger"


def test_the_lower_order_is_tried_first(healthy: GatewayStack) -> None:
    gateway, upstreams = healthy
    upstreams["primary"].fail(DOWN)
    assert gateway.response_text("ordered", "Next order") == "backup"
    assert upstreams["larger"].request_count("Next order") == 0


def test_a_model_group_alias_is_another_name(healthy: GatewayStack) -> None:
    gateway, _ = healthy
    assert gateway.response_text("gpt-4-alias") == "backup"
    (row,) = gateway.send("GET", "/model_group/info", params={"model_group": "gpt-4-alias"}).json()[
        "data"
    ]
    assert row["model_group"] == "gpt-4-alias"


# --- retries ----------------------------------------------------------------------------

RETRIED = """
    model_list:
      - model_name: flaky
        litellm_params:
          model: openai/gpt-4o-mini
          api_base: {one}/v1
          api_key: {key}
      - model_name: strict
        litellm_params:
          model: openai/gpt-4o
          api_base: {two}/v1
          api_key: {key}
    litellm_settings:
      num_retries: 2
    router_settings:
      disable_cooldowns: true
      retry_after: 0
      model_group_retry_policy:
        strict: {{RateLimitErrorRetries: 0, InternalServerErrorRetries: 1}}
    general_settings:
      master_key: sk-1234
"""


@pytest.fixture(scope="module")
def retried(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FileConfiguredGateway, dict[str, Upstream]]]:
    with upstreams("one", "two") as servers:
        urls = {name: server.url for name, server in servers.items()}
        with running_gateway(
            tmp_path_factory.mktemp("retried"), RETRIED.format(key=KEY, **urls)
        ) as gateway:
            yield gateway, servers


@pytest.mark.parametrize(
    ("model", "name", "refusal", "times", "status", "calls"),
    [
        ("flaky", "one", DOWN, 2, 200, 3),
        ("flaky", "one", DOWN, 9, 503, 3),
        ("flaky", "one", BUSY, 2, 200, 3),
        ("flaky", "one", TOO_LONG, 1, 400, 1),
        ("strict", "two", BUSY, 9, 429, 1),
        ("strict", "two", DOWN, 1, 200, 2),
        ("strict", "two", DOWN, 9, 503, 2),
    ],
)
def test_failures_are_retried_as_often_as_configured(
    retried: GatewayStack,
    model: str,
    name: str,
    refusal: Refusal,
    times: int,
    status: int,
    calls: int,
) -> None:
    gateway, upstreams = retried
    upstreams[name].recover()
    upstreams[name].fail(refusal, times)
    response = gateway.ask(model)
    assert response.status_code == status, response.text
    assert len(upstreams[name].requests) == calls
    upstreams[name].recover()


# --- rests ------------------------------------------------------------------------------

RESTING = """
    model_list:
      - model_name: pair
        litellm_params:
          model: openai/gpt-4o
          api_base: {one}/v1
          api_key: {key}
          weight: 3
      - model_name: pair
        litellm_params:
          model: openai/gpt-4o
          api_base: {two}/v1
          api_key: {key}
          weight: 1
    router_settings:
      num_retries: 0
      allowed_fails: 3
      cooldown_time: 3
    general_settings:
      master_key: sk-1234
"""


def test_a_deployment_that_fails_too_often_is_in_cooldown(tmp_path: Path) -> None:
    """`allowed_fails` 3: the fourth failure starts the cooldown, `cooldown_time` ends it."""
    with upstreams("one", "two") as servers:
        server = servers["one"]
        text = RESTING.format(key=KEY, one=server.url, two=servers["two"].url)
        with running_gateway(tmp_path, text) as gateway:
            drawn = count_responses(gateway, "pair", 120)
            assert 70 <= drawn["one"] <= 108  # 3 in 4: 90, give or take 4.7
            server.fail(DOWN)
            server.requests.clear()
            start = time.monotonic()
            assert count_responses(gateway, "pair", 60) == {"two": 60}
            # The fourth, and who looks after each rest.
            assert len(server.requests) <= 5 + (time.monotonic() - start) // 3
            server.recover()
            wait_until(lambda: gateway.response_text("pair") == "one")
            assert count_responses(gateway, "pair", 40)["one"] > 15


# --- cache and budgets ------------------------------------------------------------------

SAVED_CONFIG = """
    model_list:
      - model_name: gpt-4o
        litellm_params:
          model: openai/gpt-4o
          api_base: {one}/v1
          api_key: {key}
          input_cost_per_token: 0.001
          output_cost_per_token: 0.002
      - model_name: other
        litellm_params:
          model: openai/gpt-4o-mini
          api_base: {one}/v1
          api_key: {key}

    litellm_settings:
      cache: true
      cache_params:
        type: local
        ttl: 4
        supported_call_types: ["acompletion", "completion"]

    general_settings:
      master_key: sk-1234
"""
# 11 tokens in and 23 out, by the prices of the file.
RESPONSE_USD = 11 * 0.001 + 23 * 0.002


@pytest.fixture(scope="module")
def saved_gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FileConfiguredGateway, Upstream]]:
    with upstreams("one") as servers:
        text = SAVED_CONFIG.format(key=KEY, one=servers["one"].url)
        with running_gateway(tmp_path_factory.mktemp("kept"), text) as gateway:
            yield gateway, servers["one"]


def test_a_response_is_cached_for_its_ttl(
    saved_gateway: tuple[FileConfiguredGateway, Upstream],
) -> None:
    gateway, upstream = saved_gateway
    key = gateway.new_key()
    for _ in range(3):
        assert gateway.response_text("gpt-4o", "Keep me", key=key) == "one"
    assert upstream.request_count("Keep me") == 1
    gateway.response_text("gpt-4o", "Keep me", key=key, temperature=0.5)
    assert upstream.request_count("Keep me") == 2
    time.sleep(4.5)
    gateway.response_text("gpt-4o", "Keep me", key=key)
    assert upstream.request_count("Keep me") == 3


def test_a_request_may_bypass_the_cache(
    saved_gateway: tuple[FileConfiguredGateway, Upstream],
) -> None:
    """docs.litellm.ai/docs/proxy/caching: `cache: {"no-cache": true}` in the body."""
    gateway, upstream = saved_gateway
    for _ in range(2):
        gateway.response_text("gpt-4o", "Never kept", cache={"no-cache": True})
    assert upstream.request_count("Never kept") == 2
    assert "cache" not in upstream.requests[-1].body


def test_a_cached_response_costs_nothing(
    saved_gateway: tuple[FileConfiguredGateway, Upstream],
) -> None:
    gateway, _ = saved_gateway
    key = gateway.new_key(key_alias="cheap")
    for _ in range(4):
        gateway.response_text("gpt-4o", "Cheap words", key=key)
    assert _spend(gateway, key, RESPONSE_USD) == pytest.approx(RESPONSE_USD)


def test_a_keys_budget_ends_its_traffic(
    saved_gateway: tuple[FileConfiguredGateway, Upstream],
) -> None:
    gateway, upstream = saved_gateway
    budget = RESPONSE_USD * 1.5
    key = gateway.new_key(key_alias="poor", max_budget=budget, budget_duration="30d")
    responses = [gateway.ask("gpt-4o", f"Spend {n}", key=key, max_tokens=23) for n in range(4)]
    statuses = [response.status_code for response in responses]
    assert statuses[0] == 200
    assert set(statuses[2:]) == {429}
    assert upstream.request_count("Spend 3") == 0
    spent = _spend(gateway, key, RESPONSE_USD)
    assert spent <= budget + RESPONSE_USD
    rows = gateway.send("GET", "/spend/logs", params={"api_key": key}).json()
    assert sum(row["spend"] for row in rows) == pytest.approx(spent)
    assert {row["status"] for row in rows} == {"success", "failure"}

    gateway.send("POST", "/key/update", {"key": key, "max_budget": 1000})
    _wait_until_admitted(gateway, key, "Rich again")


def test_a_keys_limits_are_enforced(saved_gateway: tuple[FileConfiguredGateway, Upstream]) -> None:
    gateway, _ = saved_gateway
    key = gateway.new_key(rpm_limit=2)
    responses = [gateway.ask("other", f"Limited {n}", key=key) for n in range(3)]
    assert [response.status_code for response in responses] == [200, 200, 429]
    assert int(responses[2].headers["retry-after"]) >= 1


def test_a_key_uses_only_its_models(saved_gateway: tuple[FileConfiguredGateway, Upstream]) -> None:
    gateway, _ = saved_gateway
    key = gateway.new_key(models=["other"])
    assert gateway.response_text("other", key=key) == "one"
    assert gateway.ask("gpt-4o", key=key).status_code == 403
    names = [
        row["model_name"] for row in gateway.send("GET", "/model/info", key=key).json()["data"]
    ]
    assert names == ["other"]


def test_a_key_ends_with_its_duration(
    saved_gateway: tuple[FileConfiguredGateway, Upstream],
) -> None:
    gateway, _ = saved_gateway
    key = gateway.new_key(duration="5s")
    wait_until(lambda: gateway.ask("other", key=key).status_code == 401)


def test_a_deleted_key_is_refused(saved_gateway: tuple[FileConfiguredGateway, Upstream]) -> None:
    gateway, _ = saved_gateway
    key = gateway.new_key()
    gateway.send("POST", "/key/delete", {"keys": [key]})
    wait_until(lambda: gateway.ask("other", key=key).status_code == 401)


def test_clients_get_the_prices_of_the_file(
    saved_gateway: tuple[FileConfiguredGateway, Upstream],
) -> None:
    gateway, _ = saved_gateway
    data = gateway.send("GET", "/v1/model/info").json()["data"]
    info = next(row["model_info"] for row in data if row["model_name"] == "gpt-4o")
    assert info["input_cost_per_token"] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/health/liveliness", "I'm alive!"),
        ("/health/liveness", "I'm alive!"),
        ("/health/readiness", {"status": "healthy", "db": "connected"}),
    ],
)
def test_liveness_has_litellms_format(
    saved_gateway: tuple[FileConfiguredGateway, Upstream], path: str, body: object
) -> None:
    response = saved_gateway[0].send("GET", path, key="none")
    assert (response.status_code, response.json()) == (200, body)


def _spend(gateway: FileConfiguredGateway, key: str, least: float) -> float:
    """Return the key's spend once the log has it."""
    gateway.wait_for_log()
    info = gateway.send("GET", "/key/info", params={"key": key}).json()["info"]
    assert info["spend"] >= least * 0.999, info
    return float(info["spend"])


def _wait_until_admitted(gateway: FileConfiguredGateway, key: str, text: str) -> None:
    """Wait until a request of the key is admitted."""
    wait_until(lambda: gateway.ask("gpt-4o", text, key=key, max_tokens=23).status_code == 200)
