"""Global settings: retries, timeouts, fallbacks, aliases, the master key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.compat.litellm.config.deployment import with_idle_timeout
from gateway.compat.litellm.config.reader import ConfigError
from gateway.compat.litellm.config.rows import Config
from tests.litellm.make import config, entries, only_provider, only_target, route

TIMEOUT = {"request_timeout": 60}
A, B, C = ({"model_name": name, "model": "gpt-4o"} for name in "abc")


def fallbacks(parsed_config: Config) -> dict[str, list[str]]:
    return {name: imported.fallbacks for name, imported in parsed_config.routes.items()}


@pytest.mark.parametrize(
    ("entry", "router", "library", "retries"),
    [
        pytest.param({}, {}, {}, 2, id="LiteLLM's own"),
        pytest.param({}, {}, {"num_retries": 5}, 5, id="the library's"),
        pytest.param({}, {"num_retries": 4}, {"num_retries": 5}, 4, id="the router's"),
        pytest.param({"max_retries": 0}, {"num_retries": 4}, {}, 0, id="the entry's"),
        pytest.param(
            {"num_retries": 3, "max_retries": 0}, {}, {}, 3, id="the entry's of the route"
        ),
    ],
)
def test_retries_come_from_the_most_specific_setting(
    tmp_path: Path,
    entry: dict[str, Any],
    router: dict[str, Any],
    library: dict[str, Any],
    retries: int,
) -> None:
    parsed_config = entries(
        tmp_path, {"model": "gpt-4o", **entry}, router_settings=router, litellm_settings=library
    )
    assert route(parsed_config).retries == retries


def test_timeouts_come_from_the_most_specific_setting(tmp_path: Path) -> None:
    sections = {
        "router_settings": {"stream_timeout": 7},
        "litellm_settings": {"request_timeout": 60},
    }
    parsed_config = entries(tmp_path, {"model": "gpt-4o"}, **sections)
    assert only_target(parsed_config).timeouts == {"first_byte_s": 60, "idle_s": 7, "total_s": 900}
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "stream_timeout": 9}, **sections)
    assert only_target(parsed_config).timeouts == {"first_byte_s": 60, "idle_s": 9, "total_s": 900}


def test_a_key_of_another_section_has_no_effect_as_its_remark_says(tmp_path: Path) -> None:
    settings = {"cooldown_time": 60, "disable_cooldowns": True, "max_fallbacks": 0}
    parsed_config = entries(tmp_path, A, litellm_settings=settings)
    assert route(parsed_config, "a").cooldown_s == 5
    assert ["unknown key" in remark for remark in parsed_config.remarks] == [True, True]


def test_a_timeout_of_the_file_is_retried_like_other_failures(tmp_path: Path) -> None:
    """The gateway's own, longer limits end a call that no retry would make faster."""
    settings = {
        "num_retries": 3,
        "retry_policy": {"RateLimitErrorRetries": 1},
        "model_group_retry_policy": {"c": {"TimeoutErrorRetries": 0}},
    }
    rows = ({**A, "timeout": 5}, B, {**C, "timeout": 5})
    parsed_config = entries(tmp_path, *rows, router_settings=settings)
    policies = [route(parsed_config, name).policy["retries_by_kind"] for name in "abc"]
    assert policies == [{"rate_limit": 1, "timeout": 3}, {"rate_limit": 1}, {"timeout": 0}]
    parsed_config = entries(tmp_path, A, {**B, "num_retries": 1}, litellm_settings=TIMEOUT)
    policies = [route(parsed_config, name).policy["retries_by_kind"] for name in "ab"]
    assert policies == [{"timeout": 2}, {"timeout": 1}]


def test_a_stream_timeout_of_the_router_precedes_the_timeout_of_an_entry(tmp_path: Path) -> None:
    """For streams, as in LiteLLM; without any, the timeout also bounds the wait for a chunk."""
    entry = {"model": "gpt-4o", "timeout": 5}
    parsed_config = entries(tmp_path, entry, router_settings={"stream_timeout": 7})
    timeouts = with_idle_timeout(only_target(parsed_config).timeouts)
    assert timeouts == {"first_byte_s": 5, "idle_s": 7, "total_s": 900}
    parsed_config = entries(tmp_path, entry, router_settings={"timeout": 7})
    timeouts = with_idle_timeout(only_target(parsed_config).timeouts)
    assert timeouts == {"first_byte_s": 5, "idle_s": 5, "total_s": 900}


@pytest.mark.parametrize(
    ("router", "cooldown"),
    [
        ({}, 5.0),
        ({"cooldown_time": 30}, 30.0),
        ({"cooldown_time": 30, "disable_cooldowns": True}, 0.0),
    ],
)
def test_cooldown_settings_are_imported(
    tmp_path: Path, router: dict[str, Any], cooldown: float
) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o"}, router_settings=router)
    assert route(parsed_config).cooldown_s == cooldown


def test_fallbacks_become_route_fallbacks(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, A, B, C, litellm_settings={"fallbacks": [{"a": ["b", "c"]}]})
    assert fallbacks(parsed_config) == {"a": ["b", "c"], "b": [], "c": []}


def test_default_fallbacks_are_for_routes_without_their_own(tmp_path: Path) -> None:
    settings = {"fallbacks": [{"a": ["b"]}], "default_fallbacks": ["c"]}
    parsed_config = entries(tmp_path, A, B, C, litellm_settings=settings)
    assert fallbacks(parsed_config) == {"a": ["b"], "b": ["c"], "c": []}


def test_a_star_means_all_routes_at_any_position(tmp_path: Path) -> None:
    settings = {"fallbacks": [{"*": ["c"]}, {"a": ["b"]}]}
    parsed_config = entries(tmp_path, A, B, C, router_settings=settings)
    assert fallbacks(parsed_config) == {"a": ["b"], "b": ["c"], "c": []}


def test_fallbacks_of_router_settings_take_precedence(tmp_path: Path) -> None:
    parsed_config = entries(
        tmp_path,
        A,
        B,
        C,
        litellm_settings={"fallbacks": [{"a": ["c"]}]},
        router_settings={"fallbacks": [{"a": ["b"]}]},
    )
    assert fallbacks(parsed_config)["a"] == ["b"]


def test_a_fallback_of_an_unknown_model_is_reported(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, A, litellm_settings={"fallbacks": [{"x": ["a"]}]})
    assert "there is no model_name `x`" in parsed_config.remarks[0]


def test_a_fallback_with_parameters_is_remarked(tmp_path: Path) -> None:
    settings = {"fallbacks": [{"a": [{"model": "b", "temperature": 0}, "c"]}]}
    parsed_config = entries(tmp_path, A, B, C, litellm_settings=settings)
    assert fallbacks(parsed_config)["a"] == ["c"]
    assert "its own parameters" in parsed_config.remarks[0]


def test_model_group_aliases_are_imported(tmp_path: Path) -> None:
    alias = {"gpt-4": "a", "secret": {"model": "b", "hidden": True}}
    settings = {"model_group_alias": alias, "fallbacks": [{"gpt-4": ["b"]}]}
    parsed_config = entries(tmp_path, A, B, router_settings=settings)
    assert {name: imported.route for name, imported in parsed_config.aliases.items()} == {
        "gpt-4": "a",
        "secret": "b",
    }
    assert fallbacks(parsed_config)["a"] == ["b"]
    assert "secret.hidden: has no effect" in parsed_config.remarks[0]


def test_invalid_aliases_are_reported(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, A, B, router_settings={"model_group_alias": {"x": "y"}})
    assert parsed_config.aliases == {}
    assert [note.partition(": ")[2] for note in parsed_config.remarks] == [
        "router_settings.model_group_alias.x: there is no model_name `y`",
    ]


def test_an_alias_takes_precedence_over_a_model_name(tmp_path: Path) -> None:
    """LiteLLM: a request for `a` calls the deployments of `b`."""
    parsed_config = entries(
        tmp_path,
        *(A, {**B, "model": "gpt-5"}, C),
        router_settings={"model_group_alias": {"a": "b", "c": "c"}, "fallbacks": [{"a": ["c"]}]},
    )
    assert [target.model for target in route(parsed_config, "a").targets] == ["gpt-5"]
    assert fallbacks(parsed_config) == {"a": ["c"], "b": [], "c": []}
    assert (parsed_config.aliases, parsed_config.remarks) == ({}, [])


def test_a_request_can_name_one_deployment_by_its_id(tmp_path: Path) -> None:
    """LiteLLM: a request whose model is a `model_info.id` calls this deployment alone."""
    pair = [
        {**A, "model_info": {"id": "east"}},
        {**A, "model": "gpt-5", "model_info": {"id": "west"}},
    ]
    named = {**B, "model_info": {"id": "a"}}  # the name of a model comes first
    parsed_config = entries(tmp_path, *pair, named, litellm_settings={"num_retries": 5})
    assert list(parsed_config.routes) == ["a", "b", "east", "west"]
    west = route(parsed_config, "west")
    assert [target.model for target in west.targets] == ["gpt-5"]
    assert (west.hidden, west.retries, route(parsed_config, "a").hidden) == (True, 5, False)
    assert len(route(parsed_config, "a").targets) == 2


def test_strategies_without_equivalent_are_remarked(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, A, router_settings={"routing_strategy": "lar1"})
    assert "`lar1` is not supported yet" in parsed_config.remarks[0]
    assert (
        entries(tmp_path, A, router_settings={"routing_strategy": "simple-shuffle"}).remarks == []
    )


def test_the_time_of_budget_resets_is_remarked(tmp_path: Path) -> None:
    settings = {"budget_reset_time": "12:00", "timezone": "Asia/Shanghai"}
    parsed_config = entries(tmp_path, A, litellm_settings=settings)
    assert [note.partition(": litellm_settings.")[2] for note in parsed_config.remarks] == [
        "budget_reset_time: not supported yet: budgets reset at midnight (UTC)",
        "timezone: not supported yet: budgets reset at midnight (UTC)",
    ]


def test_bodies_can_be_switched_off(tmp_path: Path) -> None:
    assert entries(tmp_path, A).log_bodies is None
    parsed_config = entries(tmp_path, A, litellm_settings={"turn_off_message_logging": True})
    assert parsed_config.log_bodies is False


@pytest.mark.parametrize(
    ("library", "entry", "drops"),
    [
        pytest.param({}, {}, True, id="on unless said"),
        pytest.param({"drop_params": True}, {}, True, id="on for all"),
        pytest.param({"drop_params": False}, {}, False, id="off for all"),
        pytest.param({}, {"drop_params": False}, False, id="off for one"),
        pytest.param({"drop_params": False}, {"drop_params": True}, True, id="on for one"),
        pytest.param({"drop_params": True}, {"drop_params": False}, True, id="all comes first"),
    ],
)
def test_unsupported_parameters_are_dropped_if_the_file_enables_it(
    tmp_path: Path, library: dict[str, Any], entry: dict[str, Any], drops: bool
) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", **entry}, litellm_settings=library)
    _, provider = only_provider(parsed_config)
    assert provider.drop_params is drops
    assert parsed_config.remarks == []


def test_entries_that_drop_and_that_do_not_are_different_providers(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, A, {**B, "drop_params": False})
    assert sorted(p.drop_params for p in parsed_config.providers.values()) == [False, True]


def test_max_parallel_requests_becomes_a_concurrency_limit(tmp_path: Path) -> None:
    assert entries(tmp_path, A).max_requests is None
    general = {"max_in_flight_requests_per_worker": 64, "max_queued_requests_per_worker": 9}
    parsed_config = entries(tmp_path, A, general_settings=general)
    assert parsed_config.max_requests == 64
    (note,) = parsed_config.remarks
    assert "max_queued_requests_per_worker: not supported: requests are not queued" in note


@pytest.mark.parametrize(
    ("written", "key"),
    [("sk-1234", "sk-1234"), ("os.environ/MASTER", "from-outside"), ("12345", "12345")],
)
def test_the_master_key_is_imported(tmp_path: Path, written: str, key: str) -> None:
    text = f"general_settings: {{master_key: {written}}}"
    assert config(tmp_path, text, {"MASTER": "from-outside"}).master_key == key


def test_an_unset_master_key_variable_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="master_key: names the environment variable MASTER"):
        config(tmp_path, "general_settings: {master_key: os.environ/MASTER}", {})


@pytest.mark.parametrize("variable", ["DRAGOMAN_MASTER_KEY", "DRAGOMAN_MASTER_KEY_FILE"])
def test_the_master_key_of_the_environment_replaces_that_of_the_file(
    tmp_path: Path, variable: str
) -> None:
    text = "general_settings: {master_key: os.environ/MASTER}"
    parsed_config = config(tmp_path, text, {variable: "sk-of-the-environment"})
    assert parsed_config.master_key == ""
    (note,) = parsed_config.remarks
    assert "MASTER, which is not set; DRAGOMAN_MASTER_KEY applies" in note


def test_the_database_of_litellm_is_not_touched(tmp_path: Path) -> None:
    (note,) = config(tmp_path, 'general_settings: {database_url: "postgresql://..."}').remarks
    assert "DATABASE_URL" in note
