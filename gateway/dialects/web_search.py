"""Options of the web search tool that a provider runs, read from the tool of any dialect."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.request import Tool

NAME = "web_search"
_LOCATION_FIELDS = ("city", "region", "country", "timezone")
_SIZES = ("low", "medium", "high")


class WebSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a search; empty where the client leaves them to the provider.

    Attributes:
        allowed, blocked: domains to search, and domains to exclude.
        location: the user's location, as far as provided: `city`, `region`, `country`, `timezone`.
        size: how much of the results the model reads: `low`, `medium` or `high`.
        uses: the maximum number of searches.
        live: whether pages may be fetched; else only the provider's index is used.
    """

    allowed: list[str] = []
    blocked: list[str] = []
    location: dict[str, str] = {}
    size: str | None = None
    uses: int | None = None
    live: bool = True


def parse_web_search(tool: Tool) -> WebSearch | None:
    """The web search that a server tool requests; None for any other tool."""
    if not tool.name.startswith(NAME):
        return None
    native = tool.native or {}
    # Chat nests the options, and the location in them, one level deeper.
    options = _mapping(native.get("web_search_options", native))
    location = _mapping(options.get("user_location"))
    location = _mapping(location.get("approximate", location))
    size, uses = options.get("search_context_size"), options.get("max_uses")
    return WebSearch(
        allowed=_strings(options.get("allowed_domains"))
        or _strings(_mapping(options.get("filters")).get("allowed_domains")),
        blocked=_strings(options.get("blocked_domains")),
        location={
            key: location[key] for key in _LOCATION_FIELDS if isinstance(location.get(key), str)
        },
        size=size if size in _SIZES else None,
        uses=uses if type(uses) is int else None,
        live=options.get("external_web_access") is not False,
    )


def user_location(location: dict[str, str]) -> dict[str, Any]:
    """The `user_location` of a tool; empty for no location."""
    return {"user_location": {"type": "approximate", **location}} if location else {}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _strings(value: Any) -> list[str]:
    return (
        [element for element in value if isinstance(element, str)]
        if isinstance(value, list)
        else []
    )
