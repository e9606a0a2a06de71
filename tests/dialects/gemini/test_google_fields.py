"""Fields of a response that only Google has, from a Gemini provider to a Gemini client."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.fold import unfold_response
from gateway.dialects.gemini import DIALECT
from tests.dialects.gemini.make import (
    chunk,
    events,
    rendered_frames,
    response_context,
    text,
    traits,
)

ENTRY_POINT = {"renderedContent": "<div>search</div>"}
SAFETY = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]
SEARCHED = {
    "webSearchQueries": ["oslo"],
    "searchEntryPoint": ENTRY_POINT,
    "retrievalMetadata": {"googleSearchDynamicRetrievalScore": 0.5},
    "groundingChunks": [{"web": {"uri": "https://x.test", "title": "X"}}],
    "groundingSupports": [
        {"segment": {"startIndex": 0, "endIndex": 2, "text": "hi"}, "groundingChunkIndices": [0]}
    ],
}
URL_CONTEXT = {"urlMetadata": [{"retrievedUrl": "https://y.test", "urlRetrievalStatus": "X"}]}
CANDIDATE = {"safetyRatings": SAFETY, "urlContextMetadata": URL_CONTEXT, "avgLogprobs": -0.5}
USAGE = {
    "promptTokenCount": 3,
    "candidatesTokenCount": 2,
    "totalTokenCount": 5,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    "trafficType": "ON_DEMAND",
}
RESPONSE = {"usageMetadata": USAGE, "createTime": "2026-11-01T00:00:00Z"}


def check(last_chunk: dict[str, Any]) -> None:
    [candidate] = last_chunk["candidates"]
    assert {name: candidate.get(name) for name in CANDIDATE} == CANDIDATE
    assert candidate["groundingMetadata"] == SEARCHED
    assert last_chunk["usageMetadata"] == USAGE
    assert last_chunk["createTime"] == RESPONSE["createTime"]


def test_a_whole_response_keeps_googles_fields():
    body = chunk(text(), reason="STOP", more={**CANDIDATE, "groundingMetadata": SEARCHED})
    response = DIALECT.provider.parse_response({**body, **RESPONSE}, traits(), None)
    whole, report = DIALECT.client.render_response(response, response_context())
    assert report == ()
    check(whole)
    assert rendered_frames(unfold_response(response))[-1]["createTime"] == RESPONSE["createTime"]


@pytest.mark.parametrize("is_split", [False, True])
def test_a_stream_keeps_googles_fields(is_split: bool):
    more = {**CANDIDATE, "groundingMetadata": SEARCHED}
    chunks = [chunk(text(), reason="STOP", more=more, **RESPONSE)]
    if is_split:
        chunks = [
            chunk(text("h"), more={"safetyRatings": [], "avgLogprobs": -0.5}),
            chunk(text("i"), more={"safetyRatings": SAFETY, "groundingMetadata": SEARCHED}),
            chunk(text(""), reason="STOP", more={"urlContextMetadata": URL_CONTEXT}, **RESPONSE),
        ]
    check(rendered_frames(events(*chunks))[-1])


def test_log_probabilities_of_a_stream_are_not_repeated_at_its_end():
    result = {"chosenCandidates": [{"token": "hi", "logProbability": -0.5}]}
    frames = rendered_frames(events(chunk(text(), reason="STOP", more={"logprobsResult": result})))
    assert [frame["candidates"][0].get("logprobsResult") for frame in frames] == [result, None]
