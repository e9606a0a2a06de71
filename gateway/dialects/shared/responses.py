"""Errors that every format reports about a response."""

from __future__ import annotations

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.errors import Error
from gateway.canon.response import Finish

# For APIs without a field for it: without other content, it is the text of the response.
EXPLANATION_DROPPED: Adaptation = dropped_field(
    "finish.explanation", "no field for why the response ended, and it has other text"
)
TRUNCATED_STREAM = "the upstream's stream ended before the response was complete"


def malformed_output_error(finish: Finish) -> Error:
    """The error for a response that the model malformed."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
