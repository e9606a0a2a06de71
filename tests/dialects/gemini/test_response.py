"""Responses, streams and errors of Google, and their rendering for clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.canon.errors import Error, GatewayError
from gateway.canon.events import BlockStart, Delta, End, Failed, SignatureDelta, Start
from gateway.canon.fold import unfold_response
from gateway.canon.logprobs import KEY, token_logprobs
from gateway.canon.request import Native, Reasoning, Refusal, Signature, Text, ToolCall
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.signature import recover_reasoning_text
from gateway.dialects.base import RenderedRequest
from gateway.dialects.gemini import DIALECT
from gateway.dialects.gemini.context import NEXT_PART_SIGNATURE, SAME_PART_SIGNATURE
from gateway.dialects.gemini.reasoning import parse_signature
from tests.dialects.gemini.make import (
    STATE,
    call,
    chunk,
    events,
    model,
    rendered_bytes,
    rendered_frames,
    response_context,
    response_from,
    text,
    traits,
)

SEVERAL = RenderedRequest(body={"generationConfig": {"candidateCount": 2}})


def signature_of_kind(kind: str) -> Signature:
    return Signature(provider="acme", model="acme-1", kind=kind, value=STATE)


# --- a provider's ------------------------------------------------------------------------


def test_a_call_signature_ends_the_reasoning_before_it():
    response = response_from(
        chunk(text("pl", thought=True)),
        chunk(text("an", thought=True)),
        chunk(call("f", {"x": 1}, thoughtSignature=STATE), call("g")),
        chunk(text(""), reason="STOP"),
    )
    assert response.parts == (
        Reasoning(text="plan", signature=signature_of_kind(NEXT_PART_SIGNATURE)),
        ToolCall(
            id="call_r1_0",
            name="f",
            arguments={"x": 1},
            signature=signature_of_kind(SAME_PART_SIGNATURE),
        ),
        ToolCall(id="call_r1_1", name="g", arguments={}),
    )
    assert response.finish == Finish(reason="tool")


def test_a_signature_without_reasoning_creates_a_reasoning_part():
    response = response_from(chunk(call("f", id="c9", thoughtSignature=STATE), reason="STOP"))
    assert response.parts == (
        Reasoning(signature=signature_of_kind(NEXT_PART_SIGNATURE)),
        ToolCall(id="c9", name="f", arguments={}, signature=signature_of_kind(SAME_PART_SIGNATURE)),
    )


def test_the_signature_of_a_call_precedes_its_arguments():
    """For Chat clients (Google's ADK) a call ends with its arguments: a delta after is another."""
    stream = events(chunk(call("f", {"x": 1}, thoughtSignature=STATE), reason="STOP"))
    start = max(n for n, event in enumerate(stream) if isinstance(event, BlockStart))
    assert [type(event) for event in stream[start + 1 : start + 3]] == [SignatureDelta, Delta]


def test_a_signature_under_the_last_text_follows_it():
    response = response_from(
        chunk(text("Hi")), chunk(text("", thoughtSignature=STATE), reason="STOP")
    )
    assert response.parts == (
        Text(text="Hi"),
        Reasoning(signature=signature_of_kind(SAME_PART_SIGNATURE)),
    )


def partial_call_part(*fragments: Any, more: bool = True, **fields: Any) -> dict[str, Any]:
    """Return a part of a call whose arguments Vertex AI streams in fragments."""
    call = {**fields, **({"partialArgs": list(fragments)} if fragments else {})}
    return {"functionCall": {**call, "willContinue": True} if more else call}


def partial_arg(path: str, *, more: bool = False, **value: Any) -> dict[str, Any]:
    return {"jsonPath": path, **value, **({"willContinue": True} if more else {})}


def test_arguments_streamed_in_fragments_are_one_call():
    response = response_from(
        chunk(text("plan", thought=True)),
        chunk({**partial_call_part(name="f", id="c9"), "thoughtSignature": STATE}),
        chunk(partial_call_part(partial_arg("$.city", stringValue="Os", more=True))),
        chunk(
            partial_call_part(
                partial_arg("$.city", stringValue="lo"), partial_arg("$.n", numberValue=2)
            )
        ),
        chunk(partial_call_part(partial_arg("$.stops[1]['a.b']", boolValue=True))),
        chunk(
            partial_call_part(
                partial_arg("$.stops[0]", nullValue="NULL_VALUE"),
                partial_arg('$["x"].y', stringValue=""),
            )
        ),
        chunk(partial_call_part(more=False)),
        chunk(partial_call_part(partial_arg("$.z", numberValue=1), name="g")),
        chunk(text(""), reason="STOP"),
    )
    arguments = {"city": "Oslo", "n": 2, "stops": [None, {"a.b": True}], "x": {"y": ""}}
    assert response.parts == (
        Reasoning(text="plan", signature=signature_of_kind(NEXT_PART_SIGNATURE)),
        ToolCall(
            id="c9",
            name="f",
            arguments=arguments,
            signature=signature_of_kind(SAME_PART_SIGNATURE),
        ),
        ToolCall(id="call_r1_1", name="g", arguments={"z": 1}),
    )
    assert response.finish == Finish(reason="tool")


@pytest.mark.parametrize("path", ["", "city", "$", "$.", "$.a[", "$[999999]", "$.a[5000]", "$.s.t"])
def test_a_fragment_without_a_valid_path_fails(path: str):
    first = partial_call_part(partial_arg("$.s", stringValue="x"), name="f")
    produced = events(chunk(first), chunk(partial_call_part(partial_arg(path, numberValue=1))))
    assert isinstance(produced[-1], Failed)
    assert "fragment" in produced[-1].error.message


def test_a_call_without_a_name_is_an_error():
    produced = events(chunk({"functionCall": {"args": {"a": 1}}}, reason="STOP"))
    assert isinstance(produced[-1], Failed)
    assert "name" in produced[-1].error.message


def test_an_invalid_first_chunk_with_usage_is_only_an_error():
    candidate = {"content": {"parts": [None]}}
    (failure,) = events({"usageMetadata": {"promptTokenCount": 3}, "candidates": [candidate]})
    assert isinstance(failure, Failed)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "filter"),
        ("RECITATION", "filter"),
        ("CONTINUATION", "pause"),
        ("MALFORMED_FUNCTION_CALL", "malformed"),
        ("OTHER", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_a_finish_reason_is_parsed(word: str, reason: str):
    assert response_from(chunk(text("x"), reason=word)).finish.reason == reason


def test_finish_reason_other_without_content_is_an_error():
    assert response_from(chunk(text(""), reason="OTHER")).finish.reason == "malformed"


def test_a_blocked_prompt_is_a_refusal():
    response = response_from({"promptFeedback": {"blockReason": "BLOCKLIST"}, "usageMetadata": {}})
    assert response.parts == (Refusal(text="Blocked by provider: BLOCKLIST"),)
    assert (response.finish.reason, response.finish.category) == ("filter", "BLOCKLIST")


def test_a_blocked_prompt_has_no_candidates_for_gemini_clients():
    """Google's SDK has the reason in `prompt_feedback.block_reason`."""
    feedback = {"blockReason": "BLOCKLIST", "blockReasonMessage": "a term"}
    blocked = {"promptFeedback": feedback, "usageMetadata": {}, "responseId": "r"}
    [frame] = rendered_frames(events(blocked))
    body, report = DIALECT.client.render_response(response_from(blocked), response_context())
    for rendered in (frame, body):
        assert rendered["promptFeedback"] == feedback
        assert "candidates" not in rendered
    assert report == ()


def test_a_stream_without_an_end_was_cut():
    assert isinstance(events(chunk(text("half")))[-1], Failed)


def test_an_error_in_the_middle_ends_the_stream():
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    last = events(chunk(text("half")), error, chunk(text("more"), reason="STOP"))[-1]
    assert isinstance(last, Failed)
    assert last.error.kind == "overloaded"


def test_token_counts_are_split_by_kind():
    counts = {
        "promptTokenCount": 50,
        "cachedContentTokenCount": 20,
        "toolUsePromptTokenCount": 3,
        "candidatesTokenCount": 12,
        "thoughtsTokenCount": 8,
    }
    usage = response_from(chunk(text("x"), reason="STOP", usageMetadata=counts)).usage
    assert usage == Usage(input=33, cache_read=20, output=20, reasoning=8, native=counts)
    assert response_from(chunk(text("x"), reason="STOP")).usage is None


def test_tool_names_and_free_text_are_restored_for_the_client():
    rendered_request = RenderedRequest(
        body={}, client_names={"f_1": "f.1"}, custom_tools=frozenset({"free"})
    )
    response = response_from(
        chunk(call("f_1"), call("free", {"input": "x"}), reason="STOP"),
        rendered_request=rendered_request,
    )
    assert [part.name for part in response.parts if isinstance(part, ToolCall)] == ["f.1", "free"]
    assert response.parts[1] == ToolCall(
        id="call_r1_1", name="free", raw_arguments="x", custom=True
    )


def test_sources_are_counted_in_characters():
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://x", "title": "t"}}],
        "groundingSupports": [
            {
                "segment": {"startIndex": 4, "endIndex": 9, "text": "World"},
                "groundingChunkIndices": [0, 7],
            }
        ],
    }
    response = response_from(
        chunk(text("世 ")),
        chunk(text("World"), reason="STOP", more={"groundingMetadata": grounding}),
    )
    [part] = response.parts
    assert isinstance(part, Text)
    [source] = part.citations
    assert (source.url, source.start, source.end) == ("https://x", 2, 7)


def test_a_source_of_an_earlier_text_is_not_placed_in_the_last_one():
    """Offsets count from the start of the part with index `partIndex`."""
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    segments = [
        {"partIndex": 0, "startIndex": 0, "endIndex": 13, "text": "Paris is big."},
        {"partIndex": 2, "startIndex": 6, "endIndex": 18, "text": "Rome is old."},
    ]
    supports = [{"segment": segment, "groundingChunkIndices": [0]} for segment in segments]
    chunks = [{"web": {"uri": "https://x"}}]
    grounding = {"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": supports}}
    parts = [text("Paris is big. "), code, text("Über Rome is old.")]
    part = response_from(chunk(*parts, reason="STOP", more=grounding)).parts[-1]
    assert isinstance(part, Text)
    assert [(source.quote, source.start, source.end) for source in part.citations] == [
        ("Paris is big.", None, None),
        ("Rome is old.", 5, 17),
    ]


@pytest.mark.parametrize("late", [False, True], ids=["with the text", "after the text"])
def test_sources_without_supports_belong_to_the_entire_text(late: bool):
    grounding = {"groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://x"}}]}}
    stream = [
        chunk(text("World"), more={} if late else grounding),
        chunk(reason="STOP", more=grounding),
    ]
    [part] = response_from(*stream).parts
    assert isinstance(part, Text)
    assert [(source.url, source.start, source.end) for source in part.citations] == [
        ("https://x", 0, None)
    ]


@pytest.mark.parametrize("first", [text(""), text("t", thought=True)], ids=["empty", "thought"])
def test_sources_before_the_text_belong_to_the_entire_text(first: dict[str, Any]):
    support = {"segment": {"startIndex": 3, "endIndex": 8}, "groundingChunkIndices": [0]}
    chunks = [{"web": {"uri": "https://x"}}]
    grounding = {"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": [support]}}
    stream = [chunk(first, more=grounding), chunk(text("é ")), chunk(text("World"), reason="STOP")]
    part = response_from(*stream).parts[-1]
    assert isinstance(part, Text)
    assert [(source.url, source.start, source.end) for source in part.citations] == [
        ("https://x", 2, 7)
    ]


def test_google_only_parts_are_preserved_for_gemini_clients():
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    body = chunk(code, reason="STOP", more={"safetyRatings": [{"x": 1}]})
    other = {"index": 1, "content": {"parts": [text("other")]}, "finishReason": "STOP"}
    body["candidates"].append({**other, "safetyRatings": [{"x": 2}]})
    response = DIALECT.provider.parse_response(body, traits(), SEVERAL)
    assert response.parts == (Native(dialect="gemini", data=code),)
    round_trip, report = DIALECT.client.render_response(response, response_context())
    assert report == ()
    assert round_trip["candidates"][0]["safetyRatings"] == [{"x": 1}]
    assert round_trip["candidates"][1]["content"]["parts"] == [text("other")]
    assert round_trip["candidates"][1]["safetyRatings"] == [{"x": 2}]


def test_further_candidates_are_responses_of_their_own():
    first = chunk(text("a"))
    first["candidates"].append({"index": 1, "content": model(text("b"))})
    last = chunk(reason="STOP")
    last["candidates"].append({"index": 1, "content": model(call()), "finishReason": "STOP"})
    assert response_from(first, last).alternatives == ()  # as nobody asked for it
    response = response_from(first, last, rendered_request=SEVERAL)
    assert response.parts == (Text(text="a"),)
    assert response.alternatives[0].parts[0] == Text(text="b")
    assert (response.finish.reason, response.alternatives[0].finish.reason) == ("stop", "tool")
    last_frame = rendered_frames(unfold_response(response))[-1]
    assert [c["index"] for c in last_frame["candidates"]] == [0, 1]
    assert last_frame["candidates"][1]["content"]["parts"][0] == text("b")


def test_a_candidate_without_an_end_fails_the_stream():
    response_body = chunk(text("a"), reason="STOP")
    response_body["candidates"].append({"index": 1, "content": model(text("b"))})
    assert isinstance(events(response_body, rendered_request=SEVERAL)[-1], Failed)


def test_log_probabilities_are_parsed_and_rendered():
    likely = {"token": "é", "logProbability": -0.5}
    result = {"chosenCandidates": [likely], "topCandidates": [{"candidates": [likely]}]}
    body = chunk(text("é"), reason="STOP", more={"logprobsResult": result})
    response = DIALECT.provider.parse_response(body, traits(), None)
    plain = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert token_logprobs(response) == [{**plain, "top_logprobs": [plain]}]
    alone = replace(response, extra={KEY: response.extra[KEY]})
    round_trip, _ = DIALECT.client.render_response(alone, response_context())
    assert round_trip["candidates"][0]["logprobsResult"] == result


def test_a_call_without_an_id_gets_one_from_its_position():
    rendered_request = RenderedRequest(body={"contents": [{}, {}, {}]})
    response = response_from(
        {**chunk(call(), reason="STOP"), "responseId": ""}, rendered_request=rendered_request
    )
    assert [part.id for part in response.parts if isinstance(part, ToolCall)] == ["call_3_0"]


def test_a_refused_prompt_is_a_response_in_a_stream_too():
    failed_event = Failed(Error(kind="content_policy", message="no"))
    [frame] = rendered_frames([failed_event])
    assert frame["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
    assert (
        "error" in rendered_frames([Start(), BlockStart(kind="text"), Delta("a"), failed_event])[-1]
    )
    array = json.loads(rendered_bytes([failed_event], framing="array"))
    assert "promptFeedback" in array[0]


@pytest.mark.parametrize("value", [[], 5, {}, {"candidates": 1}, {"candidates": []}])
def test_an_invalid_response_is_refused(value: Any):
    with pytest.raises(GatewayError):
        DIALECT.provider.parse_response(value, traits(), None)


@pytest.mark.parametrize(
    ("status", "error", "kind", "wait"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "x"}, "invalid_request", None),
        (
            400,
            {"status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass"},
            "upstream_auth",
            None,
        ),
        (
            400,
            {"message": "The input token count exceeds the maximum number of tokens allowed"},
            "context_length",
            None,
        ),
        (400, {"status": "FAILED_PRECONDITION", "message": "x"}, "upstream_auth", None),
        (402, {"status": "RESOURCE_EXHAUSTED", "message": "x"}, "quota", None),
        (
            429,
            {
                "status": "RESOURCE_EXHAUSTED",
                "message": "x",
                "details": [{"@type": "RetryInfo", "retryDelay": "17.2s"}],
            },
            "rate_limit",
            18,
        ),
        (
            429,
            {"message": "x", "details": [{"violations": [{"quotaId": "RequestsPerDay"}]}]},
            "quota",
            None,
        ),
        (503, {"status": "UNAVAILABLE", "message": "x"}, "overloaded", None),
        (504, {"status": "DEADLINE_EXCEEDED", "message": "x"}, "timeout", None),
        (499, {"status": "CANCELLED", "message": "x"}, "upstream_error", None),
    ],
)
@pytest.mark.parametrize("is_list", [False, True])
def test_an_error_response_is_classified(
    status: int, error: dict[str, Any], kind: str, wait: int | None, is_list: bool
):
    body: Any = [{"error": error}] if is_list else {"error": error}
    parsed_error = DIALECT.provider.parse_error(status, {}, json.dumps(body).encode())
    assert (parsed_error.kind, parsed_error.retry_after_s) == (kind, wait)


def test_an_html_error_page_is_not_passed_on():
    error = DIALECT.provider.parse_error(502, {}, b"<html>secret</html>")
    assert "secret" not in error.message


# --- a client's --------------------------------------------------------------------------


def test_a_stream_consists_of_chunks_of_complete_responses():
    response = Response(
        parts=(Text(text="Hi"), ToolCall(id="c", name="f", arguments={"a": 1})),
        finish=Finish(reason="tool"),
        usage=Usage(input=3, output=4),
    )
    first, second, last = rendered_frames(unfold_response(response))
    assert first["candidates"][0]["content"] == {"role": "model", "parts": [{"text": "Hi"}]}
    call_parts = second["candidates"][0]["content"]["parts"]
    assert call_parts == [{"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["totalTokenCount"] == 7
    assert {item["responseId"] for item in (first, second, last)} == {"1"}


@pytest.mark.parametrize("thinking", ["none", "summary"])
def test_reasoning_of_another_dialect_keeps_its_state(thinking: str):
    state = Signature(provider="anthropic", model="claude", value="S")
    response = Response(parts=(Reasoning(text="hm", signature=state), Text(text="x")))
    body, _ = DIALECT.client.render_response(response, response_context(reasoning_display=thinking))
    parts = body["candidates"][0]["content"]["parts"]
    streamed = [
        part
        for item in rendered_frames(unfold_response(response), reasoning_display=thinking)
        for part in item["candidates"][0]["content"]["parts"]
    ]
    for listed_items in (parts, streamed):
        assert "".join(p["text"] for p in listed_items if p.get("thought")) == (
            "hm" if thinking == "summary" else ""
        )
        [token] = [p["thoughtSignature"] for p in listed_items if "thoughtSignature" in p]
        assert recover_reasoning_text("hm", parse_signature(token)) == ("hm", state)


def test_hidden_reasoning_round_trips_in_its_signature():
    thought = Reasoning(text="hm", signature=Signature(provider="deepseek", model="d", kind="text"))
    body, _ = DIALECT.client.render_response(
        Response(parts=(thought, Text(text="x"))), response_context(reasoning_display="none")
    )
    content = body["candidates"][0]["content"]
    assert "".join(part["text"] for part in content["parts"]) == "x"
    request = DIALECT.client.parse_request({"model": "gw", "contents": [content]}, {})
    [round_trip, _] = request.turns[0].parts
    assert (round_trip.text, round_trip.signature) == (thought.text, thought.signature)  # type: ignore[union-attr]


@pytest.mark.parametrize("framing", ["sse", "array"])
def test_a_broken_stream_ends_with_an_error(framing: str):
    first_events = unfold_response(Response(parts=(Text(text="half"),)))[:3]
    data = rendered_bytes(
        [*first_events, Failed(Error(kind="overloaded", message="no"))], framing=framing
    )
    last = json.loads(data)[-1] if framing == "array" else json.loads(data.split(b"data: ")[-1])
    assert last["error"]["status"] == "UNAVAILABLE"
    assert (
        rendered_bytes([Failed(Error(kind="timeout", message="no"))], framing="array")[:1] == b"["
    )


def test_an_unparsable_response_is_an_error():
    garbled = Response(finish=Finish(reason="malformed", explanation="oops"))
    with pytest.raises(GatewayError, match="oops"):
        DIALECT.client.render_response(garbled, response_context())
    assert b'"error"' in rendered_bytes([End(garbled.finish)])


def test_an_error_has_the_field_and_retry_delay():
    error = Error(kind="rate_limit", message="slow", param="contents", retry_after_s=17)
    reply = DIALECT.client.render_error(error, "req_1")
    assert reply.headers == {"retry-after": "17"}
    kinds = [detail["@type"].rpartition(".")[2] for detail in reply.body["error"]["details"]]
    assert kinds == ["BadRequest", "RetryInfo"]
    assert reply.body["error"]["details"][1]["retryDelay"] == "17s"
