"""The fields of a client's request that are read, at every depth.

Clients send messages back as their SDK assembled them: the index of a streamed call has no
meaning in a request.
"""

from __future__ import annotations

from gateway.dialects.shared.known_fields import OTHERS, Kinds, Known, compile_fields, named

_CACHE = named("cache_control", "prompt_cache_breakpoint")
_PARTS = Kinds(
    "type",
    {
        "text": {**named("type", "text"), **_CACHE},
        "refusal": named("type", "refusal"),
        "image_url": {"type": None, "image_url": named("url", "detail", "format"), **_CACHE},
        "input_audio": {"type": None, "input_audio": named("data", "format"), **_CACHE},
        "file": {
            **named("type", "file_id"),
            "file": named("file_data", "file_id", "filename", "format"),
            **_CACHE,
        },
        # Mistral's
        "document_url": named("type", "document_url", "document_name"),
        "thinking": named("type", "thinking", "closed"),
    },
)
_CALL: Known = {
    **named("id", "type", "index", "extra_content", "cache_control"),
    "function": named("name", "arguments"),
    "custom": named("name", "input"),
}
_TOOL_REFERENCE: Known = {"type": None, "function": named("name"), "custom": named("name")}
_FORMAT: Known = {"type": None, "grammar": named("definition", "syntax")}
_LOCATION = named("city", "country", "region", "timezone")

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        "messages": {
            OTHERS: None,
            "content": _PARTS,
            "tool_calls": _CALL,
            "function_call": named("name", "arguments"),
        },
        "tools": Kinds(
            "type",
            {
                "custom": {
                    "type": None,
                    "custom": {**named("name", "description"), "format": _FORMAT},
                }
            },
        ),
        "tool_choice": {
            **_TOOL_REFERENCE,
            "allowed_tools": {"mode": None, "tools": _TOOL_REFERENCE},
        },
        "function_call": named("name"),
        "response_format": {
            "type": None,
            "json_schema": named("name", "description", "schema", "strict"),
        },
        "web_search_options": {
            OTHERS: None,
            "user_location": {"type": None, "approximate": _LOCATION},
        },
    }
)
