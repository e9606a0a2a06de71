"""List prices of models, by preset and model name."""

from __future__ import annotations

from gateway.providers.profile import Price


def price_for(preset: str, model: str) -> Price:
    """The list price; all None where unknown."""
    return Price()
