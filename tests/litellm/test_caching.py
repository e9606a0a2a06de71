"""`litellm_settings.cache` becomes the response cache of routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.compat.litellm.config.reader import ConfigError
from gateway.routing.cache_policy import parse_cache_policy
from tests.litellm.make import entries, route


def cache_config(tmp_path: Path, **fields: Any) -> Any:
    return entries(tmp_path, {"model": "gpt-4o"}, litellm_settings=fields)


@pytest.mark.parametrize(
    ("params", "cache"),
    [
        (None, {"ttl_s": 600}),
        ({}, {"ttl_s": 600}),
        ({"ttl": 60}, {"ttl_s": 60}),
        ({"ttl": "60.0", "type": "local"}, {"ttl_s": 60}),
        ({"type": "redis", "default_in_redis_ttl": 9}, {"ttl_s": 9}),
        ({"namespace": "mine"}, {"ttl_s": 600, "namespace": "mine"}),
        ({"mode": "default_off"}, {"ttl_s": 600, "opt_in": True}),
        ({"mode": "default_on"}, {"ttl_s": 600}),
        ({"supported_call_types": ["acompletion"]}, {"ttl_s": 600, "verbs": ["generate"]}),
        ({"supported_call_types": ["acompletion", "aembedding"]}, {"ttl_s": 600}),
        ({"supported_call_types": ["atranscription"]}, {}),
        (
            {
                "type": "redis-semantic",
                "similarity_threshold": 0.8,
                "redis_semantic_cache_embedding_model": "vectors",
            },
            {"ttl_s": 600, "semantic": "vectors", "threshold": 0.8},
        ),
        ({"type": "qdrant-semantic"}, {"ttl_s": 600, "semantic": "text-embedding-ada-002"}),
    ],
)
def test_cache_params_become_the_cache_policy_of_routes(
    tmp_path: Path, params: dict[str, Any] | None, cache: dict[str, Any]
) -> None:
    more = {} if params is None else {"cache_params": params}
    actual_cache = route(cache_config(tmp_path, cache=True, **more)).cache
    assert actual_cache == cache
    parse_cache_policy(actual_cache)  # the hot path can read it


def test_without_cache_true_the_route_has_no_cache(tmp_path: Path) -> None:
    assert route(cache_config(tmp_path, cache_params={"ttl": 5})).cache == {}
    assert route(cache_config(tmp_path, cache=False, cache_params={"ttl": 5})).cache == {}
    assert route(cache_config(tmp_path)).cache == {}


@pytest.mark.parametrize(
    "params",
    [{"ttl": "long"}, {"mode": "sometimes"}, {"ttl": 10**9}]
    + [{"type": "redis-semantic", "similarity_threshold": 2}],
)
def test_an_unreadable_file_stops_the_start(tmp_path: Path, params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cache_params"):
        cache_config(tmp_path, cache=True, cache_params=params)


def test_parameters_without_effect_are_noted(tmp_path: Path) -> None:
    response = cache_config(
        tmp_path, cache=True, cache_params={"type": "redis", "host": "x", "tttl": 5}
    )
    text = "\n".join(response.remarks)
    assert response.redis_url == "redis://x:6379"
    assert "cache_params.tttl: unknown key; did you mean ttl?" in text


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ({"host": "os.environ/NO_SUCH_HOST", "port": 6380}, ""),
        ({"host": "x", "password": "os.environ/NO_SUCH_WORD"}, "redis://x:6379"),
        ({"redis_url": "os.environ/NO_SUCH_URL", "host": "x"}, "redis://x:6379"),
    ],
)
def test_an_unset_variable_of_redis_does_not_stop_the_start(
    tmp_path: Path, params: dict[str, Any], url: str
) -> None:
    response = cache_config(tmp_path, cache=True, cache_params={"type": "redis", **params})
    assert response.redis_url == url
    (note,) = response.remarks
    assert "which is not set; it is ignored" in note
