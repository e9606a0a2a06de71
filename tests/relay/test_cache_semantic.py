"""Semantic cache: similar prompts match only in the same context and within bounds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.relay.cache.semantic import MAX_PER_CONTEXT, MAX_VECTORS, SemanticIndex, normalize
from gateway.routing.cache_policy import CachePolicy
from tests.relay.harness import Gateway, gateway, provider, refusal, route
from tests.relay.test_cache import (
    CHAT,
    MESSAGES,
    OTHER,
    REQUEST,
    CountingUpstream,
    registry,
    response_text,
)

# Directions in a plane, by the words of a question.
ANGLES = {"capital of France": 0.0, "France's capital": 0.1, "capital of Spain": 0.8}


class EmbeddingsUpstream:
    """An embedding upstream that returns the vectors above."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.failing = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.failing:
            return refusal(500)
        (text,) = json.loads(request.content)["input"]
        self.texts.append(text)
        angle = ANGLES[text]
        vector = [3 * math.cos(angle), 3 * math.sin(angle)]
        body = {
            "object": "list",
            "model": "embedder",
            "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        }
        return httpx.Response(200, json=body)


def chat_request(text: str, **more: Any) -> dict[str, Any]:
    return {**REQUEST, "messages": [{"role": "user", "content": text}], **more}


def routes(**fields: Any) -> Any:
    policy = CachePolicy(semantic="embed", threshold=0.99, **fields)
    smart = route("smart", provider("one"), cache=policy)
    embed = route("embed", provider("two"), model="text-embedding-3-small", id=2)
    return registry(smart, embed)


FIRST, ALIKE, UNLIKE = ANGLES


async def states(gw: Gateway, *bodies: dict[str, Any]) -> list[str]:
    return [(await gw.post(CHAT, body)).headers["x-dragoman-cache"] for body in bodies]


async def test_a_similar_prompt_gets_the_cached_response(tmp_path: Path) -> None:
    upstream, embeddings_upstream = CountingUpstream(), EmbeddingsUpstream()
    async with gateway(tmp_path, routes(), one=upstream, two=embeddings_upstream) as gw:
        first = await gw.post(CHAT, chat_request(FIRST))
        alike = await gw.post(CHAT, chat_request(ALIKE))
        second_reply = await gw.post(CHAT, chat_request(FIRST))
        other = await gw.post(MESSAGES, chat_request(ALIKE, stream=True))
        rows = await gw.rows(5)
    assert first.headers["x-dragoman-cache"] == "miss"
    assert alike.headers["x-dragoman-cache"] == "semantic"
    likeness = float(alike.headers["x-dragoman-cache-similarity"])
    assert likeness == pytest.approx(math.cos(0.1), abs=1e-4)
    assert response_text(alike) == response_text(other) == "answer 1"
    assert (second_reply.headers["x-dragoman-cache"], second_reply.headers["age"]) == ("hit", "0")
    assert upstream.count == 1
    assert embeddings_upstream.texts == [FIRST, ALIKE, ALIKE], "an equal question needs no vector"
    vectors = [row for row in rows if row.route == "embed"]
    assert [row.key_id for row in vectors][:2] == [1, 1], "the key pays for the vector"
    (row, *_) = [row for row in rows if row.cache == "semantic"]
    assert row.cache_similarity == pytest.approx(likeness, abs=1e-4)
    assert row.cost_usd == 0


@pytest.mark.parametrize(
    "other",
    [
        chat_request(UNLIKE),
        chat_request(ALIKE, temperature=0.3),
        chat_request(ALIKE, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]),
        chat_request(ALIKE, logprobs=True),
        {**chat_request(ALIKE), "messages": [
            {"role": "system", "content": "in French"}, {"role": "user", "content": ALIKE},
        ]},
        {**chat_request(ALIKE), "messages": [
            {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"},
            {"role": "user", "content": ALIKE},
        ]},
        {**chat_request(ALIKE), "messages": [{"role": "user", "content": [
            {"type": "text", "text": ALIKE},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]}]},
    ],
    ids=["unlike", "sampling", "tools", "logprobs", "instructions", "earlier-turns", "image"],
)  # fmt: skip
async def test_similar_prompts_in_another_context_do_not_match(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    upstream = CountingUpstream()
    async with gateway(tmp_path, routes(), one=upstream, two=EmbeddingsUpstream()) as gw:
        assert await states(gw, chat_request(FIRST), other) == ["miss", "miss"]
    assert upstream.count == 2


async def test_tenants_never_share_semantically_cached_responses(tmp_path: Path) -> None:
    upstream = CountingUpstream()
    async with gateway(tmp_path, routes(), one=upstream, two=EmbeddingsUpstream()) as gw:
        await gw.post(CHAT, chat_request(FIRST))
        reply = await gw.post(CHAT, chat_request(ALIKE), key=OTHER)
    assert reply.headers["x-dragoman-cache"] == "miss"


async def test_requests_are_sent_upstream_when_embedding_fails(tmp_path: Path) -> None:
    upstream, embeddings_upstream = CountingUpstream(), EmbeddingsUpstream()
    embeddings_upstream.failing = True
    async with gateway(tmp_path, routes(), one=upstream, two=embeddings_upstream) as gw:
        assert await states(gw, chat_request(FIRST), chat_request(ALIKE), chat_request(FIRST)) == [
            "miss",
            "miss",
            "hit",
        ]


async def test_a_deleted_response_is_not_matched(tmp_path: Path) -> None:
    upstream = CountingUpstream()
    async with gateway(tmp_path, routes(), one=upstream, two=EmbeddingsUpstream()) as gw:
        await gw.post(CHAT, chat_request(FIRST))
        memory = gw.runtime.cache.memory
        for key in list(memory._responses):
            memory.drop(key)
        assert await states(gw, chat_request(ALIKE)) == ["miss"]
        assert len(gw.runtime.cache.semantic_index) == 1


def test_the_nearest_embedding_above_the_threshold_matches() -> None:
    index = SemanticIndex()
    for name, angle in (("a", 0.0), ("b", 0.2), ("c", 0.4)):
        index.add(b"x", [math.cos(angle), math.sin(angle)], name)
    nearest_row = index.nearest(b"x", [math.cos(0.25), math.sin(0.25)], 0.9)
    assert nearest_row is not None
    assert nearest_row[0] == "b"
    assert index.nearest(b"x", [-1.0, 0.0], 0.5) is None
    assert index.nearest(b"y", [1.0, 0.0], 0.5) is None
    assert index.nearest(b"x", [1.0, 0.0, 0.0], 0.5) is None, "of another length"


def test_the_semantic_index_is_bounded() -> None:
    index = SemanticIndex()
    for number in range(MAX_PER_CONTEXT + 10):
        index.add(b"x", [1.0, 0.0], str(number))
    assert len(index) == MAX_PER_CONTEXT
    for number in range(MAX_VECTORS + 100):
        index.add(b"%d" % number, [1.0, 0.0], "k")
        assert len(index) <= MAX_VECTORS
    assert index.nearest(b"x", [1.0, 0.0], 0.5) is None, "the oldest context went first"


@pytest.mark.parametrize("vector", [[0.0, 0.0], [math.inf, 1.0], [math.nan]])
def test_a_zero_or_non_finite_embedding_matches_nothing(vector: list[float]) -> None:
    assert normalize(vector) is None
