"""Limits and budgets of LiteLLM's files: of deployments, providers, keys and the proxy.

The files are examples of docs.litellm.ai (routing, proxy/load_balancing, proxy/users,
proxy/provider_budget_routing) with the URLs of fakes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.litellm_gateway import FileConfiguredGateway, Upstream, running_gateway, upstreams
from tests.fakes.openai import KEY
from tests.waits import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GatewayStack = tuple[FileConfiguredGateway, dict[str, Upstream]]

GUARDED = """
    credential_list:
      - credential_name: shared
        credential_values:
          api_base: {one}/v1
          api_key: {key}

    model_list:
      - model_name: pair
        litellm_params:
          model: openai/gpt-4o
          litellm_credential_name: shared
          rpm: 2
      - model_name: pair
        litellm_params:
          model: openai/gpt-4o
          api_base: {two}/v1
          api_key: {key}
      - model_name: alone
        litellm_params:
          model: openai/gpt-4o-mini
          litellm_credential_name: shared
          rpm: 1
      - model_name: dear
        litellm_params:
          model: openai/gpt-4
          litellm_credential_name: shared
          input_cost_per_token: 0.001
          output_cost_per_token: 0.002
          max_budget: 0.000000000001
          budget_duration: 1d
          order: 1
      - model_name: dear
        litellm_params:
          model: openai/gpt-4
          api_base: {two}/v1
          api_key: {key}
          order: 2
      - model_name: grouped
        litellm_params:
          model: groq/gpt-4o
          api_base: {three}/v1
          api_key: {key}
          input_cost_per_token: 0.001
          output_cost_per_token: 0.002
      - model_name: shared-out
        litellm_params:
          model: openai/gpt-4.1
          litellm_credential_name: shared
          default_api_key_rpm_limit: 1
      - model_name: mock
        litellm_params:
          model: openai/gpt-4o
          mock_response: "It is a mock."
      - model_name: mock-error
        litellm_params:
          model: openai/gpt-4o
          mock_response: "litellm.InternalServerError"

    litellm_settings:
      num_retries: 0
      fallbacks: [{{"grouped": ["mock"]}}, {{"mock-error": ["mock"]}}]

    router_settings:
      disable_cooldowns: true
      optional_pre_call_checks: ["enforce_model_rate_limits"]
      provider_budget_config:
        groq:
          budget_limit: 0.01
          time_period: 1d

    general_settings:
      master_key: sk-1234
"""


@pytest.fixture(scope="module")
def limited_gateway(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[FileConfiguredGateway, dict[str, Upstream]]]:
    with upstreams("one", "two", "three") as servers:
        urls = {name: server.url for name, server in servers.items()}
        text = GUARDED.format(key=KEY, **urls)
        with running_gateway(tmp_path_factory.mktemp("guarded"), text) as gateway:
            yield gateway, servers


def test_a_deployment_at_its_rpm_is_skipped(limited_gateway: GatewayStack) -> None:
    """proxy/load_balancing: enforce_model_rate_limits enforces `rpm` and `tpm`."""
    gateway, _ = limited_gateway
    assert [gateway.response_text("pair", f"Rate {n}") for n in range(3)] == ["one", "one", "two"]


def test_a_model_whose_deployments_are_full_is_refused(limited_gateway: GatewayStack) -> None:
    gateway, result = limited_gateway
    assert gateway.response_text("alone", "Once") == "one"
    response = gateway.ask("alone", "Twice")
    assert (response.status_code, result["one"].request_count("Twice")) == (429, 0)
    assert int(response.headers["retry-after"]) >= 1


def test_a_deployment_over_its_budget_is_skipped(limited_gateway: GatewayStack) -> None:
    """proxy/provider_budget_routing: the first call succeeds and exceeds the budget."""
    gateway, _ = limited_gateway
    assert gateway.response_text("dear", "First") == "one"
    _wait_for_other_deployment(gateway, "dear", "one", "two")


def test_a_provider_over_its_budget_is_skipped(limited_gateway: GatewayStack) -> None:
    gateway, _ = limited_gateway
    assert gateway.response_text("grouped", "First") == "three"
    _wait_for_other_deployment(gateway, "grouped", "three", "It is a mock.")


def test_each_key_has_the_default_limit_of_a_model(limited_gateway: GatewayStack) -> None:
    gateway, _ = limited_gateway
    first_key, yours = gateway.new_key(), gateway.new_key()
    assert gateway.ask("shared-out", key=first_key).status_code == 200
    assert gateway.ask("shared-out", key=first_key).status_code == 429
    assert gateway.ask("shared-out", key=yours).status_code == 200
    assert gateway.ask("mock", key=first_key).status_code == 200


def test_a_mock_response_is_returned_without_an_upstream_call(
    limited_gateway: GatewayStack,
) -> None:
    gateway, _ = limited_gateway
    assert gateway.response_text("mock") == "It is a mock."
    assert gateway.response_text("mock-error") == "It is a mock."


def _wait_for_other_deployment(
    gateway: FileConfiguredGateway, model: str, first: str, second: str
) -> None:
    """Wait until the first deployment is over its limit and the second one answers."""
    requests: list[str] = []

    def changed() -> bool:
        requests.append(gateway.response_text(model, "Next"))
        return requests[-1] != first

    wait_until(changed)
    assert requests[-1] == second


BUDGET_CONFIG = """
    model_list:
      - model_name: gpt-4o
        litellm_params:
          model: openai/gpt-4o
          api_base: {one}/v1
          api_key: {key}
          input_cost_per_token: 0.001
          output_cost_per_token: 0.002
    litellm_settings:
      max_budget: 0.01
      budget_duration: 30d
    general_settings:
      master_key: sk-1234
      global_max_parallel_requests: 100
"""


def test_the_proxys_budget_ends_all_traffic_also_after_a_restart(tmp_path: Path) -> None:
    """proxy/users: `max_budget` with `budget_duration` across all calls of the proxy."""
    with upstreams("one") as servers:
        text = BUDGET_CONFIG.format(key=KEY, one=servers["one"].url)
        with running_gateway(tmp_path, text) as gateway:
            assert gateway.response_text("gpt-4o", "First") == "one"
            key = gateway.new_key()
            wait_until(lambda: gateway.ask("gpt-4o", "Next", key=key).status_code != 200)
            refused_response = gateway.ask("gpt-4o")
            assert refused_response.status_code == 429
            assert "the monthly budget of 0.01 USD of the gateway" in refused_response.text
        with running_gateway(tmp_path, text) as gateway:
            assert gateway.ask("gpt-4o").status_code == 429
