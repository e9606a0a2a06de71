"""Log probabilities of a whole answer, token by token, as OpenAI's Chat and Responses tell them.

Other dialects put theirs into this form and read it; in an answer they stand in `extra`
under a key of their own. Streams carry none when they are translated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.canon.request import Request
from gateway.canon.response import Response

Json = dict[str, Any]
KEY = "openai_logprobs"
CAN_NOT = "log probabilities can not be translated back"
# Where clients of these surfaces ask for them.
_ASKED = frozenset({"logprobs", "include", "generationConfig.responseLogprobs"})


def can_be_told(request: Request) -> bool:
    """Whether the client could be told the log probabilities of the answer."""
    return request.at.get("logprobs") in _ASKED and not request.stream


def token(word: Any, logprob: Any, others: Iterable[Json] = ()) -> Json:
    """One token, with what else might have stood in its place."""
    word = word if isinstance(word, str) else ""
    number = logprob if isinstance(logprob, int | float) else 0.0
    alone = [{k: v for k, v in other.items() if k != "top_logprobs"} for other in others]
    raw = list(word.encode("utf-8", "replace"))
    return {"token": word, "logprob": number, "bytes": raw, "top_logprobs": alone}


def extra_of(tokens: Any) -> dict[str, Json]:
    """What an answer keeps of them, for its `extra`."""
    return {KEY: {"tokens": tokens}} if isinstance(tokens, list) and tokens else {}


def tokens_of(response: Response) -> list[Json]:
    """The tokens with their log probabilities; empty where the answer tells none."""
    tokens: list[Json] = response.extra.get(KEY, {}).get("tokens", [])
    return tokens
