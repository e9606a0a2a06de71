"""Capabilities of a model at a provider: the preset's traits, then the model's family.

In order, each overriding the one before: `Traits()`, the preset's row in the
catalog, the rows of `families` that match, an operator's changes (`merge_traits`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from gateway.canon.traits import Traits
from gateway.providers.catalog import PRESETS
from gateway.providers.families import FAMILIES, Family
from gateway.providers.prices import context_window
from gateway.providers.profile import Edit

_DEFAULTS = Traits()
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Traits)}
_PATTERNS = tuple(re.compile(family.model) for family in FAMILIES)

_VENDOR = re.compile(r"^(?:(?:us|eu|apac|global|jp|au)\.)?anthropic\.")
_VERSION_DOT = re.compile(r"(?<=\d)[.](?=\d)")
_CLAUDE_NUMBER_FIRST = re.compile(r"^claude-(\d(?:-\d)?)-(opus|sonnet|haiku)(?![a-z])")


@lru_cache(maxsize=4096)
def traits_for(preset: str, model: str) -> Traits:
    """Return the traits of `model` at a provider of `preset`.

    A model without a row gets the traits of the preset, and an unknown preset the defaults of
    `Traits`: only known ones are set.
    """
    row = PRESETS.get(preset)
    traits: dict[str, Any] = dict(row.traits) if row else {}
    for family in families_of(preset, model):
        traits.update(family.traits)
    if traits.get("context_window") is None:
        traits["context_window"] = context_window(preset, model)
    return merge_traits(_DEFAULTS, {**traits, "preset": preset, "model": model})


@lru_cache(maxsize=4096)
def edits_for(preset: str, model: str) -> tuple[Edit, ...]:
    """Return the edits that a model needs in addition to its provider's, for `Model.edits`."""
    return tuple(edit for family in families_of(preset, model) for edit in family.edits)


@lru_cache(maxsize=4096)
def declared_traits(preset: str, model: str) -> frozenset[str]:
    """Return the names of the traits that the family table sets for a model, without defaults."""
    return frozenset(name for family in families_of(preset, model) for name in family.traits)


def merge_traits(traits: Traits, overrides: Mapping[str, Any]) -> Traits:
    """Return the traits with changes, as an operator or a table writes them.

    Lists are converted to tuples.

    Raises:
        ValueError: an unknown trait, or a value of the wrong type; the message names the trait.
    """
    changes = {name: _check_value(name, value) for name, value in overrides.items()}
    return msgspec.structs.replace(traits, **changes)


def _check_value(name: str, value: Any) -> Any:
    expected_type = _TYPES.get(name)
    if expected_type is None:
        raise ValueError(f"`{name}` is not a trait")
    try:
        return msgspec.convert(value, expected_type)
    except msgspec.ValidationError as error:
        raise ValueError(f"trait `{name}`: {error}") from None


def families_of(preset: str, model: str) -> list[Family]:
    """Return the rows of the family table that match a model, highest precedence last."""
    name = normalize_model_name(model)
    row = PRESETS.get(preset)
    dialect = row.dialect if row else ""
    return [
        family
        for family, pattern in zip(FAMILIES, _PATTERNS, strict=True)
        if (not family.presets or preset in family.presets)
        and (not family.dialect or dialect == family.dialect)
        and pattern.match(name)
    ]


def normalize_model_name(model: str) -> str:
    """Return a model's name as the table writes it, independent of who serves it.

    Lower case; without vendor path, Bedrock's prefix and a fine-tune's suffix; `4.5` as
    `4-5`; Claude's size before its number (`claude-3-5-haiku` as `claude-haiku-3-5`).
    """
    name = model.lower().rpartition("/")[2]
    if name.startswith("ft:"):
        name = name.split(":")[1]
    name = _VERSION_DOT.sub("-", _VENDOR.sub("", name))
    return _CLAUDE_NUMBER_FIRST.sub(r"claude-\2-\1", name)
