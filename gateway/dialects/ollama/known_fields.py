"""The fields of a client's request that are read, at every depth.

Clients send messages back as their SDK assembled them: the index of a streamed call has no
meaning in a request.
"""

from __future__ import annotations

from gateway.dialects.shared.known_fields import OTHERS, compile_fields, named

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        "messages": {
            OTHERS: None,
            "tool_calls": {
                **named("id", "type"),
                "function": named("name", "arguments", "index"),
            },
        },
    }
)
