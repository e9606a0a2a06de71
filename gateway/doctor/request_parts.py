"""Building blocks of the probes' requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.canon.request import Image, Part, Request, Text, Tool, Turn
from gateway.canon.traits import Traits
from gateway.doctor.values import Assume

# Enough for a short response after some reasoning.
MAX_OUTPUT = 1024
# 64 x 64 pixels of one red.
RED_IMAGE = Image(
    data=(
        "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAT0lEQVR42u3PQQkAAAgEsItw/dMZxQi+hcEKLNO+"
        "FgEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQGBywLQTQDx3uY1cQAAAABJRU5E"
        "rkJggg=="
    ),
    media_type="image/png",
    path="image",
)
READ_GAUGE_TOOL = Tool(
    name="read_gauge",
    description="Reads the gauge of one room.",
    schema={
        "type": "object",
        "properties": {"room": {"type": "string", "description": "The room"}},
        "required": ["room"],
    },
    path="tools",
)
READ_CLOCK_TOOL = Tool(
    name="read_clock",
    description="Says what time it is. Takes no arguments.",
    schema={"type": "object", "properties": {}},
    path="tools",
)
WRITE_NOTE_TOOL = Tool(
    name="write_note",
    description="Writes a text down.",
    schema={
        "type": "object",
        "properties": {"text": {"type": "string", "description": "The text"}},
        "required": ["text"],
    },
    path="tools",
)
ONE_CALL_PROMPT = "Call the tool read_gauge for the room `cellar`, then say what the gauge shows."
PARALLEL_CALLS_PROMPT = (
    "Call the tool read_gauge for the two rooms `cellar` and `attic`, both in parallel in one "
    "answer, then say what both gauges show."
)
NO_CALL_PROMPT = "Call the tool read_gauge for the room `garage` if you may; if not, say so."
SEQUENTIAL_CALLS_PROMPT = (
    "Call the tool read_gauge for the two rooms `hall` and `porch`, one after the other, then say "
    "what both gauges show."
)


def user(*parts: Part | str) -> Turn:
    """Return a user turn; a plain text becomes a part."""
    return Turn(role="user", parts=tuple(Text(text=p) if isinstance(p, str) else p for p in parts))


def request_of(*parts: Part | str, **values: Any) -> Request:
    """Return a request of one turn."""
    return Request(**{"model": "", "max_output": MAX_OUTPUT, "turns": (user(*parts),), **values})


def assume_traits(**traits: Any) -> Assume:
    """Assume these traits, regardless of the tables."""

    def assume(table_traits: Traits) -> Mapping[str, Any]:
        return traits

    return assume


def assume_reasoning(traits: Traits) -> Mapping[str, Any]:
    """Assume the usual efforts if the tables have no way to enable reasoning."""
    if traits.reasoning or traits.efforts or traits.reasoning_modes:
        return {}
    return {"reasoning": True, "efforts": ("low", "medium", "high")}


def assume_stops(traits: Traits) -> Mapping[str, Any]:
    """Assume two stop sequences if the tables allow none."""
    return {"stop_max": 2} if traits.stop_max == 0 else {}
