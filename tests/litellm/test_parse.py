"""Whole configuration files: names, weights, wildcards, includes, variables, report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gateway.compat.litellm.config.parse import MAX_INCLUDES, read
from gateway.compat.litellm.config.reader import ConfigError
from tests.litellm.make import config, entries, route, write_config


def test_entries_of_one_name_are_one_route(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o"}, {"model": "claude-sonnet-4-5"})
    assert [target.model for target in route(parsed_config).targets] == [
        "gpt-4o",
        "claude-sonnet-4-5",
    ]
    assert route(parsed_config).strategy == "weighted"


@pytest.mark.parametrize(
    ("rows", "weights"),
    [
        pytest.param([{}, {}], [1, 1], id="nobody says"),
        pytest.param([{"weight": 3}, {"weight": 1}], [3, 1], id="weights"),
        pytest.param([{"rpm": 900}, {"rpm": 100, "tpm": 5}], [900, 100], id="requests a minute"),
        pytest.param([{"tpm": 10}, {"tpm": 20}], [10, 20], id="tokens a minute"),
        pytest.param([{"weight": 2, "rpm": 9}, {"rpm": 900}], [2, 0], id="the first decides"),
        pytest.param([{}, {"weight": 5}], [1, 1], id="the first says nothing"),
    ],
)
def test_simple_shuffle_weights_become_target_weights(
    tmp_path: Path, rows: list[dict[str, Any]], weights: list[float]
) -> None:
    parsed_config = entries(tmp_path, *({"model": "gpt-4o", **row} for row in rows))
    assert [target.weight for target in route(parsed_config).targets] == weights


def test_order_becomes_the_order_of_the_target(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model": "gpt-4o", "order": 2}, {"model": "o1", "order": 1})
    assert [target.order for target in route(parsed_config).targets] == [2, 1]


@pytest.mark.parametrize(
    ("public", "model", "upstream"),
    [
        ("openai/*", "openai/*", "*"),
        ("claude-*", "anthropic/claude-*", "claude-*"),
        ("all-*", "openai/gpt-4o", "gpt-4o"),
        ("*", "openai/*", "*"),
    ],
)
def test_a_wildcard_is_a_hidden_route_with_a_pattern(
    tmp_path: Path, public: str, model: str, upstream: str
) -> None:
    parsed_config = entries(tmp_path, {"model_name": public, "model": model})
    assert parsed_config.routes[public].hidden
    assert parsed_config.aliases[public].route == public
    assert parsed_config.routes[public].targets[0].model == upstream


def test_the_bare_wildcard_maps_each_family_to_its_provider(tmp_path: Path) -> None:
    parsed_config = entries(
        tmp_path,
        {"model_name": "*", "model": "*"},
        {"model_name": "claude-*", "model": "openai/gpt-4o"},
    )
    assert parsed_config.routes["gpt-*"].targets[0].model == "gpt-*"
    assert parsed_config.routes["gemini-*"].targets[0].model == "gemini-*"
    assert [target.model for target in parsed_config.routes["claude-*"].targets] == ["gpt-4o"]
    assert "*" not in parsed_config.routes


def test_the_bare_wildcard_with_an_own_server_is_that_server(tmp_path: Path) -> None:
    row = {"model_name": "*", "model": "*", "api_base": "http://gpu:8000/v1", "api_key": "none"}
    parsed_config = entries(tmp_path, row)
    assert list(parsed_config.providers) == ["openai-gpu-8000"]
    assert parsed_config.routes["*"].targets[0].model == "*"


def test_the_bare_wildcard_without_any_key_is_omitted(tmp_path: Path) -> None:
    parsed_config = entries(tmp_path, {"model_name": "*", "model": "*"}, environ={})
    assert parsed_config.routes == {}
    assert "no key of a provider" in parsed_config.remarks[0]


def test_a_name_is_one_printable_line(tmp_path: Path) -> None:
    rows = [{"model_name": name, "model": "gpt-4o"} for name in ("fast\n", "a\nb", "a\u2028b")]
    assert set(entries(tmp_path, *rows).routes) == {"fast"}


def test_entries_with_different_credentials_or_urls_are_different_providers(tmp_path: Path) -> None:
    local_params = {"model": "openai/x", "api_base": "http://gpu:8000/v1"}
    parsed_config = entries(
        tmp_path,
        {"model": "gpt-4o"},
        {"model": "gpt-4o", "api_key": "os.environ/OTHER_KEY"},
        {**local_params, "api_key": "a"},
        {**local_params, "api_key": "b"},
        {**local_params, "api_key": "a", "model": "openai/y"},
    )
    names = list(parsed_config.providers)
    assert names[:3] == ["openai", "openai-other_key", "openai-gpu-8000"]
    assert names[3].startswith("openai-gpu-8000-")
    assert len(names) == 4


def test_names_of_providers_do_not_change_from_start_to_start(tmp_path: Path) -> None:
    row = {"model": "gpt-4o", "extra_headers": {"x-team": "blue", "x-other": "1"}}
    turned = {**row, "extra_headers": {"x-other": "1", "x-team": "blue"}}
    assert list(entries(tmp_path, row).providers) == list(entries(tmp_path, turned).providers)


def test_variables_of_the_file_are_known_in_the_file(tmp_path: Path) -> None:
    text = """
        environment_variables:
          MY_BASE: http://gpu:8000/v1
          FLAG: true
          COUNT: 3
        model_list:
        - model_name: fast
          litellm_params: {model: openai/x, api_base: os.environ/MY_BASE, rpm: os.environ/COUNT}
    """
    parsed_config = config(tmp_path, text)
    assert parsed_config.environment == {
        "MY_BASE": "http://gpu:8000/v1",
        "FLAG": "True",
        "COUNT": "3",
    }
    assert list(parsed_config.providers) == ["openai-gpu-8000"]
    assert route(parsed_config).targets[0].shares == {"rpm": 3}


def test_an_environment_variable_precedes_the_files_variables(tmp_path: Path) -> None:
    text = """
        environment_variables: {MY_BASE: "http://file:1/v1"}
        model_list:
        - model_name: fast
          litellm_params: {model: openai/x, api_base: os.environ/MY_BASE}
    """
    parsed_config = config(tmp_path, text, {"MY_BASE": "http://shell:2/v1"})
    assert list(parsed_config.providers) == ["openai-shell-2"]


def test_reading_a_file_sets_nothing_in_the_process(tmp_path: Path) -> None:
    before = dict(os.environ)
    read(write_config(tmp_path, "environment_variables: {DGM_TEST_ONLY: x}\n"))
    assert dict(os.environ) == before


def test_included_files_count_as_written_here(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    model = "model_list:\n- model_name: {0}\n  litellm_params: {{model: {0}}}\n"
    write_config(tmp_path / "more", model.format("o1") + "include: [third.yaml]", "second.yaml")
    write_config(tmp_path / "more", model.format("o3") + "  bad_key: 1\n", "third.yaml")
    parsed_config = config(tmp_path, "include: [more/second.yaml]\n" + model.format("gpt-4o"))
    assert list(parsed_config.routes) == ["gpt-4o", "o1", "o3"]
    assert parsed_config.remarks == ["third.yaml:4: model_list[].bad_key: unknown key"]


def test_circular_includes_are_refused(tmp_path: Path) -> None:
    write_config(tmp_path, "include: [litellm_config.yaml]", "b.yaml")
    with pytest.raises(
        ConfigError, match="include: includes litellm_config.yaml twice or in a circle"
    ):
        config(tmp_path, "include: [b.yaml]")


def test_endless_includes_are_refused(tmp_path: Path) -> None:
    for number in range(MAX_INCLUDES + 2):
        write_config(tmp_path, f"include: [f{number + 1}.yaml]", f"f{number}.yaml")
    with pytest.raises(ConfigError, match="more than"):
        config(tmp_path, "include: [f0.yaml]")


def test_a_missing_include_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone.yaml: cannot be read"):
        config(tmp_path, "include: [gone.yaml]")


def test_the_report_names_each_key_once_in_the_files_order(tmp_path: Path) -> None:
    text = """
        litellm_settings:
          caching_groups: [[a, b]]
          num_retrys: 3
        model_list:
        - model_name: a
          litellm_params: {model: gpt-4o, tag_regex: [x]}
        - model_name: b
          litellm_params: {model: gpt-4o, tag_regex: [y]}
        general_settings:
          routing_strategy: simple-shuffle
          zzz: 1
        mystery: 1
    """
    assert config(tmp_path, text).remarks == [
        "litellm_config.yaml:2: litellm_settings.caching_groups: not supported yet: "
        "routes do not share cached responses",
        "litellm_config.yaml:3: litellm_settings.num_retrys: unknown key; "
        "did you mean num_retries?",
        "litellm_config.yaml:6: litellm_params.tag_regex: not supported yet: "
        "tags are compared literally (and 1 more time)",
        "litellm_config.yaml:10: general_settings.routing_strategy: unknown key; "
        "did you mean router_settings.routing_strategy?",
        "litellm_config.yaml:11: general_settings.zzz: unknown key",
        "litellm_config.yaml:12: mystery: unknown key",
    ]


def test_a_duplicate_key_is_reported(tmp_path: Path) -> None:
    parsed_config = config(tmp_path, "general_settings: {}\ngeneral_settings: {}\n")
    assert parsed_config.remarks == [
        "litellm_config.yaml:2: general_settings: is a duplicate key; only the last one counts"
    ]


@pytest.mark.parametrize("text", ["", "model_list: []", "model_list:", "general_settings:"])
def test_an_empty_file_has_no_routes(tmp_path: Path, text: str) -> None:
    assert config(tmp_path, text).routes == {}
