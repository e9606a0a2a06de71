"""Web searches that a provider ran in a response, read from the parts of any dialect.

Anthropic writes a call and its result (`server_tool_use`, `web_search_tool_result`), OpenAI
Responses one `web_search_call`. Page contents are encrypted for the provider that ran it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.signature import FOREIGN_SEARCH
from gateway.dialects import web_search

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
    tool_input = _mapping(data.get("input"))
    if data.get("name") == web_search.NAME:
        return Search(id=_text(data.get("id")), query=_text(tool_input.get("query")))
    if data.get("name") == FETCH:
        return Search(id=_text(data.get("id")), page_url=_text(tool_input.get("url")))
    return None


def _from_web_search_call(data: Json) -> Search | None:
    action = _mapping(data.get("action"))
    call_id, failed = _text(data.get("id")), data.get("status") == "failed"
    if action.get("type") == "open_page":
        return Search(id=call_id, page_url=_text(action.get("url")), failed=failed)
    if action.get("type") != "search":
        return None
    queries = action.get("queries")
    query_list = queries if isinstance(queries, list) else []
    query = _text(action.get("query")) or "; ".join(filter(None, map(_text, query_list)))
    return Search(id=call_id, query=query, sources=_urls(action.get("sources")), failed=failed)


def read_result(data: Json) -> Search | None:
    """The sources and failure in an Anthropic result, by call id; None for any other part."""
    if data.get("type") not in {f"{web_search.NAME}_tool_result", f"{FETCH}_tool_result"}:
        return None
    content = data.get("content")
    kind = _text(content.get("type")) if isinstance(content, dict) else ""
    return Search(
        id=_text(data.get("tool_use_id")),
        sources=_urls(content),
        failed=kind.endswith("_error"),
    )


def is_foreign(data: Json) -> bool:
    """Whether an Anthropic block stands for a search that another provider ran.

    Anthropic does not know its id, so the block is not sent to it.
    """
    call_id = data.get("id") or data.get("tool_use_id")
    return isinstance(call_id, str) and call_id.startswith(FOREIGN_SEARCH)


def _urls(sources: Any) -> tuple[str, ...]:
    items = sources if isinstance(sources, list) else []
    return tuple(filter(None, (_text(_mapping(item).get("url")) for item in items)))


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
