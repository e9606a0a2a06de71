"""Every client dialect on every provider dialect: each loss is reported.

The providers are strict: a request that one of them would refuse fails its cell.
`python -m tests.dialects.crossing` prints the table that is stored in docs/crossing.md.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache
from pathlib import Path

import msgspec
import pytest

from gateway.dialects import DIALECTS
from tests.dialects.crossing.built_in_tools import translate_all_tools
from tests.dialects.crossing.clients import CLIENTS
from tests.dialects.crossing.embeddings import EMBEDDERS, TEXTS, VECTORS, embed
from tests.dialects.crossing.feature_requests import (
    ARGUMENTS,
    CLOCK,
    FEATURE_MARKERS,
    PREAMBLE,
    RESPONSE,
    RESULTS,
    THOUGHT,
    VERDICT,
    WEATHER,
    FeatureMarker,
)
from tests.dialects.crossing.readers import ENDED, READERS
from tests.dialects.crossing.run import BREAKS, CrossingResult, Failure, Outcome, pairs, run
from tests.dialects.crossing.table import PAGE_PATH, page
from tests.dialects.crossing.upstreams import UPSTREAMS
from tests.each import each

CELLS = [
    pytest.param(
        (client.name, upstream.name, feature, stream),
        id="-".join((client.name, upstream.name, feature, "stream" if stream else "whole")),
    )
    for client, upstream in pairs()
    for feature in client.can
    for stream in (False, True)
]
FAILURES = [
    pytest.param((client.name, upstream.name, kind), id=f"{client.name}-{upstream.name}-{kind}")
    for client, upstream in pairs()
    for kind in (*upstream.errors, *(f"break-{how}" for how in BREAKS))
]
# What an upstream's answer holds for it to see again.
_STATE = re.compile(rb'"(?:signature|thoughtSignature|encrypted_content)": ?"([^"]{8,})"')

# kind -> what each family of clients gets (chapter 5 of the wire documentation).
OPENAI = {
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "context_length": (400, "invalid_request_error", "context_length_exceeded"),
    "overloaded": (503, "server_error", "overloaded"),
    "upstream_auth": (502, "server_error", "upstream_auth"),
    "upstream_error": (502, "server_error", "upstream_error"),
    "timeout": (504, "server_error", "timeout"),
}
ANTHROPIC = {
    "rate_limit": (429, "rate_limit_error"),
    "quota": (402, "billing_error"),
    "context_length": (400, "invalid_request_error"),
    "overloaded": (529, "overloaded_error"),
    "upstream_auth": (500, "api_error"),
    "upstream_error": (500, "api_error"),
    "timeout": (504, "timeout_error"),
}
GOOGLE = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "quota": (429, "RESOURCE_EXHAUSTED"),
    "context_length": (400, "INVALID_ARGUMENT"),
    "overloaded": (503, "UNAVAILABLE"),
    "upstream_auth": (500, "INTERNAL"),
    "upstream_error": (500, "INTERNAL"),
    "timeout": (504, "DEADLINE_EXCEEDED"),
}
AWS = {
    "rate_limit": (429, "ThrottlingException"),
    "quota": (400, "ServiceQuotaExceededException"),
    "context_length": (400, "ValidationException"),
    "overloaded": (503, "ServiceUnavailableException"),
    "upstream_auth": (500, "InternalServerException"),
    "upstream_error": (500, "InternalServerException"),
    "timeout": (408, "ModelTimeoutException"),
}
COHERE = {
    "rate_limit": 429,
    "quota": 429,
    "context_length": 400,
    "overloaded": 503,
    "upstream_auth": 500,
    "upstream_error": 500,
    "timeout": 504,
}
OLLAMA = {
    "rate_limit": 429,
    "quota": 429,
    "context_length": 400,
    "overloaded": 503,
    "upstream_auth": 502,
    "upstream_error": 502,
    "timeout": 504,
}


@cache
def outcome() -> Outcome:
    """The results of the whole matrix, computed once."""
    return asyncio.run(run())


def cell(key: tuple[str, str, str, bool]) -> CrossingResult:
    """Return the result of one cell."""
    cells = (c for c in outcome().cells if (c.client, c.upstream, c.feature, c.stream) == key)
    return next(cells)


def failure(key: tuple[str, str, str]) -> Failure:
    """Return one error response or interrupted stream."""
    failures = (f for f in outcome().failures if (f.client, f.upstream, f.kind) == key)
    return next(failures)


def requested_markers(result: CrossingResult) -> tuple[FeatureMarker, ...]:
    """Return the requested features of a cell that can be found upstream."""
    knows = CLIENTS[result.client].knows
    return tuple(
        m
        for m in FEATURE_MARKERS[result.feature]
        if result.feature != "settings" or m.name in knows
    )


def tool_call_count(result: CrossingResult) -> int:
    """Return how many tools the provider of a cell calls."""
    if not UPSTREAMS[result.upstream].tools:
        return 0
    return {"tools": 2, "thinking": 1}.get(result.feature, 0)


@each("key", CELLS)
def test_the_client_receives_the_providers_text_and_finish_reason(key: tuple[str, str, str, bool]):
    result = cell(key)
    text = {"tools": PREAMBLE, "thinking": PREAMBLE, "schema": VERDICT}.get(
        result.feature, RESPONSE
    )
    assert [turn.status for turn in result.turns] == [200] * len(result.turns), result.turns[
        -1
    ].reply
    response = result.turns[0].response
    assert response is not None
    assert response.text == text
    assert response.finish == ENDED[result.client][tool_call_count(result) > 0]
    assert (response.prompt, response.output) == (11, 23)


@each("key", [k for k in CELLS if k.values[0][2] in {"tools", "thinking"}])  # type: ignore[index]
def test_calls_and_their_results_find_each_other(key: tuple[str, str, str, bool]):
    """The provider refuses a result whose call it does not know."""
    result = cell(key)
    response = result.turns[0].response
    assert response is not None
    assert len(response.calls) == tool_call_count(result)
    if not response.calls:
        return
    if result.feature == "tools":
        rows = [(name, arguments) for _, name, arguments in response.calls]
        assert rows == [(WEATHER.name, ARGUMENTS), (CLOCK.name, {})]
        # Ollama has no ids; what has them keeps the provider's.
        without_ids = {"ollama"} & {result.client, result.upstream}
        ids = [id_ for id_, _, _ in response.calls]
        assert without_ids or ids == ["call_aZ-1", "call_aZ-2"]
    after = result.turns[1].response
    assert after is not None
    assert after.text == "The tools answered: " + " | ".join(RESULTS[: len(response.calls)])
    assert after.finish == ENDED[result.client][0]


@each("key", CELLS)
def test_exactly_the_dropped_fields_are_reported(key: tuple[str, str, str, bool]):
    result = cell(key)
    first = result.turns[0]
    for marker in requested_markers(result):
        missing_markers = marker.bytes not in first.upstream_request
        dropped_fields = [
            r for r in first.report if r["action"] == "dropped" and r["field"] in marker.paths
        ]
        assert not missing_markers or first.is_reported(marker), (
            f"{marker.name} was lost and nobody told"
        )
        assert missing_markers or not dropped_fields, (
            f"{marker.name} was sent, but is told as dropped"
        )
    assert not (first.logged.passthrough and first.report), "what passes through loses nothing"


@each("key", [k for k in CELLS if k.values[0][2] == "thinking"])  # type: ignore[index]
def test_reasoning_is_returned_and_its_state_sent_back(key: tuple[str, str, str, bool]):
    """A Chat client that sets an effort requests no summary from OpenAI's Responses.

    Not every account may use summaries, and the request would be refused.
    """
    result = cell(key)
    response = result.turns[0].response
    assert response is not None
    shows = UPSTREAMS[result.upstream].thinks
    shows = shows and (result.client, result.upstream) != ("openai_chat", "openai_responses")
    assert response.thought == (THOUGHT if shows else "")
    for state in _STATE.findall(result.turns[0].upstream_response) if len(result.turns) > 1 else ():
        assert state in result.turns[1].upstream_request, "the provider's state did not come back"


def kinds(client: str, kind: str) -> object:
    """Return the expected error for a client of this dialect before the first byte."""
    family = {"anthropic_messages": ANTHROPIC, "gemini": GOOGLE, "ollama": OLLAMA}
    family |= {"bedrock_converse": AWS, "cohere": COHERE}
    return family.get(client, OPENAI)[kind]


def client_view(result: Failure) -> object:
    """Return the error that a client received."""
    body = msgspec.json.decode(result.reply)
    match result.client:
        case "anthropic_messages":
            assert body["type"] == "error"
            return result.status, body["error"]["type"]
        case "gemini":
            assert body["error"]["code"] == result.status
            return result.status, body["error"]["status"]
        case "ollama":
            assert isinstance(body["error"], str)
            return result.status
        case "cohere":
            assert body.keys() == {"id", "message"}
            return result.status
        case "bedrock_converse":
            assert body.keys() == {"message"}
            return result.status, result.headers["x-amzn-errortype"]
        case _:
            return result.status, body["error"]["type"], body["error"]["code"]


@each("key", [k for k in FAILURES if "break" not in str(k.id)])
def test_a_refusal_has_the_clients_error_format(key: tuple[str, str, str]):
    result = failure(key)
    assert result.logged.error_kind == result.kind
    expected = kinds(result.client, result.kind)
    if UPSTREAMS[result.upstream].dialect == result.client and client_view(result) != expected:
        # The same dialect: the provider's own words, status included.
        refusal = UPSTREAMS[result.upstream].errors[result.kind]
        assert result.status == refusal.status
        assert refusal.message.encode() in result.reply
        return
    assert client_view(result) == expected
    if result.kind == "context_length" and result.client == "anthropic_messages":
        assert b"prompt is too long" in result.reply
    refusal = UPSTREAMS[result.upstream].errors[result.kind]
    wait = "17" if result.upstream == "gemini" else refusal.headers.get("retry-after")
    assert result.headers.get("retry-after") == (wait if result.kind == "rate_limit" else None)


@each("key", [k for k in FAILURES if "break" in str(k.id)])
def test_a_broken_stream_never_ends_as_a_complete_one(key: tuple[str, str, str]):
    result = failure(key)
    assert result.status == 200
    assert result.logged.outcome == "cut"
    assert READERS[result.client].stream_error(result.reply)


def test_every_dialect_is_in_the_matrix_as_client_and_as_provider() -> None:
    """The matrix has every API for chat and every API for embeddings on both sides."""
    chat = set(DIALECTS) - {"openai_embeddings"}
    assert set(CLIENTS) == chat
    assert {name.partition("/")[0] for name in UPSTREAMS} == chat
    assert {(c.name, u.name) for c, u in pairs()} == {(c, u) for c in CLIENTS for u in UPSTREAMS}
    with_embeddings = {name for name, dialect in DIALECTS.items() if dialect.embed_client}
    assert with_embeddings == {n for n, dialect in DIALECTS.items() if dialect.embed_provider}
    assert set(EMBEDDERS) == with_embeddings


def test_a_built_in_tool_is_sent_or_reported() -> None:
    for crossing in translate_all_tools():
        upstream_request = "tools" in crossing.body or "responseModalities" in str(crossing.body)
        upstream_request = upstream_request or "web_search_options" in crossing.body
        reported = any(row["action"] == "dropped" for row in crossing.report)
        assert upstream_request != reported, (crossing.tool, crossing.client, crossing.upstream)


@each("client", list(EMBEDDERS))
@each("upstream", list(EMBEDDERS))
def test_vectors_arrive_and_a_loss_is_reported(client: str, upstream: str) -> None:
    embedded = embed(client, upstream)
    assert embedded.vectors == VECTORS
    for text in TEXTS:
        assert text.encode() in embedded.upstream_request
    request, fields = EMBEDDERS[client].request, {row["field"] for row in embedded.report}
    if client != upstream and "user" in request:
        assert (b'"u"' in embedded.upstream_request) != ("user" in fields)


def test_the_documented_translation_matrix_is_current():
    """`python -m tests.dialects.crossing --write` updates docs/crossing.md."""
    text = Path(PAGE_PATH).read_text(encoding="utf-8")
    assert text == page(outcome())
