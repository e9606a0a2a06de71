"""Searches that another provider ran, as blocks for a client."""

from __future__ import annotations

import re

from gateway.canon.signature import FOREIGN_SEARCH
from gateway.dialects.anthropic_messages.names import Json
from gateway.dialects.shared import web_search
from gateway.dialects.shared.web_search import read_call

_INVALID_ID_CHARACTERS = re.compile(r"[^a-zA-Z0-9_]")


def render_search_blocks(data: Json) -> list[Json]:
    """The call and the result for a search; empty for any other part.

    A page that was opened has no block: its result would have to hold the page.
    """
    search = read_call(data)
    if search is None or search.page_url:
        return []
    call_id = FOREIGN_SEARCH + _INVALID_ID_CHARACTERS.sub("_", search.id)
    result: Json = {"type": f"{web_search.NAME}_tool_result", "tool_use_id": call_id}
    if search.failed:
        error_type = f"{web_search.NAME}_tool_result_error"
        result["content"] = {"type": error_type, "error_code": "unavailable"}
    else:
        result["content"] = [
            {
                "type": f"{web_search.NAME}_result",
                "url": url,
                "title": url,
                "encrypted_content": "",
                "page_age": None,
            }
            for url in search.sources
        ]
    search_input = {"query": search.query}
    call = {
        "type": "server_tool_use",
        "id": call_id,
        "name": web_search.NAME,
        "input": search_input,
    }
    return [call, result]
