"""The catalog of providers: one row each, with everything to call it except the key.

A new provider that speaks a known dialect is one row in `vendors`, `hosts`, `local`,
`messages`, `google` or `clouds`. Its differences go into `traits` (which the
renderer consults) or `edits` (changes to the JSON), never into code. Capabilities of a model
that do not depend on the provider are in `gateway.providers.families`.
"""

from __future__ import annotations

from gateway.providers.catalog.clouds import CLOUD_PRESETS
from gateway.providers.catalog.google import GOOGLE_PRESETS
from gateway.providers.catalog.hosts import HOST_PRESETS
from gateway.providers.catalog.local import LOCAL_PRESETS
from gateway.providers.catalog.messages import MESSAGES_PRESETS
from gateway.providers.catalog.vendors import VENDOR_PRESETS
from gateway.providers.profile import Preset

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        *VENDOR_PRESETS,
        *HOST_PRESETS,
        *LOCAL_PRESETS,
        *MESSAGES_PRESETS,
        *GOOGLE_PRESETS,
        *CLOUD_PRESETS,
    )
}


def _normalize_name(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _presets_by_name() -> dict[str, Preset]:
    """Index the presets by name; a name takes precedence over an alias, an alias over a prefix."""
    presets: dict[str, Preset] = {}
    for names in (lambda p: (p.name,), lambda p: p.aliases, lambda p: p.litellm):
        for preset in PRESETS.values():
            for name in names(preset):
                presets.setdefault(_normalize_name(name), preset)
    return presets


_BY_NAME = _presets_by_name()


def resolve_preset(name: str) -> Preset | None:
    """Return the preset with this name, alias, dialect or LiteLLM prefix; None if unknown.

    The name of a dialect returns the plain preset of that dialect; `-` and `_` are equivalent.
    """
    return _BY_NAME.get(_normalize_name(name))
