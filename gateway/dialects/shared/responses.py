"""Errors that every format reports about a response."""

from __future__ import annotations

from gateway.canon.errors import Error
from gateway.canon.response import Finish

TRUNCATED_STREAM = "the upstream's stream ended before the response was complete"


def malformed_output_error(finish: Finish) -> Error:
    """The error for a response that the model malformed."""
    message = finish.explanation or "the model's output is malformed"
    return Error(kind="malformed_output", message=message)
