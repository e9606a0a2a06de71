"""Origin of a model's traits: the layers of `capabilities`, each with its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.canon.traits import Traits
from gateway.providers.capabilities import families_of
from gateway.providers.catalog import PRESETS
from gateway.providers.prices import context_window, price_book

Origin = Literal["assumed", "preset", "family", "price list", "learned", "custom"]


class OriginatedValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value and its origin; `ref` is the row of the table, if there is one."""

    value: Any
    origin: Origin
    ref: str = ""


# `msgspec.structs.fields` takes milliseconds, too many for a list of models.
_ASSUMED = {
    field.name: OriginatedValue(value=field.default, origin="assumed")
    for field in msgspec.structs.fields(Traits)
    if field.default is not msgspec.NODEFAULT
}


def traits_with_origin(preset: str, model: str) -> dict[str, OriginatedValue]:
    """Return every trait of a model with its origin."""
    traits = dict(_ASSUMED)
    row = PRESETS.get(preset)
    if row is not None:
        traits |= trait_layer(row.traits, "preset", row.title)
    for family in families_of(preset, model):
        traits |= trait_layer(family.traits, "family", family.model)
    window = context_window(preset, model)
    if traits["context_window"].value is None and window is not None:
        traits |= trait_layer({"context_window": window}, "price list", price_book().fetched_on)
    return traits


def trait_layer(
    values: Mapping[str, Any], origin: Origin, ref: str = ""
) -> dict[str, OriginatedValue]:
    """Return one layer of traits; later layers override earlier ones."""
    return {
        name: OriginatedValue(value=value, origin=origin, ref=ref) for name, value in values.items()
    }
