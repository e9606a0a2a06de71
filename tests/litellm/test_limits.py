"""Limits and budgets of a file: whether they apply, to what, and in which window."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.litellm.make import config, entries, only_target, route

GPT = {"model": "gpt-4o"}
RATED = {**GPT, "rpm": 60, "tpm": 9000}
RPM, TPM = {"requests_per_minute": 60}, {"tokens_per_minute": 9000}


@pytest.mark.parametrize(
    ("router", "limits"),
    [
        pytest.param({}, {}, id="shares only"),
        pytest.param({"routing_strategy": "simple-shuffle"}, {}, id="simple-shuffle"),
        pytest.param({"routing_strategy": "least-busy"}, {}, id="least-busy"),
        *(
            pytest.param({"routing_strategy": name}, {**RPM, **TPM}, id=name)
            for name in (
                "usage-based-routing",
                "usage-based-routing-v2",
                "latency-based-routing",
                "cost-based-routing",
            )
        ),
        pytest.param({"enable_pre_call_checks": True}, RPM, id="pre-call checks"),
        pytest.param({"enable_pre_call_checks": False}, {}, id="no pre-call checks"),
        pytest.param(
            {"optional_pre_call_checks": ["enforce_model_rate_limits"]},
            {**RPM, **TPM},
            id="enforced",
        ),
    ],
)
def test_rates_are_limits_where_litellm_makes_them_so(
    tmp_path: Path, router: dict[str, Any], limits: dict[str, int]
) -> None:
    parsed_config = entries(tmp_path, RATED, router_settings=router)
    assert only_target(parsed_config).limits == limits
    assert parsed_config.remarks == []


def test_rates_may_be_in_model_info(tmp_path: Path) -> None:
    row = {**GPT, "rpm": 5, "model_info": {"rpm": 9, "tpm": 100}}
    router = {"routing_strategy": "usage-based-routing-v2"}
    limits = only_target(entries(tmp_path, row, router_settings=router)).limits
    assert limits == {"requests_per_minute": 5, "tokens_per_minute": 100}


@pytest.mark.parametrize(
    ("entry", "router", "general", "max_output"),
    [
        ({"max_parallel_requests": 4}, {"default_max_parallel_requests": 9}, {}, 4),
        ({}, {"default_max_parallel_requests": 9}, {"max_parallel_requests": 2}, 9),
        ({}, {}, {"max_parallel_requests": 2}, 2),
        ({}, {}, {"max_parallel_requests": 0}, None),
        ({"rpm": 6}, {}, {}, None),
    ],
)
def test_concurrency_limits_come_from_the_most_specific_setting(
    tmp_path: Path,
    entry: dict[str, Any],
    router: dict[str, Any],
    general: dict[str, Any],
    max_output: int | None,
) -> None:
    parsed_config = entries(
        tmp_path, {**GPT, **entry}, router_settings=router, general_settings=general
    )
    assert only_target(parsed_config).limits.get("concurrency") == max_output


def test_each_key_has_the_lowest_default_of_a_models_entries(tmp_path: Path) -> None:
    parsed_config = entries(
        tmp_path,
        {**GPT, "default_api_key_rpm_limit": 9, "default_api_key_tpm_limit": 50},
        {"model": "gpt-4o-mini", "default_api_key_rpm_limit": 3},
        {"model_name": "other", "model": "gpt-4o"},
    )
    assert route(parsed_config).key_limits == {"requests_per_minute": 3, "tokens_per_minute": 50}
    assert route(parsed_config, "other").key_limits == {}


@pytest.mark.parametrize(
    ("duration", "field", "noted"),
    [
        ("1d", "day_usd", ""),
        ("24h", "day_usd", ""),
        ("7d", "week_usd", ""),
        ("1w", "week_usd", ""),
        ("30d", "month_usd", ""),
        ("1mo", "month_usd", ""),
        (None, "total_usd", ""),
        ("30s", "day_usd", "the budget is for a day"),
        ("2d", "week_usd", "the budget is for a week"),
        ("12d", "month_usd", "the budget is for a month"),
        ("2mo", None, "is ignored with its budget"),
    ],
)
def test_the_window_of_a_budget_is_the_calendars(
    tmp_path: Path, duration: str | None, field: str | None, noted: str
) -> None:
    fields = {"max_budget": 12.5} | ({"budget_duration": duration} if duration else {})
    parsed_config = entries(tmp_path, {**GPT, **fields})
    assert only_target(parsed_config).budget == ({field: Decimal("12.5")} if field else {})
    assert all(noted in note for note in parsed_config.remarks)
    assert len(parsed_config.remarks) == bool(noted)


def test_a_budget_below_the_column_precision_is_rounded_up(tmp_path: Path) -> None:
    """LiteLLM's own example has 0.000000000001 USD: the second call is refused."""
    parsed_config = entries(tmp_path, {**GPT, "max_budget": 1e-12, "budget_duration": "1d"})
    assert only_target(parsed_config).budget == {"day_usd": Decimal("0.000001")}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"max_budget": 10**10}, "must be below"),
        ({"max_budget": -1}, "not negative"),
        ({"max_budget": 1, "budget_duration": "soon"}, "must be a period such as 1d"),
        ({"max_parallel_requests": "many"}, "must be a number"),
    ],
)
def test_an_invalid_limit_is_refused(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    parsed_config = entries(tmp_path, {**GPT, **fields})
    assert parsed_config.routes == {}
    assert reason in parsed_config.remarks[0]


PROVIDERS = """
    model_list:
      - model_name: fast
        litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
      - model_name: deep
        litellm_params: {model: anthropic/claude-opus-4-5, api_key: os.environ/ANTHROPIC_API_KEY}
    router_settings:
      provider_budget_config:
        openai: {budget_limit: 100, time_period: 1d}
        gemini: {budget_limit: 50, time_period: 24h}
"""


def test_a_providers_budget_is_that_of_its_row(tmp_path: Path) -> None:
    parsed_config = config(tmp_path, PROVIDERS)
    budgets = {name: row.budget for name, row in parsed_config.providers.items()}
    assert budgets == {"openai": {"day_usd": Decimal(100)}, "anthropic": {}}
    # The environment's own row can not have it.
    assert [row.shareable for row in parsed_config.providers.values()] == [False, True]
    assert [note.split(": ", 1)[1] for note in parsed_config.remarks] == [
        "router_settings.provider_budget_config.gemini: has no effect: no model of `gemini` is in this file"
    ]


def test_a_provider_with_two_keys_has_the_budget_twice_with_a_note(tmp_path: Path) -> None:
    rows = [{"model": "openai/gpt-4o", "api_key": key} for key in ("sk-one", "sk-two")]
    budgets = {"openai": {"budget_limit": 100, "time_period": "1mo"}}
    parsed_config = entries(tmp_path, *rows, router_settings={"provider_budget_config": budgets})
    assert [row.budget for row in parsed_config.providers.values()] == [
        {"month_usd": Decimal(100)}
    ] * 2
    assert "separately" in parsed_config.remarks[0]


def test_global_limits_become_settings(tmp_path: Path) -> None:
    parsed_config = entries(
        tmp_path,
        GPT,
        litellm_settings={"max_budget": 100, "budget_duration": "30d"},
        general_settings={"global_max_parallel_requests": 50},
    )
    assert {name: row.value for name, row in parsed_config.settings.items()} == {
        "budget": {"month_usd": "100"},
        "limits": {"concurrency": 50},
    }
    assert parsed_config.remarks == []


def test_a_global_budget_of_zero_is_no_budget(tmp_path: Path) -> None:
    parsed_config = entries(
        tmp_path, GPT, litellm_settings={"max_budget": 0, "budget_duration": "30d"}
    )
    assert parsed_config.settings == {}
    assert "0 is not a budget" in parsed_config.remarks[0]
