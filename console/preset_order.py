"""The order in which pages offer the presets of providers."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.providers.profile import Preset

# The presets that most installations begin with, in this order.
POPULAR_PRESETS = ("openai", "anthropic", "gemini", "openrouter", "azure_openai", "bedrock")
_RANKS = {name: rank for rank, name in enumerate(POPULAR_PRESETS)}


def sort_presets(presets: Iterable[Preset]) -> list[Preset]:
    """Popular presets first, then hosted, self-hosted and custom ones, each by title."""
    return sorted(
        presets,
        key=lambda preset: (
            _RANKS.get(preset.name, len(_RANKS)),
            preset.local,
            not preset.base_url and not preset.env,
            preset.title.lower(),
        ),
    )
