"""The catalogue of providers: one row for each, all it takes to call it but the key.

A new provider that speaks a known dialect is one row in `hosted`, `makers`, `hosts`,
`local`, `messages`, `google` or `clouds`. What it does differently goes into `traits`
(facts that the renderer consults) or `edits` (changes to the JSON), never into code. What a
model can do, wherever it is served, stands in `gateway.providers.families`.
"""

from __future__ import annotations

from gateway.providers.catalog.clouds import CLOUDS
from gateway.providers.catalog.google import GOOGLE
from gateway.providers.catalog.hosted import HOSTED
from gateway.providers.catalog.hosts import HOSTS
from gateway.providers.catalog.local import LOCAL
from gateway.providers.catalog.makers import MAKERS
from gateway.providers.catalog.messages import MESSAGES
from gateway.providers.profile import Preset

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        *HOSTED,
        *MAKERS,
        *HOSTS,
        *LOCAL,
        *MESSAGES,
        *GOOGLE,
        *CLOUDS,
    )
}


def _normalize(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _index() -> dict[str, Preset]:
    """Every name a preset goes by; its own name beats an alias, an alias a prefix."""
    presets: dict[str, Preset] = {}
    for names in (lambda p: (p.name,), lambda p: p.aliases, lambda p: p.litellm):
        for preset in PRESETS.values():
            for name in names(preset):
                presets.setdefault(_normalize(name), preset)
    return presets


_BY_NAME = _index()


def resolve(name: str) -> Preset | None:
    """The preset for its name, an alias, a dialect or LiteLLM's prefix; None if unknown.

    A dialect's bare name gives the plain preset of that dialect; `-` and `_` are one.
    """
    return _BY_NAME.get(_normalize(name))
