"""What each model can do: an ordered table of trait changes by preset and model."""

from __future__ import annotations

from functools import lru_cache

from gateway.canon.traits import Traits


@lru_cache(maxsize=4096)
def traits_for(preset: str, model: str) -> Traits:
    """The capability flags of `model` at a provider of `preset`."""
    return Traits(kind=preset, model=model)
