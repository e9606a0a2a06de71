"""Infers the provider of a LiteLLM model name, and the provider's name of the model."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from gateway.compat.litellm.config.compatible_servers import COMPATIBLE_SERVERS
from gateway.compat.litellm.config.reader import Node
from gateway.providers.catalog import PRESETS
from gateway.providers.catalog.litellm_names import PREFIXES, VERTEX_EMBEDDINGS, match_prefix
from gateway.providers.profile import Preset

# LiteLLM's provider prefix for a bare model name (get_llm_provider, 2026-11). It looks the
# name up in its price list; these are the patterns of the names there.
_BEDROCK_VENDORS = """
    ai21 amazon anthropic cohere deepseek google meta minimax mistral moonshot moonshotai nvidia
    openai qwen stability twelvelabs writer xai zai
"""
_BEDROCK_REGIONS = ("", "??.", "apac.", "global.", "us-gov.")
FAMILIES: dict[str, tuple[str, ...]] = {
    # Before OpenAI's, of which the first is one by its prefix.
    "vertex_ai": VERTEX_EMBEDDINGS,
    "openai": (
        "gpt-*",
        "chatgpt-*",
        "o1*",
        "o3*",
        "o4*",
        "codex-*",
        "computer-use-*",
        "text-embedding-*",
        "babbage-002",
        "davinci-002",
        "ft:gpt-*",
        "ft:babbage-002*",
        "ft:davinci-002*",
        "dall-e-*",
        "whisper-*",
        "tts-*",
        "omni-moderation-*",
    ),
    "anthropic": ("claude-*",),
    "bedrock": tuple(
        f"{region}{vendor}.*" for region in _BEDROCK_REGIONS for vendor in _BEDROCK_VENDORS.split()
    ),
    "gemini": ("gemini-*",),
    "cohere": (
        "command",
        "command-*",
        "c4ai-*",
        "embed-english-*",
        "embed-multilingual-*",
        "rerank-english-*",
        "rerank-multilingual-*",
        "rerank-v*",
    ),
    "ai21": ("jamba-*", "j2-*"),
}
# Prefixes whose families the model `*` stands for.
_ANY_NAME = frozenset({"openai", "anthropic", "gemini", "cohere", "ai21"})
# Bare names for which LiteLLM would call another endpoint of the provider.
ELSEWHERE = {
    "gemini": "is called at the Gemini API, as no vertex_project is set; LiteLLM calls Vertex AI"
}
# Prefixes for which LiteLLM calls another API of the same server.
OTHER_API = {
    "sagemaker": "is called with the Messages API of its container (OpenAI's Chat format), which "
    "TGI (older ones with MESSAGES_API_ENABLED=true), LMI and vLLM have; LiteLLM sends TGI a "
    "prompt that it renders itself"
}
# Providers whose wire format LiteLLM supports and Dragoman does not yet.
_PLANNED_PROVIDERS = """
    aleph_alpha amazon_nova anthropic_text anyscale aws_polly aws_textract azure_speech
    azure_text bespoke black_forest_labs bytez chatgpt clarifai codestral compactifai
    databricks_agent datarobot deepgram elevenlabs fal_ai gigachat github_copilot heroku
    infinity langflow langgraph maritalk nlp_cloud nvidia_riva oci oobabooga petals ragflow
    recraft reducto replicate runwayml sap sarvam scaledown soniox stability
    text-completion-codestral text-completion-inception topaz transcribe triton watsonx
    watsonx_text
"""
PLANNED_PROVIDERS = frozenset(_PLANNED_PROVIDERS.split())


class UnsupportedEntry(Exception):
    """The entry is not supported: it is skipped, and the other entries apply."""


class ResolvedModel(msgspec.Struct, frozen=True):
    """A preset, LiteLLM's prefix for it, the upstream's model name; `guessed` if inferred.

    `region` is the AWS region, if the name contains one. `key_preset` has the usual URL, the
    variable and the header of the key, if another preset than `preset` does.
    """

    preset: Preset
    prefix: str
    model: str
    guessed: bool = False
    region: str = ""
    key_preset: Preset | None = None


def resolve_model(model: str, provider: Node | None, base: str) -> ResolvedModel:
    """Resolve a `model`; `provider` is its `custom_llm_provider`. Raises UnsupportedEntry."""
    if provider is not None:
        prefix = provider.text()
        return _resolve_prefix(prefix, model.removeprefix(f"{prefix}/"))
    prefix, slash, model_name = model.partition("/")
    is_preset = prefix in PREFIXES or (prefix in PRESETS and PRESETS[prefix].base_url)
    if slash and (is_preset or prefix in COMPATIBLE_SERVERS):
        return _resolve_prefix(prefix, model_name)
    host_model = _by_host(base)
    if host_model is not None:
        return ResolvedModel(host_model, host_model.litellm[0], model)
    if model == "*":
        return _resolve_prefix("openai", model)
    prefix = _model_family(model)
    if prefix:
        resolved_prefix = _resolve_prefix(prefix, model)
        return msgspec.structs.replace(resolved_prefix, guessed=True)
    if base and not slash:
        return ResolvedModel(PRESETS["custom"], "custom_openai", model)
    raise UnsupportedEntry(_unknown_provider(model))


def families(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (prefix, pattern) of the bare names for which a key is set, for the model `*`."""
    return [
        (prefix, pattern)
        for prefix, patterns in FAMILIES.items()
        if prefix in PREFIXES and any(environ.get(name) for name in PREFIXES[prefix].env)
        for pattern in patterns
        if pattern.endswith("*") and prefix in _ANY_NAME
    ]


def _resolve_prefix(prefix: str, model: str) -> ResolvedModel:
    match = match_prefix(prefix, model)
    if match is None and (preset := PRESETS.get(prefix)) is not None and preset.base_url:
        return ResolvedModel(preset, prefix, model)
    if match is None and (server := COMPATIBLE_SERVERS.get(prefix)) is not None:
        key_preset = server.key_preset(prefix)
        return ResolvedModel(PRESETS["custom"], prefix, model, key_preset=key_preset)
    if match is None:
        raise UnsupportedEntry(f"the provider `{prefix}` is not supported yet")
    return ResolvedModel(match.preset, prefix, match.model, region=match.region)


def _model_family(model: str) -> str:
    for prefix, patterns in FAMILIES.items():
        if any(fnmatch.fnmatchcase(model, pattern) for pattern in patterns):
            return prefix
    return ""


def _by_host(base: str) -> Preset | None:
    """Return the preset with this host: LiteLLM recognizes some providers by host."""
    host = urlsplit(base).hostname if base else None
    if host is None:
        return None
    for preset in PRESETS.values():
        if preset.litellm and not preset.local and urlsplit(preset.base_url).hostname == host:
            return preset
    return None


def _unknown_provider(model: str) -> str:
    prefix, slash, _ = model.partition("/")
    if slash and prefix in PLANNED_PROVIDERS:
        return f"the provider `{prefix}` is not supported yet"
    if slash:
        return (
            f"the provider `{prefix}` is unknown; write a server with OpenAI's API as "
            f"openai/{model} with its api_base"
        )
    vendor = model.partition("-")[0]
    example = f"{vendor}/{model}" if vendor in PREFIXES else "provider/model"
    return f"its provider cannot be inferred (nor can LiteLLM infer it); write it as {example}"
