"""Paths of other vendors' clients for the endpoints of the gateway.

    /openai/deployments/{model}/chat/completions    Azure OpenAI; also embeddings, images, audio
    /openai/v1/..., /openai/files, /openai/models   Azure OpenAI without a deployment
    /engines/{model}/completions, /v1/engines/...   OpenAI's older API
    /api/v1/...                                     OpenRouter
    /v1/v1/...                                      a base URL that already ends in /v1
    /v1/projects/P/locations/L/publishers/anthropic/models/{model}:rawPredict
                                                    Messages on Vertex AI; also :streamRawPredict
    /vertex_ai/..., /gemini/..., /cohere/...        LiteLLM's prefixes of a vendor's own paths

A model in the path is the model of the request, as at Azure; a `model` in the body is replaced.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Clients without a key can fill the caches with paths of 64 KiB, so they are small.
MAX_CACHED_PATHS = 128

_OPERATIONS = (
    "chat/completions|completions|embeddings|responses|images/generations|images/edits"
    "|audio/transcriptions|audio/translations|audio/speech"
)
_MODEL_PATH = re.compile(
    rf"(?:/openai/deployments|(?:/v1)?/engines)/(?P<model>[^/].*?)/(?P<operation>{_OPERATIONS})/?",
    re.DOTALL,
)
_AZURE_PATH = re.compile(
    r"/openai(?:/v1)?(?P<path>/(?:chat/completions|completions|embeddings|images|audio|responses"
    r"|files|batches|models|moderations|realtime)(?:/.*)?)",
    re.DOTALL,
)
_REPEATED_VERSION = re.compile(r"(?:/api)?/v1(?:/v1)*(?P<path>/.*|)", re.DOTALL)
# https://docs.litellm.ai/docs/pass_through/intro
_VENDOR_PREFIXES = (
    *("/vertex_ai", "/vertex-ai", "/gemini", "/cohere", "/mistral", "/vllm", "/azure"),
    "/openai_passthrough",
)
VENDOR_PATHS = tuple(f"{prefix}/" for prefix in _VENDOR_PREFIXES)
_VENDOR_PREFIX = re.compile(rf"\A(?:{'|'.join(_VENDOR_PREFIXES)})(?=/)")
_CLAUDE_ON_VERTEX = re.compile(
    r"(?:/v1(?:beta1)?)?/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/"
    r"(?P<model>[^/].*):(?:rawPredict|streamRawPredict)",
    re.DOTALL,
)
# On Vertex AI, the name of a model in the path of a token count, whose body has the model itself.
_COUNT_TOKENS = "count-tokens"
# First segments of a path that may be an alias.
_PATH_PREFIXES: tuple[str, ...] = ("/openai/", "/engines/", "/v1/engines/", "/api/v1", "/v1/v1")
_PATH_PREFIXES += ("/projects/", "/v1/projects/", "/v1beta1/projects/")
_PATH_PREFIXES += VENDOR_PATHS


@lru_cache(maxsize=MAX_CACHED_PATHS)
def resolve_path(path: str) -> tuple[str, str]:
    """Return the gateway's path for another vendor's, and the model in it, or an empty text.

    A path that is no alias is returned unchanged.
    """
    if not path.startswith(_PATH_PREFIXES):
        return path, ""
    path = _VENDOR_PREFIX.sub("", path, count=1)
    if match := _CLAUDE_ON_VERTEX.fullmatch(path):
        if match["model"] == _COUNT_TOKENS:
            return "/v1/messages/count_tokens", ""
        return "/v1/messages", match["model"]
    if match := _MODEL_PATH.fullmatch(path):
        return f"/v1/{match['operation']}", match["model"]
    if match := _AZURE_PATH.fullmatch(path):
        return f"/v1{match['path']}", ""
    if match := _REPEATED_VERSION.fullmatch(path):
        return f"/v1{match['path']}", ""
    return path, ""


def drop_api_version(query: bytes) -> bytes:
    """Return a query without Azure's `api-version`: the provider has its own."""
    if b"api-version=" not in query:
        return query
    return b"&".join(part for part in query.split(b"&") if not part.startswith(b"api-version="))
