"""Complexity of a prompt: simple, medium, complex or reasoning.

The heuristic is that of LiteLLM's complexity router with its defaults, so that a route chooses
as LiteLLM does: weighted counts of keywords in the last user message
(litellm/router_strategy/complexity_router, 1.109). It costs no call and is not exact.
"""

from __future__ import annotations

import re
from typing import Literal

from gateway.canon.request import Request, Text

Complexity = Literal["simple", "medium", "complex", "reasoning"]
# The text that is searched for keywords; the rest only counts as length.
MAX_CHARS = 8000

_CODE = """
    function; class; def; const; let; var; import; export; return; async; await; try; catch;
    exception; error; debug; api; endpoint; request; response; database; sql; query; schema;
    algorithm; implement; refactor; optimize; python; javascript; typescript; java; rust;
    golang; react; vue; angular; node; docker; kubernetes; git; commit; merge; branch; pull
    request
"""
_REASONING = """
    step by step; think through; let's think; reason through; analyze this; break down;
    explain your reasoning; show your work; chain of thought; think carefully; consider all;
    evaluate; pros and cons; compare and contrast; weigh the options; logical; deduce;
    infer; conclude
"""
_TECHNICAL = """
    architecture; distributed; scalable; microservice; machine learning; neural network;
    deep learning; encryption; authentication; authorization; performance; latency;
    throughput; benchmark; concurrency; parallel; threading; memory; cpu; gpu; optimization;
    protocol; tcp; http; grpc; websocket; container; orchestration
"""
_SIMPLE = """
    what is; what's; define; definition of; who is; who was; when did; when was; where is;
    where was; how many; how much; yes or no; true or false; simple; brief; short; quick;
    hello; hi; hey; thanks; thank you; goodbye; bye; okay
"""
# Lower bounds of the scores of the tiers above `simple`.
_MEDIUM, _COMPLEX, _REASONING_SCORE = 0.15, 0.35, 0.60
# Estimated tokens below which a prompt is short, and above which it is long.
_SHORT_TOKENS, _LONG_TOKENS = 15, 400
_CHARS_PER_TOKEN = 4
_MULTI_STEP = re.compile(r"step\s{0,9}\d|\d\.\s|[a-z]\)\s")


def _keyword_pattern(keywords: str) -> re.Pattern[str]:
    """Return a pattern of the keywords: single words match whole words only."""
    phrases = [" ".join(word.split()) for word in keywords.split(";")]
    parts = (re.escape(w) if " " in w else rf"\b{re.escape(w)}\b" for w in phrases)
    return re.compile("|".join(parts))


_CODE_WORDS, _REASONING_WORDS = _keyword_pattern(_CODE), _keyword_pattern(_REASONING)
_TECHNICAL_WORDS, _SIMPLE_WORDS = _keyword_pattern(_TECHNICAL), _keyword_pattern(_SIMPLE)


def classify_complexity(prompt: str) -> Complexity:
    """Return the complexity of a user message."""
    text = prompt[:MAX_CHARS].lower()
    reasoning = _count_keywords(_REASONING_WORDS, text)
    tokens = len(prompt) // _CHARS_PER_TOKEN
    score = (
        0.10 * (-1.0 if tokens < _SHORT_TOKENS else 1.0 if tokens > _LONG_TOKENS else 0.0)
        + 0.30 * _score_of_count(_count_keywords(_CODE_WORDS, text), (1, 0.5), (2, 1.0))
        + 0.25 * _score_of_count(reasoning, (1, 0.7), (2, 1.0))
        + 0.25 * _score_of_count(_count_keywords(_TECHNICAL_WORDS, text), (2, 0.5), (4, 1.0))
        - 0.05 * (1.0 if _SIMPLE_WORDS.search(text) else 0.0)
        + 0.03 * (0.5 if _is_multi_step(text) else 0.0)
        + 0.02 * (0.5 if prompt.count("?") > 3 else 0.0)
    )
    if score >= _REASONING_SCORE or (reasoning >= 2 and score >= _MEDIUM):
        return "reasoning"
    if score < _MEDIUM:
        return "simple"
    return "medium" if score < _COMPLEX else "complex"


def _is_multi_step(text: str) -> bool:
    """Whether the text lists steps, or has `first` and later `then` in one line."""
    if _MULTI_STEP.search(text):
        return True
    return any("then" in line.partition("first")[2] for line in text.split("\n"))


def _count_keywords(pattern: re.Pattern[str], text: str) -> int:
    """Return how many different keywords the text has."""
    return len({match[0] for match in pattern.finditer(text)})


def _score_of_count(count: int, low: tuple[int, float], high: tuple[int, float]) -> float:
    """Return the score of the highest threshold that the count reaches."""
    if count >= high[0]:
        return high[1]
    return low[1] if count >= low[0] else 0.0


def complexity_of(request: Request) -> str:
    """The complexity of the last user message, a key of `candidates.COMPLEXITIES`."""
    for turn in reversed(request.turns):
        if turn.role == "user":
            text = "\n".join(part.text for part in turn.parts if isinstance(part, Text))
            if text:
                return f"{classify_complexity(text)}_prompt"
    return f"{classify_complexity('')}_prompt"
