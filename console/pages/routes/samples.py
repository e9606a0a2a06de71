"""Sample requests for the dry run, in any client dialect.

The dialect itself renders each from a canonical request, so a new dialect needs no code here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.dialects import with_path_fields
from gateway.canon.request import Image, Output, Request, Text, Tool, ToolCall, ToolResult, Turn
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS

# An image of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5E"
    "rkJggg=="
)
LONG_SAMPLE_REPEATS = 120_000
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "celsius": {"type": "number"}},
    "required": ["city", "celsius"],
    "additionalProperties": False,
}
_TOOL = Tool(
    name="weather",
    description="The weather at a place.",
    schema={
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
)
_QUESTION = "What is the weather in Bergen?"


class Sample(NamedTuple):
    """An example request: its title and its features."""

    title: Promise
    text: str = _QUESTION
    tools: bool = False
    image: bool = False
    schema: bool = False
    result: bool = False


SAMPLES: dict[str, Sample] = {
    "text": Sample(_("Text")),
    "tools": Sample(_("Tools"), tools=True),
    "result": Sample(_("Tool result"), tools=True, result=True),
    "image": Sample(_("Tools and image"), tools=True, image=True),
    "schema": Sample(_("JSON schema"), schema=True),
    "long": Sample(_("Long context"), text="word " * LONG_SAMPLE_REPEATS),
}


def body(dialect: str, sample: str, model: str) -> dict[str, Any]:
    """Return the request as a client of the dialect sends it."""
    traits = Traits(model=model, mid_system=True, max_output=1024)
    rendered_request = DIALECTS[dialect].provider.render_request(
        _sample_request(SAMPLES[sample], model), traits
    )
    return with_path_fields(dialect, {**rendered_request.body, "model": model}, model, stream=True)


def _sample_request(sample: Sample, model: str) -> Request:
    parts: tuple[Any, ...] = (Text(text=sample.text),)
    if sample.image:
        parts = (Image(data=PIXEL, media_type="image/png"), *parts)
    turns: tuple[Turn, ...] = (Turn(role="user", parts=parts),)
    if sample.result:
        tool_call = ToolCall(id="call_1", name=_TOOL.name, arguments={"city": "Bergen"})
        tool_result = ToolResult(id="call_1", name=_TOOL.name, parts=(Text(text="Rain, 12 °C"),))
        turns += (
            Turn(role="assistant", parts=(tool_call,)),
            Turn(role="user", parts=(tool_result,)),
        )
    schema = Output(format="schema", name="weather", schema=_SCHEMA, strict=True)
    return Request(
        model=model,
        stream=True,
        instructions=(Text(text="Answer in one sentence."),),
        turns=turns,
        tools=(_TOOL,) if sample.tools else (),
        output=schema if sample.schema else Output(),
        max_output=1024,
    )
