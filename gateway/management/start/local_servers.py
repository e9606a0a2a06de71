"""Finds model servers on this machine: Ollama, vLLM, LM Studio and llama.cpp.

Each start requests their default ports on loopback once, in parallel. Other programs use these
ports too, so a response counts only if it is that of the expected server.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.canon import model_names
from gateway.providers.catalog import PRESETS

TIMEOUT_S = 0.2
_MAX_BYTES = 1024 * 1024
_MAX_MODELS = 200


class LocalServer(msgspec.Struct, frozen=True):
    """A server: its preset, its port, and the path that lists its models."""

    preset: str
    port: int
    path: str
    read_models: Callable[[dict[str, Any]], list[str] | None]


class LocalServerModels(msgspec.Struct, frozen=True):
    """A local model server that responded, with its models."""

    preset: str
    base_url: str
    models: tuple[str, ...]


def _ollama_models(body: dict[str, Any]) -> list[str] | None:
    models = body.get("models")
    return _model_names(models, "name") if isinstance(models, list) else None


def _openai_models(*owners: str) -> Callable[[dict[str, Any]], list[str] | None]:
    """Return a reader of OpenAI's list of models; the owner of each model must be one of these.

    A list without models is not recognized.
    """

    def read(body: dict[str, Any]) -> list[str] | None:
        models = body.get("data")
        if body.get("object") != "list" or not isinstance(models, list) or not models:
            return None
        if not all(isinstance(model, dict) for model in models):
            return None
        if not all(model.get("owned_by") in owners for model in models):
            return None
        return _model_names(models, "id")

    return read


def _model_names(items: list[Any], name: str) -> list[str]:
    values = (item.get(name) for item in items if isinstance(item, dict))
    names = [value for value in values if isinstance(value, str) and value]
    usable = [name for name in names if model_names.find_name_fault(name) is None]
    return usable[:_MAX_MODELS]


SERVERS: tuple[LocalServer, ...] = (
    LocalServer("ollama", 11434, "/api/tags", _ollama_models),
    # vllm/entrypoints/openai/protocol.py: ModelCard.owned_by
    LocalServer("vllm", 8000, "/v1/models", _openai_models("vllm")),
    # lmstudio.ai/docs/developer/openai-compat/models
    LocalServer(
        "lmstudio", 1234, "/v1/models", _openai_models("organization_owner", "organization-owner")
    ),
    # llama.cpp/tools/server: "owned_by": "llamacpp"
    LocalServer("llamacpp", 8080, "/v1/models", _openai_models("llamacpp")),
)


def find_local_servers(
    own_port: int, servers: Sequence[LocalServer] = SERVERS
) -> list[LocalServerModels]:
    """Return the servers that answer within `TIMEOUT_S`; never the gateway's own port."""
    other_servers = [server for server in servers if server.port != own_port]
    with ThreadPoolExecutor(max_workers=max(1, len(other_servers))) as pool:
        model_lists = list(pool.map(_request_models, other_servers))
    return [
        LocalServerModels(server.preset, _base_url(server), tuple(models))
        for server, models in zip(other_servers, model_lists, strict=True)
        if models is not None
    ]


def _base_url(server: LocalServer) -> str:
    """Return the preset's base URL with the server's port."""
    parts = urlsplit(PRESETS[server.preset].base_url)
    return parts._replace(netloc=f"{parts.hostname}:{server.port}").geturl()


def _request_models(server: LocalServer) -> list[str] | None:
    """Return the server's models; None if there is no such server."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", server.path)
        response = connection.getresponse()
        if response.status != http.client.OK:
            return None
        body = json.loads(response.read(_MAX_BYTES))
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        connection.close()
    return server.read_models(body) if isinstance(body, dict) else None
