"""Log probabilities of a complete response, in the form of OpenAI's Chat and Responses.

Other dialects convert theirs to this form and back; a response has them in `extra` under
`KEY`. Translated streams carry none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.canon.request import Request
from gateway.canon.response import Response

Json = dict[str, Any]
KEY = "openai_logprobs"
NOT_TRANSLATABLE = "log probabilities cannot be translated back"
# The request fields by which clients of these APIs request them.
_REQUEST_FIELDS = frozenset({"logprobs", "include", "generationConfig.responseLogprobs"})


def accepts_logprobs(request: Request) -> bool:
    """Whether the client's dialect can carry the log probabilities of the response."""
    return request.client_paths.get("logprobs") in _REQUEST_FIELDS and not request.stream


def token(text: Any, logprob: Any, alternatives: Iterable[Json] = ()) -> Json:
    """One token with its log probability and its alternatives."""
    text = text if isinstance(text, str) else ""
    number = logprob if isinstance(logprob, int | float) else 0.0
    top_logprobs = [
        {k: v for k, v in alternative.items() if k != "top_logprobs"}
        for alternative in alternatives
    ]
    raw = list(text.encode("utf-8", "replace"))
    return {"token": text, "logprob": number, "bytes": raw, "top_logprobs": top_logprobs}


def logprobs_extra(tokens: Any) -> dict[str, Json]:
    """The entry for a response's `extra`; empty without tokens."""
    return {KEY: {"tokens": tokens}} if isinstance(tokens, list) and tokens else {}


def token_logprobs(response: Response) -> list[Json]:
    """The tokens with their log probabilities; empty if the response has none."""
    tokens: list[Json] = response.extra.get(KEY, {}).get("tokens", [])
    return tokens
