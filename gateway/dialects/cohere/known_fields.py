"""The fields of a client's request that are read, at every depth."""

from __future__ import annotations

from gateway.dialects.shared.known_fields import OTHERS, Kinds, compile_fields, named

_PARTS = Kinds(
    "type",
    {
        "text": named("type", "text"),
        "thinking": named("type", "thinking"),
        "image_url": {"type": None, "image_url": named("url", "detail")},
        "document": {"type": None, "document": named("data", "id")},
    },
)

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        "messages": {
            OTHERS: None,
            "content": _PARTS,
            "tool_calls": {"id": None, "type": None, "function": named("name", "arguments")},
        },
        "tools": {"type": None, "function": named("name", "description", "parameters")},
        "documents": named("data", "id"),
        "response_format": named("type", "json_schema", "schema"),
        "thinking": named("type", "token_budget"),
    }
)
