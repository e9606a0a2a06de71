"""`cache` and `cache_params` of litellm_settings -> the response cache of each route.

LiteLLM shares cached responses among all keys; here each key has its own, unless the route's
settings say otherwise. The file does not choose the storage: responses are cached in memory and
the database, or in the Redis of REDIS_URL.
"""

from __future__ import annotations

from typing import Any

from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import Config
from gateway.routing.cache_policy import MAX_TTL_S

# LiteLLM's `type`s of semantic caches, and the keys that name their embedding model.
_SEMANTIC = "-semantic"
_EMBEDDING = (
    "redis_semantic_cache_embedding_model",
    "valkey_semantic_cache_embedding_model",
    "qdrant_semantic_cache_embedding_model",
)
_TTLS = ("ttl", "default_in_redis_ttl", "default_in_memory_ttl")
# LiteLLM's default, used if a file names no model.
_USUAL_EMBEDDING = "text-embedding-ada-002"
# Verb -> LiteLLM's names of its calls.
_CALLS = {
    "generate": {
        "completion",
        "acompletion",
        "text_completion",
        "atext_completion",
        "anthropic_messages",
        "responses",
        "aresponses",
    },
    "embed": {"embedding", "aembedding"},
}
_MODES = {"default_on": False, "default_off": True}


def read_cache(config: Config, files: list[Node], report: Report) -> None:
    """Apply the first cache setting that the files contain. Raises ConfigError."""
    for file in files:
        section = file.get("litellm_settings")
        switch = section.get("cache") if section is not None else None
        if section is None or switch is None:
            continue
        params = section.get("cache_params")
        policy = _cache_policy_fields(params, report) if params is not None else {"ttl_s": 600}
        if switch.boolean() and policy is not None:
            for route in config.routes.values():
                route.cache = dict(policy)
        return


def _cache_policy_fields(params: Node, report: Report) -> dict[str, Any] | None:
    """Return the fields of a `routing.cache_policy.CachePolicy`; None if no call is cached."""
    report.keys(params, "cache_params")
    policy: dict[str, Any] = {"ttl_s": _read_ttl(params)}
    if (namespace := params.get("namespace")) is not None:
        policy["namespace"] = namespace.text(max_length=100)
    if (mode := params.get("mode")) is not None:
        if mode.text() not in _MODES:
            raise mode.error("must be default_on or default_off")
        if _MODES[mode.text()]:
            policy["opt_in"] = True
    if (calls := params.get("supported_call_types")) is not None:
        names = {item.text() for item in calls.list()}
        verbs = [verb for verb, call_types in _CALLS.items() if names & call_types]
        if not verbs:
            report.add_skipped(calls, "has no call type that is cached here; the cache stays off")
            return None
        if len(verbs) < len(_CALLS):
            policy["verbs"] = verbs
    _read_semantic_cache(params, policy, report)
    return policy


def _read_ttl(params: Node) -> int:
    node = params.get(*_TTLS)
    if node is None:
        return 600
    return max(1, node.integer(max_value=MAX_TTL_S))


def _read_semantic_cache(params: Node, policy: dict[str, Any], report: Report) -> None:
    kind, threshold = params.get("type"), params.get("similarity_threshold")
    if kind is None or not kind.text().endswith(_SEMANTIC):
        return
    model = params.get(*_EMBEDDING)
    policy["semantic"] = model.text() if model is not None else _USUAL_EMBEDDING
    if threshold is not None:
        number = threshold.number()
        if not 0 < number <= 1:
            raise threshold.error("must be a number above 0 and at most 1")
        policy["threshold"] = number
    report.add(kind, "prompts are compared per process, and only if all other fields are equal")
