"""The tables of all sections, and functions that look up a key in them."""

from __future__ import annotations

import difflib
import fnmatch

from gateway.compat.litellm.config import reasons
from gateway.compat.litellm.config.keys import INFO, MODEL, PARAMS, TOP_LEVEL_KEYS, Key
from gateway.compat.litellm.config.settings_keys import CACHE_KEYS, GENERAL_KEYS, LITELLM, ROUTER

SECTIONS: dict[str, dict[str, Key]] = {
    "": TOP_LEVEL_KEYS,
    "model_list[]": MODEL,
    "litellm_params": PARAMS,
    "model_info": INFO,
    "litellm_settings": LITELLM,
    "cache_params": CACHE_KEYS,
    "router_settings": ROUTER,
    "general_settings": GENERAL_KEYS,
}


# Keys that come in families, by name pattern; the documentation lists each family once.
_PRICES = {
    name: Key("planned", reasons.PRICED)
    for name in (
        "*_above_*",
        "*_batches",
        "*_flex",
        "*_priority",
        "*_balanced",
        "*_ultrafast",
        "*_cache_hit",
        "*_per_audio*",
        "*_per_image*",
        "*_per_video*",
        "*_per_pixel*",
        "*_per_page*",
        "*_per_credit*",
        "*_per_query*",
        "*_per_second*",
        "*_audio_token_cost",
        "*_image_token_cost",
        "citation_cost_per_token",
        "regional_*_uplift_multiplier*",
    )
}
FAMILIES: dict[str, dict[str, Key]] = {
    "litellm_params": {
        **_PRICES,
        "anthropic_*": Key("planned", "workload identity is not supported yet: use an api_key"),
    },
    "model_info": {**_PRICES, "supports_*": Key("unsupported", reasons.CAPABILITIES)},
}


def find_key(section: str, name: str) -> Key | None:
    """Return the support of a key; None for an unknown one."""
    key = SECTIONS[section].get(name)
    if key is not None:
        return key
    families = FAMILIES.get(section, {})
    matches = (
        family_key for form, family_key in families.items() if fnmatch.fnmatchcase(name, form)
    )
    return next(matches, None)


# Search order for an unknown key: settings of all models before those of one.
_SUGGESTED_SECTIONS = (
    "litellm_settings",
    "router_settings",
    "general_settings",
    "litellm_params",
    "model_info",
    "",
)


def suggest_key(section: str, name: str) -> str:
    """Return the known key closest to an unknown one; empty if none is similar.

    A key that belongs in another section is returned as `section.key`.
    """
    for section_name in _SUGGESTED_SECTIONS:
        if name in SECTIONS[section_name]:
            return f"{section_name}.{name}".lstrip(".")
    matches = difflib.get_close_matches(name, SECTIONS[section], n=1, cutoff=0.75)
    return matches[0] if matches else ""
