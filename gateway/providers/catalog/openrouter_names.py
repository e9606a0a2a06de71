"""OpenRouter's model names, `author/slug:variant`, for the authors' own providers.

    x-ai/grok-4                        grok-4 of the preset xai
    anthropic/claude-sonnet-4.5:beta   claude-sonnet-4-5 of the preset anthropic

openrouter.ai/docs/guides/routing/model-variants: some variants only select among OpenRouter's
endpoints, which has no meaning at one provider. `:online` and `:thinking` change the request
itself, so names with them are not translated.
"""

from __future__ import annotations

import re

# author -> presets, in order of precedence
AUTHORS: dict[str, tuple[str, ...]] = {
    "ai21": ("ai21",),
    "anthropic": ("anthropic",),
    "cohere": ("cohere",),
    "deepseek": ("deepseek",),
    "google": ("gemini", "vertex", "gemini-openai"),
    "inception": ("inception",),
    "minimax": ("minimax", "minimax-openai"),
    "mistralai": ("mistral",),
    "moonshotai": ("moonshot",),
    "openai": ("openai",),
    "perplexity": ("perplexity",),
    "qwen": ("dashscope", "dashscope-cn"),
    "stepfun": ("stepfun",),
    "stepfun-ai": ("stepfun",),
    "upstage": ("upstage",),
    "x-ai": ("xai",),
    "xiaomi": ("xiaomi",),
    "z-ai": ("zai", "zhipu"),
}
_PRESETS = frozenset(preset for presets in AUTHORS.values() for preset in presets)
# Presets whose model names have a hyphen between the numbers of a version.
_HYPHENATED_VENDORS = frozenset({"anthropic"})
_VARIANT = re.compile(r":(?:free|nitro|floor|exacto|extended|beta)\Z")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")


def native_name(preset: str, slug: str) -> str:
    """The provider's own name of a model that a client may have named as OpenRouter does."""
    if preset not in _PRESETS:
        return slug
    slug = _VARIANT.sub("", slug)
    return _POINT.sub("-", slug) if preset in _HYPHENATED_VENDORS else slug


def split_author(name: str) -> tuple[tuple[str, ...], str] | None:
    """The presets of the author of `author/slug`, and the slug; None for an unknown author."""
    author, _, slug = name.partition("/")
    presets = AUTHORS.get(author)
    return (presets, slug) if presets is not None and slug else None
