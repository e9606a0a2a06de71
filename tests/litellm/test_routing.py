"""router_settings have the effects that LiteLLM documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.compat.litellm.config.routing import STRATEGIES
from gateway.compat.litellm.config.rows import RouteRow
from tests.litellm.make import entries, route

A, B = ({"model_name": name, "model": "gpt-4o"} for name in "ab")


def make_route(tmp_path: Path, *rows: dict[str, Any], **router: Any) -> RouteRow:
    parsed_config = entries(tmp_path, *(rows or (A, B)), router_settings=router)
    return route(parsed_config, "a")


@pytest.mark.parametrize("name", STRATEGIES)
def test_each_routing_strategy_has_an_equivalent(tmp_path: Path, name: str) -> None:
    assert make_route(tmp_path, routing_strategy=name).strategy == STRATEGIES[name]


def test_an_unknown_strategy_is_reported(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, A, router_settings={"routing_strategy": "lar1"})
    assert route(parsed_config, "a").strategy == "weighted"
    assert any("lar1" in note for note in parsed_config.remarks)


def test_weights_are_ignored_where_litellm_ignores_them(tmp_path: Path) -> None:
    rows = ({**A, "weight": 9}, {**A, "weight": 1})
    weights = [t.weight for t in make_route(tmp_path, *rows, routing_strategy="least-busy").targets]
    assert weights == [1.0, 1.0]


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings"])
def test_fallbacks_by_error_kind_are_imported(tmp_path: Path, section: str) -> None:
    text = {
        "context_window_fallbacks": [{"a": ["b"]}],
        "content_policy_fallbacks": [{"a": ["b"]}, {"nobody": ["b"]}],
    }
    parsed_config = entries(tmp_path, A, B, **{section: text})
    expected = {"context_length": ["b"], "content_policy": ["b"]}
    assert route(parsed_config, "a").policy["fallbacks_by_kind"] == expected
    assert route(parsed_config, "a").fallbacks == []
    assert any("nobody" in note for note in parsed_config.remarks)


def test_fallbacks_also_apply_to_errors_without_their_own_fallbacks(tmp_path: Path) -> None:
    """As in LiteLLM: unless the file has fallbacks for the kind, `fallbacks` are for any error."""
    kinds = ("context_length", "content_policy", "not_found")
    test_route = make_route(tmp_path, fallbacks=[{"a": ["b"]}])
    assert test_route.policy["fallbacks_by_kind"] == {kind: ["b"] for kind in kinds}
    test_route = make_route(
        tmp_path, fallbacks=[{"a": ["b"]}], context_window_fallbacks=[{"b": ["a"]}]
    )
    assert test_route.policy["fallbacks_by_kind"] == {kind: ["b"] for kind in kinds[1:]}


def test_the_fallbacks_of_a_fallback_follow_it(tmp_path: Path) -> None:
    rows = [{"model_name": name, "model": "gpt-4o"} for name in "abcdefgh"]
    chains = [{"a": ["b", "f"]}, {"b": ["c"]}, {"c": ["a", "d"]}]
    assert make_route(tmp_path, *rows, fallbacks=chains).fallbacks == ["b", "c", "d", "f"]
    by_kind = make_route(tmp_path, *rows, context_window_fallbacks=chains).policy
    assert by_kind["fallbacks_by_kind"] == {"context_length": ["b", "c", "d", "f"]}
    in_a_row = [{name: [following]} for name, following in zip("abcdefg", "bcdefgh", strict=True)]
    assert make_route(tmp_path, *rows, fallbacks=in_a_row).fallbacks == ["b", "c", "d", "e", "f"]
    own_first = make_route(tmp_path, *rows, fallbacks=[{"a": ["b"]}], default_fallbacks=["c"])
    assert own_first.fallbacks == ["b"]


@pytest.mark.parametrize(
    ("name", "model"),
    [("other", "gpt-4o"), ("second", "gpt-4o"), ("openai/gpt-5", "gpt-5"), ("gpt-5-fast", "gpt-5")],
    ids=["alias", "ID of a deployment", "prefix wildcard", "wildcard with an end"],
)
def test_names_of_models_may_be_aliases_ids_or_match_a_wildcard(
    tmp_path: Path, name: str, model: str
) -> None:
    rows = (
        *(A, {**B, "model_info": {"id": "second"}}),
        {"model_name": "openai/*", "model": "openai/*", "input_cost_per_token": 0.5},
        {"model_name": "gpt-*-fast", "model": "openai/gpt-*"},
    )
    settings = {
        "model_group_alias": {"other": "b", "mine": "b" if name == "other" else name},
        "fallbacks": [{"a": [name]}, {name: ["a"]}],
        "num_retries": 7,
    }
    parsed_config = entries(tmp_path, *rows, router_settings=settings)
    found = route(parsed_config, route(parsed_config, "a").fallbacks[0])
    assert found.name == parsed_config.aliases["mine"].route
    (target,) = found.targets
    assert (target.model, found.fallbacks, found.retries) == (model, ["a"], 7)
    assert (target.provider, target.model) in parsed_config.models
    assert parsed_config.remarks == []


def test_retries_by_error_kind_are_imported(tmp_path: Path) -> None:
    policy = {"RateLimitErrorRetries": 2, "TimeoutErrorRetries": 0, "BadRequestErrorRetries": 1}
    parsed_config = entries(
        tmp_path,
        A,
        B,
        router_settings={
            "retry_policy": policy,
            "model_group_retry_policy": {"b": {"InternalServerErrorRetries": 4}},
        },
    )
    assert route(parsed_config, "a").policy["retries_by_kind"] == {"rate_limit": 2, "timeout": 0}
    assert route(parsed_config, "b").policy["retries_by_kind"] == {"upstream_error": 4}
    assert any("BadRequestErrorRetries" in note for note in parsed_config.remarks)


def test_retries_of_errors_with_the_same_kind_are_the_higher_number(tmp_path: Path) -> None:
    policy = {"InternalServerErrorRetries": 1, "ServiceUnavailableErrorRetries": 3}
    parsed_config = entries(tmp_path, A, router_settings={"retry_policy": policy})
    assert route(parsed_config, "a").policy["retries_by_kind"] == {"upstream_error": 3}
    assert parsed_config.remarks == []
    fails = {"BadGatewayErrorAllowedFails": 4, "InternalServerErrorAllowedFails": 2}
    test_route = make_route(tmp_path, allowed_fails_policy=fails)
    assert test_route.policy["cooldown_after_by_kind"] == {"upstream_error": 5}


def test_default_retries_of_a_policy_replace_num_retries(tmp_path: Path) -> None:
    policies = {
        "num_retries": 7,
        "retry_policy": {"DefaultRetries": 1, "TimeoutErrorRetries": 4},
        "model_group_retry_policy": {"b": {"DefaultRetries": 3}},
    }
    parsed_config = entries(tmp_path, {**A, "num_retries": 9}, B, router_settings=policies)
    assert [route(parsed_config, name).retries for name in "ab"] == [1, 3]
    assert route(parsed_config, "a").policy["retries_by_kind"] == {"timeout": 4}
    assert parsed_config.remarks == []


def test_fields_of_policies_without_effect_are_reported(tmp_path: Path) -> None:
    settings = {
        "retry_policy": {"NotFoundErrorRetries": 1, "RateLimitRetries": 1},
        "allowed_fails_policy": {"NotFoundErrorAllowedFails": 1},
    }
    remarks = entries(tmp_path, A, router_settings=settings).remarks
    assert [remark.partition("retry_policy.")[2] for remark in remarks if "retry_" in remark] == [
        "NotFoundErrorRetries: has no effect: such a failure would be the same at every attempt",
        "RateLimitRetries: unknown key",
    ]
    assert "NotFoundErrorAllowedFails: has no effect: such an error does not count" in remarks[0]


def test_the_failure_after_allowed_fails_starts_the_cooldown(tmp_path: Path) -> None:
    test_route = make_route(
        tmp_path, allowed_fails=2, allowed_fails_policy={"RateLimitErrorAllowedFails": 9}
    )
    assert (test_route.policy["cooldown_after"], test_route.policy["cooldown_after_by_kind"]) == (
        3,
        {"rate_limit": 10},
    )


def test_retry_after_pre_call_checks_and_max_fallbacks_are_imported(tmp_path: Path) -> None:
    test_route = make_route(
        tmp_path,
        retry_after=1,
        enable_pre_call_checks=True,
        max_fallbacks=1,
        fallbacks=[{"a": ["b", "c"]}],
    )
    assert (
        test_route.policy["backoff_s"],
        test_route.policy["require_capabilities"],
        test_route.fallbacks,
    ) == (
        2.0,
        True,
        ["b"],
    )
    assert test_route.policy["fallbacks_by_kind"]["not_found"] == ["b"]


def test_a_retry_after_of_zero_keeps_the_usual_pauses(tmp_path: Path) -> None:
    """LiteLLM's default: a lower bound of the pauses, which grow exponentially anyway."""
    assert "backoff_s" not in make_route(tmp_path, retry_after=0).policy


def test_max_fallbacks_of_litellm_settings_is_a_known_key(tmp_path: Path) -> None:
    """`litellm.max_fallbacks` is the variable that LiteLLM's router reads."""
    settings = {"max_fallbacks": 1, "fallbacks": [{"a": ["b", "c"]}]}
    parsed_config = entries(tmp_path, A, B, litellm_settings=settings)
    assert (route(parsed_config, "a").fallbacks, parsed_config.remarks) == (["b"], [])


def test_max_fallbacks_limits_those_of_an_error_kind(tmp_path: Path) -> None:
    lists = [{"a": ["b", "c"]}]
    test_route = make_route(tmp_path, max_fallbacks=1, context_window_fallbacks=lists)
    assert test_route.policy["fallbacks_by_kind"] == {"context_length": ["b"]}


@pytest.mark.parametrize(
    ("router", "tags", "match"),
    [
        ({}, (), None),
        ({"enable_tag_filtering": True}, ("paid",), None),
        ({"enable_tag_filtering": True, "tag_filtering_match_any": False}, ("paid",), "all"),
    ],
)
def test_tag_filtering_is_imported_if_enabled(
    tmp_path: Path, router: dict[str, Any], tags: tuple[str, ...], match: str | None
) -> None:
    test_route = make_route(tmp_path, {**A, "tags": ["paid"]}, **router)
    assert (test_route.targets[0].tags, test_route.policy.get("tag_match")) == (tags, match)


@pytest.mark.parametrize("check", ["session_affinity", "prompt_caching"])
def test_session_affinity_is_imported_if_enabled(tmp_path: Path, check: str) -> None:
    assert make_route(tmp_path, optional_pre_call_checks=[check]).strategy == "sticky"


def test_background_health_checks_are_imported(tmp_path: Path) -> None:
    general_settings = {"background_health_checks": True, "health_check_interval": 60}
    assert (
        route(entries(tmp_path, A, general_settings=general_settings), "a").policy[
            "health_check_interval_s"
        ]
        == 60
    )
    assert "health_check_interval_s" not in route(entries(tmp_path, A), "a").policy


def test_a_model_is_retried_before_its_fallbacks(tmp_path: Path) -> None:
    assert make_route(tmp_path).policy["retry_before_fallback"] is True


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([{"location": "message", "role": "system"}], "5m"),
        ([{"location": "tool_config"}, {"control": {"type": "ephemeral", "ttl": "1h"}}], "1h"),
    ],
)
def test_cache_control_injection_points_are_imported(
    tmp_path: Path, points: list[dict[str, Any]], expected: str
) -> None:
    row = make_route(tmp_path, {**A, "cache_control_injection_points": points})
    assert row.policy["prompt_cache"] == expected
