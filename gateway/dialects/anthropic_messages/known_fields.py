"""The fields of a client's request that are read, at every depth; blocks report their own."""

from __future__ import annotations

from gateway.dialects.shared.known_fields import OTHERS, Kinds, Known, compile_fields, named

_CACHE = {"cache_control": named("type", "ttl")}
_SOURCE: dict[str, Known] = {
    "base64": named("type", "media_type", "data"),
    "text": named("type", "media_type", "data"),
    "url": named("type", "url"),
    "file": named("type", "file_id"),
}
_DOCUMENT_SOURCE: dict[str, Known] = dict(_SOURCE)
_CITATIONS = {"citations": named("enabled")}
_RESULT_BLOCKS: dict[str, Known] = {
    "text": {OTHERS: None, **_CACHE},
    "image": {OTHERS: None, "source": Kinds("type", _SOURCE), **_CACHE},
    "document": {OTHERS: None, "source": Kinds("type", _DOCUMENT_SOURCE), **_CITATIONS, **_CACHE},
    "search_result": {OTHERS: None, **_CITATIONS, **_CACHE},
}
_DOCUMENT_SOURCE["content"] = {"type": None, "content": Kinds("type", _RESULT_BLOCKS)}
_BLOCKS = Kinds(
    "type",
    {
        **_RESULT_BLOCKS,
        "tool_use": {OTHERS: None, **_CACHE},
        "tool_result": {OTHERS: None, "content": Kinds("type", _RESULT_BLOCKS), **_CACHE},
    },
)
_MESSAGE: Known = {"role": None, "content": _BLOCKS}

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        **_CACHE,
        "system": _BLOCKS,
        "messages": Kinds(
            "role",
            {
                "user": _MESSAGE,
                "assistant": _MESSAGE,
                "system": {OTHERS: None, "content": _BLOCKS},
            },
        ),
        "tool_choice": named("type", "name", "disable_parallel_tool_use"),
        "output_config": {OTHERS: None, "format": named("type", "schema")},
        "output_format": named("type", "schema"),
    }
)
