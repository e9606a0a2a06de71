"""Which table says what of a model: the layers of `capabilities`, each with its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gateway.canon.traits import Traits
from gateway.providers.capabilities import families_of
from gateway.providers.catalog import PRESETS
from gateway.providers.prices import book, context_window

Origin = Literal["assumed", "preset", "family", "price list", "learned", "own"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A value and who says so; `ref` is the row of the table, where it has one."""

    value: Any
    origin: Origin
    ref: str = ""


def told(preset: str, model: str) -> dict[str, Told]:
    """Every trait of a model, as the tables have it."""
    found = {
        field.name: Told(value=field.default, origin="assumed")
        for field in msgspec.structs.fields(Traits)
        if field.default is not msgspec.NODEFAULT
    }
    row = PRESETS.get(preset)
    if row is not None:
        found |= layer(row.traits, "preset", row.title)
    for family in families_of(preset, model):
        found |= layer(family.traits, "family", family.model)
    window = context_window(preset, model)
    if found["context_window"].value is None and window is not None:
        found |= layer({"context_window": window}, "price list", book().taken)
    return found


def layer(values: Mapping[str, Any], origin: Origin, ref: str = "") -> dict[str, Told]:
    """What one source says; later layers go over earlier ones."""
    return {name: Told(value=value, origin=origin, ref=ref) for name, value in values.items()}
