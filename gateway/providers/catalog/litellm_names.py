"""LiteLLM's `provider/model` names: resolves a prefix and a name to a preset and a model.

Some prefixes stand for several APIs of one cloud; the model's name then selects the preset.
Some names begin with the name of an API, or with a region.
"""

from __future__ import annotations

import fnmatch
import re

import msgspec

from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset

PREFIXES: dict[str, Preset] = {
    prefix: preset for preset in PRESETS.values() for prefix in preset.litellm
}

# Vertex AI's models for embeddings, which have Google's own API (`predict`).
VERTEX_EMBEDDINGS = (
    "text-embedding-0*",
    "text-embedding-large-exp-*",
    "text-embedding-preview-*",
    "text-multilingual-embedding-*",
    "textembedding-gecko*",
)
# prefix -> (pattern of the model's name, preset); the first match counts.
_PRESETS_BY_MODEL_NAME: dict[str, tuple[tuple[str, str], ...]] = {
    "vertex_ai": (
        ("claude*", "vertex-anthropic"),
        *((pattern, "vertex") for pattern in ("gemini*", *VERTEX_EMBEDDINGS)),
        ("*", "vertex-openai"),
    ),
    "azure_ai": (("claude*", "azure-anthropic"),),
}
_PRESETS_BY_MODEL_NAME["vertex_ai_beta"] = _PRESETS_BY_MODEL_NAME["vertex_ai"]
# Name parts that select one of a provider's APIs; ignored, as the preset determines the API.
_API_SELECTORS: dict[str, tuple[str, ...]] = {
    "": ("responses/", "chat/"),
    "azure": ("o_series/", "gpt5_series/"),
    "bedrock": ("converse/", "converse_like/", "invoke/"),
}
_REGION = re.compile(r"(?P<region>[a-z]{2}(?:-gov)?-[a-z]+-\d)/")


class PrefixMatch(msgspec.Struct, frozen=True):
    """A preset, and the upstream's name of the model; `region` if the name contains one."""

    preset: Preset
    model: str
    region: str = ""


def presets_for_prefix(prefix: str) -> frozenset[str]:
    """Return the presets that a prefix may stand for; empty for an unknown one."""
    preset = PREFIXES.get(prefix)
    if preset is None:
        return frozenset()
    return frozenset({preset.name, *(name for _, name in _PRESETS_BY_MODEL_NAME.get(prefix, ()))})


def prefix_for_preset(name: str) -> str:
    """Return LiteLLM's first prefix for a preset, or an empty text if it has none."""
    preset = PRESETS.get(name)
    if preset is not None and preset.litellm:
        return preset.litellm[0]
    prefixes = (
        prefix
        for prefix, presets in _PRESETS_BY_MODEL_NAME.items()
        if any(preset_name == name for _, preset_name in presets)
    )
    return next(prefixes, "")


def patterns_of_prefix(prefix: str) -> tuple[str, ...]:
    """Return the patterns of the names that select another preset than the prefix's others."""
    patterns = (pattern for pattern, _ in _PRESETS_BY_MODEL_NAME.get(prefix, ()))
    return tuple(pattern for pattern in patterns if pattern != "*")


def match_prefix(prefix: str, name: str) -> PrefixMatch | None:
    """Resolve LiteLLM's `prefix/name`; None for an unknown prefix."""
    preset = PREFIXES.get(prefix)
    if preset is None:
        return None
    for alias in (*_API_SELECTORS[""], *_API_SELECTORS.get(prefix, ())):
        name = name.removeprefix(alias)
    for pattern, preset_name in _PRESETS_BY_MODEL_NAME.get(prefix, ()):
        if fnmatch.fnmatchcase(name.lower(), pattern):
            preset = PRESETS[preset_name]
            break
    region = ""
    if preset.auth == "sigv4" and (match := _REGION.match(name)) is not None:
        region, name = match["region"], name[match.end() :]
    return PrefixMatch(preset, name, region)
