"""The search of the web that a provider runs, read from any dialect's tool for it."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Tool

NAME = "web_search"
_PLACE = ("city", "region", "country", "timezone")
_SIZES = ("low", "medium", "high")


class WebSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a search; empty where the client leaves it to the provider.

    Attributes:
        allowed, blocked: domains to search in, and not to.
        place: where the user is, as far as told: `city`, `region`, `country`, `timezone`.
        size: how much of what is found the model reads: `low`, `medium` or `high`.
        uses: the most searches.
    """

    allowed: list[str] = []
    blocked: list[str] = []
    place: dict[str, str] = {}
    size: str | None = None
    uses: int | None = None


def asked(tool: Tool) -> WebSearch | None:
    """The search that a server tool stands for; None for any other tool."""
    if not tool.name.startswith(NAME):
        return None
    native = tool.native or {}
    # Chat puts the options, and the place in them, one level deeper.
    options = _mapping(native.get("web_search_options", native))
    location = _mapping(options.get("user_location"))
    location = _mapping(location.get("approximate", location))
    size, uses = options.get("search_context_size"), options.get("max_uses")
    return WebSearch(
        allowed=_words(options.get("allowed_domains"))
        or _words(_mapping(options.get("filters")).get("allowed_domains")),
        blocked=_words(options.get("blocked_domains")),
        place={key: location[key] for key in _PLACE if isinstance(location.get(key), str)},
        size=size if size in _SIZES else None,
        uses=uses if type(uses) is int else None,
    )


def located(place: dict[str, str]) -> dict[str, Any]:
    """The `user_location` of a tool; empty for no place."""
    return {"user_location": {"type": "approximate", **place}} if place else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> list[str]:
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
