"""Passthrough endpoints, which are not translated, and the providers that serve them.

    OPERATIONS          what a client may call: method, path, and type of body
    PASSTHROUGH_PATHS   preset -> family of operations -> path below the base URL

The `paths` of a provider row override and extend this, by family name. A preset without a row
serves none; one for any server (`custom`) has all that OpenAI has, and the upstream itself
answers for those it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Literal

import msgspec

BodyType = Literal["json", "form", "either", "none"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that a client may call.

    Attributes:
        family: the key in PASSTHROUGH_PATHS and in a provider's `paths`.
        method: the HTTP method.
        path: below `/v1`, with `{id}` for a resource of a family.
        dialect: the format of its errors: `openai_chat`, `anthropic_messages`, `rerank`.
        body_type: the type of body it accepts.
        model: whether the body names a model (it may be left out if the upstream has a
            default model).
        batch_model_path: where a body names a model in each item of a list.
        has_resource_ids: whether its responses contain resource ids, which are replaced by
            gateway ids and back.
        binary_response: whether the response is a file, which is not parsed.
    """

    family: str
    method: str = "POST"
    path: str
    dialect: str = "openai_chat"
    body_type: BodyType = "none"
    model: bool = False
    batch_model_path: tuple[str, ...] = ()
    has_resource_ids: bool = False
    binary_response: bool = False

    @property
    def free_of_charge(self) -> bool:
        """Whether the operation costs nothing (reads, deletes, cancels): no budget refuses it."""
        return self.method != "POST" or self.path.endswith("/cancel")

    @property
    def path_suffix(self) -> str:
        """The path relative to the family's."""
        start = _FAMILY_PATHS.get(self.family, self.family)
        return self.path.removeprefix(start)


# The path of a family, if it differs from its name.
_FAMILY_PATHS = {"anthropic/files": "files", "anthropic/batches": "messages/batches"}


def _model_operation(family: str, body_type: BodyType) -> Operation:
    return Operation(family=family, path=family, body_type=body_type, model=True)


def _resource_operation(
    family: str, dialect: str, method: str, suffix: str = "", **fields: object
) -> Operation:
    path = _FAMILY_PATHS.get(family, family) + suffix
    return Operation(
        family=family,
        method=method,
        path=path,
        dialect=dialect,
        has_resource_ids=True,
        **fields,  # type: ignore[arg-type]
    )


_OPENAI, _ANTHROPIC = "openai_chat", "anthropic_messages"
OPERATIONS: tuple[Operation, ...] = (
    Operation(family="rerank", path="rerank", dialect="rerank", body_type="json", model=True),
    _model_operation("images/generations", "json"),
    _model_operation("images/edits", "either"),
    _model_operation("images/variations", "form"),
    Operation(
        family="audio/speech",
        path="audio/speech",
        body_type="json",
        model=True,
        binary_response=True,
    ),
    _model_operation("audio/transcriptions", "form"),
    _model_operation("audio/translations", "form"),
    _model_operation("moderations", "json"),
    _resource_operation("files", _OPENAI, "POST", body_type="form"),
    _resource_operation("files", _OPENAI, "GET"),
    _resource_operation("files", _OPENAI, "GET", "/{id}"),
    _resource_operation("files", _OPENAI, "DELETE", "/{id}"),
    _resource_operation("files", _OPENAI, "GET", "/{id}/content", binary_response=True),
    _resource_operation("batches", _OPENAI, "POST", body_type="json"),
    _resource_operation("batches", _OPENAI, "GET"),
    _resource_operation("batches", _OPENAI, "GET", "/{id}"),
    _resource_operation("batches", _OPENAI, "POST", "/{id}/cancel"),
    _resource_operation("anthropic/files", _ANTHROPIC, "POST", body_type="form"),
    _resource_operation("anthropic/files", _ANTHROPIC, "GET"),
    _resource_operation("anthropic/files", _ANTHROPIC, "GET", "/{id}"),
    _resource_operation("anthropic/files", _ANTHROPIC, "DELETE", "/{id}"),
    _resource_operation(
        "anthropic/files", _ANTHROPIC, "GET", "/{id}/content", binary_response=True
    ),
    _resource_operation(
        "anthropic/batches",
        _ANTHROPIC,
        "POST",
        body_type="json",
        batch_model_path=("requests", "params"),
    ),
    _resource_operation("anthropic/batches", _ANTHROPIC, "GET"),
    _resource_operation("anthropic/batches", _ANTHROPIC, "GET", "/{id}"),
    _resource_operation("anthropic/batches", _ANTHROPIC, "DELETE", "/{id}"),
    _resource_operation("anthropic/batches", _ANTHROPIC, "POST", "/{id}/cancel"),
    _resource_operation(
        "anthropic/batches", _ANTHROPIC, "GET", "/{id}/results", binary_response=True
    ),
)
# A WebSocket: its HTTP path is served elsewhere.
REALTIME = Operation(family="realtime", method="GET", path="realtime", model=True)
# Paths that exist in two dialects.
_SHARED_PATHS = frozenset(
    first.path
    for first, second in combinations(OPERATIONS, 2)
    if first.path == second.path and first.dialect != second.dialect
)
# Families that OpenAI serves.
OPENAI_FAMILIES = tuple(dict.fromkeys(o.family for o in OPERATIONS if o.dialect == _OPENAI))


def _family_paths(*families: str, prefix: str = "") -> dict[str, str]:
    """Return the paths of these families below `prefix`."""
    return {name: f"{prefix}/{_FAMILY_PATHS.get(name, name)}" for name in families}


_IMAGES = ("images/generations", "images/edits")
_TRANSCRIPTION = ("audio/transcriptions", "audio/translations")
_AUDIO = ("audio/speech", *_TRANSCRIPTION)
_FILES_AND_BATCHES = ("files", "batches")
_REALTIME = ("realtime",)
_ANTHROPIC_FAMILIES = ("anthropic/files", "anthropic/batches")
_DEPLOYMENT = "/openai/deployments/{model}"

# Every preset has a row (a test checks this), most of them empty: their documentation has
# none of these, or in a format other than OpenAI's, Anthropic's or Cohere's.
PASSTHROUGH_PATHS: dict[str, dict[str, str]] = {
    "openai": _family_paths(*OPENAI_FAMILIES, *_REALTIME),
    "openai_responses": _family_paths(*OPENAI_FAMILIES, *_REALTIME),
    # Reference of the data plane, 2024-10-21; the paths of files and batches have no deployment.
    "azure_openai": {
        **_family_paths("images/generations", *_AUDIO, prefix=_DEPLOYMENT),
        **_family_paths(*_FILES_AND_BATCHES, prefix="/openai"),
        # A path that ends in `=` is followed by the model's name. Azure's last version before `v1`.
        "realtime": "/openai/realtime?api-version=2025-04-01-preview&deployment=",
    },
    "azure-openai-v1": _family_paths(*_IMAGES, *_AUDIO, *_FILES_AND_BATCHES, *_REALTIME),
    "azure_ai": {},
    "deepseek": {},
    "groq": _family_paths(*_AUDIO, *_FILES_AND_BATCHES),
    "openrouter": {},
    # Its batches and files are OpenAI's except for the body of a batch.
    "together": _family_paths("rerank", "images/generations", *_AUDIO, *_FILES_AND_BATCHES),
    # Its batches are jobs of another shape (`/batch/jobs`).
    "mistral": _family_paths("audio/transcriptions", "moderations", "files"),
    "fireworks": _family_paths("rerank"),
    "gemini-openai": _family_paths("images/generations", *_FILES_AND_BATCHES),
    "xai": _family_paths(*_IMAGES, "files"),
    "cerebras": _family_paths(*_FILES_AND_BATCHES),
    "perplexity": {},
    "moonshot": _family_paths(*_FILES_AND_BATCHES),
    "zai": _family_paths("images/generations"),
    "dashscope": _family_paths(*_FILES_AND_BATCHES),
    "nvidia": {},
    "sambanova": _family_paths("audio/transcriptions", "audio/translations"),
    "huggingface": {},
    "github": {},
    "deepinfra": _family_paths("images/generations", *_AUDIO),
    "novita": _family_paths("rerank", *_FILES_AND_BATCHES),
    "hyperbolic": {},
    "nebius": _family_paths("images/generations", *_FILES_AND_BATCHES),
    "baseten": {},
    "featherless": {},
    "friendli": {},
    "lambda": {},
    "siliconflow": _family_paths(
        "rerank", "images/generations", "audio/speech", "audio/transcriptions"
    ),
    "nscale": _family_paths("images/generations"),
    "ovhcloud": _family_paths("audio/transcriptions"),
    "scaleway": _family_paths("rerank", "audio/transcriptions", *_FILES_AND_BATCHES),
    "wandb": {},
    "digitalocean": _family_paths("images/generations"),
    "chutes": {},
    "vercel": {},
    "aiml": _family_paths("images/generations", "audio/speech"),
    "aihubmix": _family_paths("rerank", *_IMAGES, *_AUDIO, "moderations"),
    "poe": {},
    "cloudflare": {},
    "databricks": {},
    "snowflake": {},
    "cohere": _family_paths("rerank", prefix="/v2"),
    "ai21": {},
    "minimax-openai": {},
    "minimax": {},
    "zhipu": _family_paths(
        "rerank", "images/generations", "audio/transcriptions", *_FILES_AND_BATCHES
    ),
    "volcengine": _family_paths("images/generations", "files"),
    "stepfun": _family_paths("images/generations", "audio/speech", "audio/transcriptions", "files"),
    "upstage": {},
    "inception": {},
    "meta_llama": _family_paths("moderations"),
    "xiaomi": {},
    "dashscope-cn": _family_paths(*_FILES_AND_BATCHES),
    "voyage": _family_paths("rerank"),
    "jina": _family_paths("rerank"),
    "anthropic": _family_paths(*_ANTHROPIC_FAMILIES, prefix="/v1"),
    "deepseek-anthropic": {},
    "ollama-anthropic": {},
    "moonshot-anthropic": {},
    "zai-anthropic": {},
    "custom-anthropic": _family_paths(*_ANTHROPIC_FAMILIES, prefix="/v1"),
    "gemini": {},
    "vertex": {},
    "bedrock": {},
    "bedrock-anthropic": {},
    "sagemaker": {},
    "predibase": {},
    "azure-anthropic": _family_paths("anthropic/files", prefix="/v1"),
    "vertex-anthropic": {},
    "vertex-openai": {},
    "ollama": {},
    "ollama-openai": {},
    "vllm": _family_paths("rerank", *_TRANSCRIPTION),
    "lmstudio": {},
    "llamacpp": _family_paths("rerank"),
    "sglang": _family_paths("rerank"),
    "localai": _family_paths(
        "rerank", "images/generations", "audio/speech", "audio/transcriptions"
    ),
    "llamafile": {},
    "jan": {},
    "koboldcpp": _family_paths("images/generations", "audio/speech", "audio/transcriptions"),
    "lemonade": _family_paths(
        "rerank", "images/generations", "audio/speech", "audio/transcriptions"
    ),
    "xinference": _family_paths("rerank", *_IMAGES, "images/variations", *_AUDIO),
    "demo": {},
    "custom": _family_paths("rerank", *OPENAI_FAMILIES, *_REALTIME),
    "custom-completions": _family_paths(*_FILES_AND_BATCHES),
    "custom-embeddings": _family_paths("rerank"),
}


def family_path(preset: str, paths: Mapping[str, str], family: str) -> str | None:
    """Return the path of a family below a provider's base URL, with `{model}` as placeholder.

    None if the provider does not serve it. A row's own `paths` take precedence.
    """
    row_path = paths.get(family)
    return row_path if row_path is not None else PASSTHROUGH_PATHS.get(preset, {}).get(family)


def find_operation(method: str, path: str, dialect: str) -> tuple[Operation | None, str, str]:
    """Return the operation at a path below `/v1`, the id in the path, and the allowed methods.

    `dialect` is the client's format, for paths that two dialects have. The methods are empty
    if nothing exists at the path.
    """
    allowed_methods: list[str] = []
    for operation in OPERATIONS:
        resource_id = match_path(operation.path, path)
        if resource_id is None or (
            operation.path in _SHARED_PATHS and operation.dialect != dialect
        ):
            continue
        allowed_methods.append(operation.method)
        if operation.method == method:
            return operation, resource_id, operation.method
    return None, "", ", ".join(allowed_methods)


def match_path(template: str, path: str) -> str | None:
    """Return the id in a path, "" if the template has none; None for another path."""
    before, placeholder, after = template.partition("{id}")
    if not placeholder:
        return "" if path == template else None
    if not path.startswith(before) or not path.endswith(after):
        return None
    resource_id = path[len(before) : len(path) - len(after)] if after else path[len(before) :]
    return resource_id if resource_id and "/" not in resource_id else None
