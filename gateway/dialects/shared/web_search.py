"""Web search run by a provider: the options of the tool, and the searches in a response.

Both are read from the parts of any dialect. Anthropic writes a call and its result
(`server_tool_use`, `web_search_tool_result`), OpenAI Responses one `web_search_call`. Page
contents are encrypted for the provider that ran the search.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from gateway.canon.json_values import string_items
from gateway.canon.request import Request, Tool
from gateway.canon.signature import FOREIGN_SEARCH
from gateway.dialects.shared.fields import object_or_empty, string_or_empty

NAME = "web_search"
MAX_TOOL_CALLS, _OPENAI = "max_tool_calls", "openai_responses"
_LOCATION_FIELDS = ("city", "region", "country", "timezone")
# Values of a tool's fields that request nothing; `defer_loading` is read with the tool.
_TOOL_DEFAULTS: dict[str, Any] = {
    "cache_control": None,
    "strict": False,
    "allowed_callers": ["direct"],
}
# Fields of a search tool that request nothing besides the search, or that are lost by themselves.
_OPTIONLESS_FIELDS = frozenset(
    {"type", "name", "external_web_access", "defer_loading", *_TOOL_DEFAULTS}
)
# Options that change the search and that only one provider has: the value that requests it, or
# that a list of values contains.
_OWN_OPTIONS = {"response_inclusion": "excluded", "search_content_types": "image"}
_KNOWN_OPTIONS = _OPTIONLESS_FIELDS.union(
    _OWN_OPTIONS,
    ("allowed_domains", "blocked_domains", "filters", "user_location"),
    ("search_context_size", "max_uses"),
)
GOOGLE_OPTIONS = ("timeRangeFilter", "searchTypes", "blockingConfidence")
_SIZES = ("low", "medium", "high")
# What a Responses client includes to get the URLs of a search.
_INCLUDE, _SOURCES = "include", "web_search_call.action.sources"


class WebSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a search; empty where the client leaves them to the provider.

    Attributes:
        allowed, blocked: domains to search, and domains to exclude.
        blocked_field: the client's field with the domains to exclude.
        location: the user's location: any of `city`, `region`, `country`, `timezone`.
        size: how much of the results the model reads: `low`, `medium` or `high`.
        uses: the maximum number of searches.
        live: whether pages may be fetched; else only the provider's index is used.
        losses: the client's fields that only its own provider understands.
    """

    allowed: list[str] = []
    blocked: list[str] = []
    blocked_field: str = "blocked_domains"
    location: dict[str, str] = {}
    size: str | None = None
    uses: int | None = None
    live: bool = True
    losses: tuple[str, ...] = ()


def parse_web_search(tool: Tool) -> WebSearch | None:
    """The web search that a server tool requests; None for any other tool."""
    if not tool.name.startswith(NAME):
        return None
    native = tool.native or {}
    if "googleSearch" in native:
        return _parse_google_search(object_or_empty(native["googleSearch"]))
    # Chat nests the options, and the location in them, one level deeper.
    options = object_or_empty(native.get("web_search_options", native))
    location = object_or_empty(options.get("user_location"))
    location = object_or_empty(location.get("approximate", location))
    size, uses = options.get("search_context_size"), options.get("max_uses")
    return WebSearch(
        allowed=string_items(options.get("allowed_domains"))
        or string_items(object_or_empty(options.get("filters")).get("allowed_domains")),
        blocked=string_items(options.get("blocked_domains")),
        location={
            key: location[key] for key in _LOCATION_FIELDS if isinstance(location.get(key), str)
        },
        size=size if size in _SIZES else None,
        uses=uses if type(uses) is int else None,
        live=options.get("external_web_access") is not False,
        losses=tuple(_own_fields(options)),
    )


def _own_fields(options: dict[str, Any]) -> Iterator[str]:
    """The fields with a value that only the client's own provider understands."""
    for name, value in _OWN_OPTIONS.items():
        option = options.get(name)
        if option == value or (isinstance(option, list) and value in option):
            yield name
    for name, default in _TOOL_DEFAULTS.items():
        if options.get(name) not in (None, default):
            yield name
    for name, value in options.items():
        if name not in _KNOWN_OPTIONS and value is not None:
            yield name


def _parse_google_search(options: dict[str, Any]) -> WebSearch:
    return WebSearch(
        blocked=string_items(options.get("excludeDomains")),
        blocked_field="excludeDomains",
        losses=tuple(name for name in GOOGLE_OPTIONS if options.get(name)),
    )


def has_options(tool: Tool) -> bool:
    """Whether a search tool requests anything besides a search."""
    native = tool.native or {}
    for wrapper in ("web_search_options", "googleSearch", "google_search"):
        native = object_or_empty(native.get(wrapper, native))
    return not native.keys() <= _OPTIONLESS_FIELDS


def max_tool_calls(request: Request) -> int | None:
    """OpenAI's limit for all calls of built-in tools in one response; None without one."""
    limit = request.extra.get(_OPENAI, {}).get(MAX_TOOL_CALLS)
    return limit if type(limit) is int and limit >= 0 else None


def without_max_tool_calls(request: Request) -> Request:
    """The request without OpenAI's limit, for a target at which it is enforced."""
    if max_tool_calls(request) is None:
        return request
    fields = {k: v for k, v in request.extra[_OPENAI].items() if k != MAX_TOOL_CALLS}
    return replace(request, extra={**request.extra, _OPENAI: fields})


def without_included_sources(request: Request) -> Request:
    """The request without OpenAI's `include` of sources, for a target that always shows them."""
    include = request.extra.get(_OPENAI, {}).get(_INCLUDE)
    if not isinstance(include, list) or _SOURCES not in include:
        return request
    fields = {k: v for k, v in request.extra[_OPENAI].items() if k != _INCLUDE}
    if other_values := [value for value in include if value != _SOURCES]:
        fields[_INCLUDE] = other_values
    return replace(request, extra={**request.extra, _OPENAI: fields})


def request_counts(searches: int) -> dict[str, Any]:
    """Anthropic's `server_tool_use` in the usage; its SDK requires both counts."""
    return {"web_search_requests": searches, "web_fetch_requests": 0}


def user_location(location: dict[str, str]) -> dict[str, Any]:
    """The `user_location` of a tool; empty for no location."""
    return {"user_location": {"type": "approximate", **location}} if location else {}


Json = dict[str, Any]

FETCH = "web_fetch"


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """One web search, or one opened page.

    Attributes:
        id: the provider's id of the call.
        query: the search query; empty where a page was opened.
        page_url: the URL of the opened page.
        sources: the URLs in the result.
        failed: whether the provider reported a failure.
    """

    id: str = ""
    query: str = ""
    page_url: str = ""
    sources: tuple[str, ...] = ()
    failed: bool = False


def read_call(data: Json) -> Search | None:
    """The search that a part requests; None for any other part."""
    match data.get("type"):
        case "server_tool_use":
            return _from_tool_use(data)
        case "web_search_call":
            return _from_web_search_call(data)
        case _:
            return None


def _from_tool_use(data: Json) -> Search | None:
    tool_input = object_or_empty(data.get("input"))
    if data.get("name") == NAME:
        return Search(
            id=string_or_empty(data.get("id")), query=string_or_empty(tool_input.get("query"))
        )
    if data.get("name") == FETCH:
        return Search(
            id=string_or_empty(data.get("id")), page_url=string_or_empty(tool_input.get("url"))
        )
    return None


def _from_web_search_call(data: Json) -> Search | None:
    action = object_or_empty(data.get("action"))
    call_id, has_failed = string_or_empty(data.get("id")), data.get("status") == "failed"
    if action.get("type") == "open_page":
        return Search(id=call_id, page_url=string_or_empty(action.get("url")), failed=has_failed)
    if action.get("type") != "search":
        return None
    queries = action.get("queries")
    query_list = queries if isinstance(queries, list) else []
    query = string_or_empty(action.get("query")) or "; ".join(
        filter(None, map(string_or_empty, query_list))
    )
    return Search(
        id=call_id, query=query, sources=_source_urls(action.get("sources")), failed=has_failed
    )


def read_result(data: Json) -> Search | None:
    """The sources and failure in an Anthropic result, by call id; None for any other part."""
    if data.get("type") not in (f"{NAME}_tool_result", f"{FETCH}_tool_result"):
        return None
    content = data.get("content")
    kind = string_or_empty(content.get("type")) if isinstance(content, dict) else ""
    return Search(
        id=string_or_empty(data.get("tool_use_id")),
        sources=_source_urls(content),
        failed=kind.endswith("_error"),
    )


def is_foreign(data: Json) -> bool:
    """Whether an Anthropic block represents a search by another provider.

    Anthropic does not know its id, so the block is not sent to it.
    """
    call_id = data.get("id") or data.get("tool_use_id")
    return isinstance(call_id, str) and call_id.startswith(FOREIGN_SEARCH)


def _source_urls(sources: Any) -> tuple[str, ...]:
    items = sources if isinstance(sources, list) else []
    return tuple(
        filter(None, (string_or_empty(object_or_empty(item).get("url")) for item in items))
    )
