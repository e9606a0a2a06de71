"""A response that is one of several texts (Gemini's `text/x.enum`), for APIs that have none."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.adaptation import Adaptation, approximated_field
from gateway.canon.request import PLAIN_OUTPUT, Request, Text


def describe_choices(request: Request) -> tuple[Request, Adaptation]:
    """The request with the texts in an instruction instead, and a report of it."""
    choices = request.output.choices
    instruction = Text(
        text="Answer only with one of these lines, unchanged:\n" + "\n".join(choices),
        path=request.client_path("choices"),
    )
    reason = "the API does not restrict a response to given texts: sent as an instruction"
    request = replace(
        request,
        instructions=(*request.instructions, instruction),
        output=replace(PLAIN_OUTPUT, verbosity=request.output.verbosity),
    )
    return request, approximated_field(request.client_path("choices"), reason)
