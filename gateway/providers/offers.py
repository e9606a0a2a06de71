"""What providers serve beside chats and embeddings: calls that are passed on as they are.

    OPERATIONS  what a client may call: method, path, and how its body is read
    OFFERS      preset -> family of operations -> path below the base URL

A provider row may say otherwise, or more, in its `paths`, by a family's name. A preset
without a row offers nothing; one that stands for any server (`ANY`) offers all that OpenAI
does, and the upstream itself says what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Body = Literal["json", "form", "either", "none"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        family: what of a provider serves it; the key in OFFERS and in a provider's `paths`.
        method: the HTTP method.
        path: below `/v1`, with `{id}` for one thing of a family.
        dialect: whose words errors are told in: `openai_chat`, `anthropic_messages`, `rerank`.
        takes: the kinds of body.
        model: whether the body names a model (it may be left out where the upstream has a
            model of its own).
        models_at: where a body names a model in each of a list (`requests`, `params`).
        ids: whether what it answers has an owner: ids are ours on the way out, and theirs
            on the way in.
        raw: whether it answers with a file, whose bytes nobody reads.
    """

    family: str
    method: str = "POST"
    path: str
    dialect: str = "openai_chat"
    takes: Body = "none"
    model: bool = False
    models_at: tuple[str, ...] = ()
    ids: bool = False
    raw: bool = False

    @property
    def rest(self) -> str:
        """What stands after the path of the family."""
        start = _START.get(self.family, self.family)
        return self.path.removeprefix(start)


# The path of a family, where it is not its name.
_START = {"anthropic/files": "files", "anthropic/batches": "messages/batches"}


def _made(family: str, takes: Body) -> Operation:
    return Operation(family=family, path=family, takes=takes, model=True)


def _kept(family: str, dialect: str, method: str, rest: str = "", **more: object) -> Operation:
    path = _START.get(family, family) + rest
    return Operation(
        family=family,
        method=method,
        path=path,
        dialect=dialect,
        ids=True,
        **more,  # type: ignore[arg-type]
    )


_OPENAI, _ANTHROPIC = "openai_chat", "anthropic_messages"
OPERATIONS: tuple[Operation, ...] = (
    Operation(family="rerank", path="rerank", dialect="rerank", takes="json", model=True),
    _made("images/generations", "json"),
    _made("images/edits", "either"),
    _made("images/variations", "form"),
    Operation(family="audio/speech", path="audio/speech", takes="json", model=True, raw=True),
    _made("audio/transcriptions", "form"),
    _made("audio/translations", "form"),
    _made("moderations", "json"),
    _kept("files", _OPENAI, "POST", takes="form"),
    _kept("files", _OPENAI, "GET"),
    _kept("files", _OPENAI, "GET", "/{id}"),
    _kept("files", _OPENAI, "DELETE", "/{id}"),
    _kept("files", _OPENAI, "GET", "/{id}/content", raw=True),
    _kept("batches", _OPENAI, "POST", takes="json"),
    _kept("batches", _OPENAI, "GET"),
    _kept("batches", _OPENAI, "GET", "/{id}"),
    _kept("batches", _OPENAI, "POST", "/{id}/cancel"),
    _kept("anthropic/files", _ANTHROPIC, "POST", takes="form"),
    _kept("anthropic/files", _ANTHROPIC, "GET"),
    _kept("anthropic/files", _ANTHROPIC, "GET", "/{id}"),
    _kept("anthropic/files", _ANTHROPIC, "DELETE", "/{id}"),
    _kept("anthropic/files", _ANTHROPIC, "GET", "/{id}/content", raw=True),
    _kept("anthropic/batches", _ANTHROPIC, "POST", takes="json", models_at=("requests", "params")),
    _kept("anthropic/batches", _ANTHROPIC, "GET"),
    _kept("anthropic/batches", _ANTHROPIC, "GET", "/{id}"),
    _kept("anthropic/batches", _ANTHROPIC, "DELETE", "/{id}"),
    _kept("anthropic/batches", _ANTHROPIC, "POST", "/{id}/cancel"),
    _kept("anthropic/batches", _ANTHROPIC, "GET", "/{id}/results", raw=True),
)
FAMILIES = tuple(dict.fromkeys(operation.family for operation in OPERATIONS))
# Paths that two dialects have.
_BOTH = frozenset(
    one.path
    for one in OPERATIONS
    for other in OPERATIONS
    if one.path == other.path and one.dialect != other.dialect
)
# What of them OpenAI serves.
OPENAI_FAMILIES = tuple(dict.fromkeys(o.family for o in OPERATIONS if o.dialect == _OPENAI))


def _at(*families: str, before: str = "") -> dict[str, str]:
    """These families below `before` and their own path."""
    return {name: f"{before}/{_START.get(name, name)}" for name in families}


_IMAGES = ("images/generations", "images/edits")
_SPOKEN = ("audio/transcriptions", "audio/translations")
_AUDIO = ("audio/speech", *_SPOKEN)
_KEPT = ("files", "batches")
_CLAUDE = ("anthropic/files", "anthropic/batches")
_DEPLOYED = "/openai/deployments/{model}"
# Presets that stand for any server of a format.
ANY = frozenset({"custom", "custom-completions", "custom-embeddings"})

# Every preset has a row (a test sees to it), most of them an empty one: nothing of this is
# in their documentation, or in another format than OpenAI's, Anthropic's or Cohere's.
OFFERS: dict[str, dict[str, str]] = {
    "openai": _at(*OPENAI_FAMILIES),
    "openai_responses": _at(*OPENAI_FAMILIES),
    # Reference of the data plane, 2024-10-21; files and batches have no deployment.
    "azure_openai": {
        **_at("images/generations", *_AUDIO, before=_DEPLOYED),
        **_at(*_KEPT, before="/openai"),
    },
    "azure-openai-v1": _at(*_IMAGES, *_AUDIO, *_KEPT),
    "azure_ai": {},
    "deepseek": {},
    "groq": _at(*_AUDIO, *_KEPT),
    "openrouter": {},
    # Its batches and files are OpenAI's but for what a batch's body says.
    "together": _at("rerank", "images/generations", *_AUDIO, *_KEPT),
    # Its batches are jobs of another shape (`/batch/jobs`).
    "mistral": _at("audio/transcriptions", "moderations", "files"),
    "fireworks": _at("rerank"),
    "gemini-openai": _at("images/generations", *_KEPT),
    "xai": _at(*_IMAGES, "files"),
    "cerebras": _at(*_KEPT),
    "perplexity": {},
    "moonshot": _at(*_KEPT),
    "zai": _at("images/generations"),
    "dashscope": _at(*_KEPT),
    "nvidia": {},
    "sambanova": _at("audio/transcriptions", "audio/translations"),
    "huggingface": {},
    "github": {},
    "deepinfra": _at("images/generations", *_AUDIO),
    "novita": _at("rerank", *_KEPT),
    "hyperbolic": {},
    "nebius": _at("images/generations", *_KEPT),
    "baseten": {},
    "featherless": {},
    "friendli": {},
    "lambda": {},
    "siliconflow": _at("rerank", "images/generations", "audio/speech", "audio/transcriptions"),
    "nscale": _at("images/generations"),
    "ovhcloud": _at("audio/transcriptions"),
    "scaleway": _at("rerank", "audio/transcriptions", *_KEPT),
    "wandb": {},
    "digitalocean": _at("images/generations"),
    "chutes": {},
    "vercel": {},
    "aiml": _at("images/generations", "audio/speech"),
    "aihubmix": _at("rerank", *_IMAGES, *_AUDIO, "moderations"),
    "poe": {},
    "cloudflare": {},
    "databricks": {},
    "snowflake": {},
    "cohere": _at("rerank", before="/v2"),
    "ai21": {},
    "minimax-openai": {},
    "minimax": {},
    "zhipu": _at("rerank", "images/generations", "audio/transcriptions", *_KEPT),
    "volcengine": _at("images/generations", "files"),
    "stepfun": _at("images/generations", "audio/speech", "audio/transcriptions", "files"),
    "upstage": {},
    "inception": {},
    "meta_llama": _at("moderations"),
    "xiaomi": {},
    "dashscope-cn": _at(*_KEPT),
    "voyage": _at("rerank"),
    "jina": _at("rerank"),
    "anthropic": _at(*_CLAUDE, before="/v1"),
    "deepseek-anthropic": {},
    "ollama-anthropic": {},
    "moonshot-anthropic": {},
    "zai-anthropic": {},
    "custom-anthropic": _at(*_CLAUDE, before="/v1"),
    "gemini": {},
    "vertex": {},
    "bedrock": {},
    "bedrock-anthropic": {},
    "azure-anthropic": _at("anthropic/files", before="/v1"),
    "vertex-anthropic": {},
    "vertex-openai": {},
    "ollama": {},
    "ollama-openai": {},
    "vllm": _at("rerank", *_SPOKEN),
    "lmstudio": {},
    "llamacpp": _at("rerank"),
    "sglang": _at("rerank"),
    "localai": _at("rerank", "images/generations", "audio/speech", "audio/transcriptions"),
    "llamafile": {},
    "jan": {},
    "koboldcpp": _at("images/generations", "audio/speech", "audio/transcriptions"),
    "lemonade": _at("rerank", "images/generations", "audio/speech", "audio/transcriptions"),
    "xinference": _at("rerank", *_IMAGES, "images/variations", *_AUDIO),
    "demo": {},
    "custom": _at("rerank", *OPENAI_FAMILIES),
    "custom-completions": _at(*_KEPT),
    "custom-embeddings": _at("rerank"),
}


def path_of(preset: str, paths: Mapping[str, str], family: str) -> str | None:
    """The path of a family below a provider's base URL, with `{model}` where a name belongs.

    None where the provider does not serve it. A row's own `paths` come first.
    """
    own = paths.get(family)
    return own if own is not None else OFFERS.get(preset, {}).get(family)


def find(method: str, path: str, dialect: str) -> tuple[Operation | None, str, str]:
    """The operation at a path below `/v1`, the id in it, and the methods that are allowed.

    `dialect` says whose client asks, where two have the same path. The methods are empty
    where there is nothing at the path at all.
    """
    allowed: list[str] = []
    for operation in OPERATIONS:
        named = match(operation.path, path)
        if named is None or (operation.path in _BOTH and operation.dialect != dialect):
            continue
        allowed.append(operation.method)
        if operation.method == method:
            return operation, named, operation.method
    return None, "", ", ".join(allowed)


def match(template: str, path: str) -> str | None:
    """The id in a path, empty where the template has none; None for another path."""
    before, mark, after = template.partition("{id}")
    if not mark:
        return "" if path == template else None
    if not path.startswith(before) or not path.endswith(after):
        return None
    found = path[len(before) : len(path) - len(after)] if after else path[len(before) :]
    return found if found and "/" not in found else None
