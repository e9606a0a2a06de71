"""Embeddings between APIs: what each client's request loses at each provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.canon.adaptation import adaptation_rows
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.providers.capabilities import traits_for

Json = dict[str, Any]

TEXTS = ["The snow is deep.", "The sea is warm."]
VECTORS = [[0.5, 1.0], [0.25, 2.0]]
_CONTEXT = ResponseContext(id="1", created=1_700_000_000, model="emb")


@dataclass(frozen=True)
class Embedder:
    """An embeddings API: a client's request, a provider's response, and its parser."""

    preset: str
    model: str
    request: Json
    response: Json
    vectors: Callable[[Json], Any]


def _gemini_request(text: str) -> Json:
    content = {"parts": [{"text": text}]}
    fields = {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 2}
    return {"model": "models/emb", "content": content, **fields}


EMBEDDERS: dict[str, Embedder] = {
    "openai_embeddings": Embedder(
        preset="openai",
        model="text-embedding-3-small",
        request={"model": "emb", "input": TEXTS, "dimensions": 2, "user": "u"},
        response={
            "object": "list",
            "model": "up",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(VECTORS)
            ],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        },
        vectors=lambda body: [row["embedding"] for row in body["data"]],
    ),
    "gemini": Embedder(
        preset="gemini",
        model="gemini-embedding-001",
        request={"model": "emb", "requests": [_gemini_request(text) for text in TEXTS]},
        response={"embeddings": [{"values": vector} for vector in VECTORS]},
        vectors=lambda body: [row["values"] for row in body["embeddings"]],
    ),
    "ollama": Embedder(
        preset="ollama",
        model="nomic-embed-text",
        request={"model": "emb", "input": TEXTS, "dimensions": 2, "truncate": True},
        response={"model": "up", "embeddings": VECTORS, "prompt_eval_count": 8},
        vectors=lambda body: body["embeddings"],
    ),
    "cohere": Embedder(
        preset="cohere",
        model="embed-v4.0",
        request={
            "model": "emb",
            "texts": TEXTS,
            "input_type": "search_query",
            "embedding_types": ["float"],
            "output_dimension": 2,
            "truncate": "END",
        },
        response={
            "id": "1",
            "texts": TEXTS,
            "embeddings": {"float": VECTORS},
            "meta": {"billed_units": {"input_tokens": 8}},
        },
        vectors=lambda body: body["embeddings"]["float"],
    ),
}


@dataclass(frozen=True)
class Embedded:
    """A client's request at one provider: upstream body, report, and the client's vectors."""

    client: str
    upstream: str
    upstream_request: bytes
    report: tuple[Json, ...]
    vectors: Any

    @property
    def sign(self) -> str:
        """Return the sign of this result in the tables of the matrix."""
        actions = {row["action"] for row in self.report}
        if "dropped" in actions:
            return "-"
        if "approximated" in actions:
            return "~"
        return "=" if self.client == self.upstream else "+"


def embed(client: str, upstream: str) -> Embedded:
    """Return the result for a client's API and a provider's."""
    source, target = EMBEDDERS[client], EMBEDDERS[upstream]
    parser, provider = DIALECTS[client].embed_client, DIALECTS[upstream].embed_provider
    assert parser is not None and provider is not None
    request = parser.parse_embed(source.request)
    rendered_request = provider.render_embed(request, traits_for(target.preset, target.model))
    body = parser.render_embed(provider.parse_embed(target.response), request, _CONTEXT)
    report = () if client == upstream else tuple(adaptation_rows(rendered_request.report))
    upstream_request = msgspec.json.encode(rendered_request.body)
    return Embedded(client, upstream, upstream_request, report, source.vectors(body))


def embed_all() -> tuple[Embedded, ...]:
    """Return the results for every client's API and every provider's."""
    return tuple(embed(client, upstream) for client in EMBEDDERS for upstream in EMBEDDERS)
