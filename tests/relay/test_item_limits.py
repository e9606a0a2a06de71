"""The limit of messages, parts and tools in a large body, for bodies of any shape."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canon.errors import GatewayError
from gateway.relay.event_loop import offload

# Smaller bodies cannot have too many items and are not counted.
LONG = "a" * offload._MIN_COUNTED_BYTES
PART_COUNTS = st.lists(st.integers(0, 40), max_size=60)


def body_of(parts: list[int], tools: int) -> dict[str, Any]:
    texts = [{"type": "text", "text": f"{LONG if not number else 'b'}"} for number in range(40)]
    return {
        "model": "m",
        "messages": [{"role": "user", "content": texts[:count]} for count in parts],
        "tools": [{"type": "function", "function": {"name": f"f{n}"}} for n in range(tools)],
        "metadata": {"long": LONG},
    }


@settings(max_examples=60)
@given(parts=PART_COUNTS, tools=st.integers(0, 60), max_items=st.integers(1, 1500))
def test_a_body_is_refused_if_and_only_if_it_has_too_many_items(
    parts: list[int], tools: int, max_items: int
) -> None:
    document = body_of(parts, tools)
    items = len(parts) + sum(parts) + tools
    try:
        decoded = offload.decode(json.dumps(document).encode(), max_items)
    except GatewayError as error:
        assert items > max_items
        assert f"more than {max_items} messages" in error.error.message
    else:
        assert items <= max_items
        assert decoded == document
