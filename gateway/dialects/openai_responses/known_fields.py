"""The fields of a client's request that are read, at every depth.

Clients send items of responses back as they are: their status, their ids and the log
probabilities have no meaning in a request.
"""

from __future__ import annotations

from gateway.dialects.shared.known_fields import OTHERS, Kinds, Known, compile_fields, named

_CHOICE = named("type", "name", "namespace", "server_label")
_CUSTOM_TOOL: Known = {
    OTHERS: None,
    "format": {**named("type", "definition", "syntax"), "grammar": None},
}
_CACHE = named("prompt_cache_breakpoint")
_PARTS = Kinds(
    "type",
    {
        "input_text": {**named("type", "text"), **_CACHE},
        "output_text": named("type", "text", "annotations", "logprobs"),
        "text": {**named("type", "text"), **_CACHE},
        "refusal": named("type", "refusal"),
        "input_image": {**named("type", "detail", "file_id", "image_url"), **_CACHE},
        "input_file": {
            **named("type", "detail", "file_data", "file_id", "file_url", "filename"),
            **_CACHE,
        },
        "input_audio": {"type": None, "input_audio": named("data", "format")},
    },
)
_CALL: Known = named(
    *("type", "id", "call_id", "name", "namespace", "arguments", "input"),
    *("status", "caller", "async"),
)
_RESULT: Known = {
    **named("type", "id", "call_id", "name", "namespace", "status", "caller"),
    "output": _PARTS,
}
_REASONING_TEXT = named("type", "text")
_ITEMS = Kinds(
    "type",
    {
        "message": {**named("type", "id", "role", "status", "phase"), "content": _PARTS},
        "reasoning": {
            **named("type", "id", "encrypted_content", "status"),
            "summary": _REASONING_TEXT,
            "content": _REASONING_TEXT,
        },
        "function_call": _CALL,
        "custom_tool_call": _CALL,
        "function_call_output": _RESULT,
        "custom_tool_call_output": _RESULT,
    },
    default="message",
)

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        "input": _ITEMS,
        "tools": Kinds(
            "type",
            {
                "custom": _CUSTOM_TOOL,
                "namespace": {
                    **named("type", "name", "description"),
                    "tools": Kinds("type", {"custom": _CUSTOM_TOOL}),
                },
            },
        ),
        "tool_choice": {**_CHOICE, "mode": None, "tools": _CHOICE},
        "text": {
            OTHERS: None,
            "format": named("type", "name", "description", "schema", "strict"),
        },
        "stream_options": named("include_obfuscation"),
    }
)
