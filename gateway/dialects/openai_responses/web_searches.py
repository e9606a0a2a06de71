"""Web searches of other providers as `web_search_call` items, for clients and upstreams."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated
from gateway.canon.arguments import parse_arguments
from gateway.canon.request import Native, Part
from gateway.dialects.openai_responses.names import NAME, Json
from gateway.dialects.openai_responses.render_context import ResponsesRenderContext
from gateway.dialects.openai_responses.stream_writers import OutputEvents
from gateway.dialects.shared import web_search
from gateway.dialects.shared.web_search import Search, read_call, read_result

WEB_SEARCH_CALL = "web_search_call"
_CONTENTS_DROPPED = "only the URLs of the result pages are sent"


def search_item(search: Search, status: str | None = None) -> Json:
    """The item of a search, without an id."""
    if search.page_url:
        action: Json = {"type": "open_page", "url": search.page_url}
    else:
        action = {"type": "search", "query": search.query, "queries": [search.query]}
        if search.sources:
            action["sources"] = [{"type": "url", "url": url} for url in search.sources]
    final_status = "failed" if search.failed else "completed"
    return {"type": WEB_SEARCH_CALL, "status": status or final_status, "action": action}


def with_result(search: Search, result: Search) -> Search:
    """The search with the sources and failure of its result."""
    return replace(search, sources=result.sources, failed=result.failed)


def page_contents_drop(data: Json) -> Adaptation:
    """The report of the page contents of a result, which are dropped."""
    return approximated(f"output.{data['type']}", _CONTENTS_DROPPED)


def searches_out(context: ResponsesRenderContext, parts: Iterable[Part]) -> dict[int, list[Json]]:
    """The items of a history for the parts that are another provider's searches, by `id(part)`.

    A call becomes an item that contains its result. Empty if no search tool is offered, as
    the target may then reject the item.
    """
    items_by_part: dict[int, list[Json]] = {}
    natives = [part for part in parts if isinstance(part, Native) and part.dialect != NAME]
    servers = (tool for tool in context.request.tools if tool.kind == "server")
    if not natives or not any(web_search.parse_web_search(tool) for tool in servers):
        return items_by_part
    results = {
        search_result.id: part for part in natives if (search_result := read_result(part.data))
    }
    for part in natives:
        search = read_call(part.data)
        if search is None:
            continue
        result_part = results.pop(search.id, None)
        result = read_result(result_part.data) if result_part is not None else None
        if result_part is not None and result is not None:
            search = with_result(search, result)
            items_by_part[id(result_part)] = []
            if not result.failed:
                context.approximate(result_part.path, _CONTENTS_DROPPED)
        items_by_part[id(part)] = [{"id": _new_id(search.id), **search_item(search)}]
    return items_by_part


def _new_id(call_id: str) -> str:
    """An id of this dialect: not the provider's, which may require the reasoning before it."""
    return f"ws_{sha256(call_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


class SearchWriter:
    """A search in a client's stream: started when its query is known, ended by its result."""

    def __init__(self, events: OutputEvents, block: Json) -> None:
        self._events = events
        self._block = block
        self._input_fragments: list[str] = []
        self._id = events.new_id(WEB_SEARCH_CALL)
        self._search = Search()
        self.announced = False

    def add(self, delta: Json) -> None:
        """Add a fragment of the call's input."""
        fragment: Any = delta.get("partial_json")
        if isinstance(fragment, str):
            self._input_fragments.append(fragment)

    def announce(self) -> bytes:
        """Start the item."""
        self.announced = True
        tool_input = (
            parse_arguments("".join(self._input_fragments))[0] if self._input_fragments else None
        )
        block = self._block if tool_input is None else {**self._block, "input": tool_input}
        self._search = read_call(block) or self._search
        item = {"id": self._id, **search_item(self._search, "in_progress")}
        out = self._events.item_added(item)
        out += self._events.item_event("response.web_search_call.in_progress", self._id)
        return out + self._events.item_event("response.web_search_call.searching", self._id)

    def is_answered_by(self, block: Json) -> bool:
        """Whether a block is the result of this search."""
        result = read_result(block)
        return self.announced and result is not None and result.id == self._search.id

    def close(self, block: Json | None) -> bytes:
        """End the item, with the block of its result if there is one."""
        result = read_result(block) if block is not None else None
        if result is not None:
            self._search = with_result(self._search, result)
        out = self._events.item_event("response.web_search_call.completed", self._id)
        return out + self._events.item_done({"id": self._id, **search_item(self._search)})
