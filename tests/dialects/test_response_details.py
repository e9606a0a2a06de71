"""Details of responses that translation could lose: tiers, fingerprints, counts, sources."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canon.events import BlockEnd, BlockStart, Delta, End, Start, UsageUpdate
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.request import Citation, Reasoning, Text
from gateway.canon.response import Finish, Response, Usage
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.sse import Frame
from tests.each import each

Json = dict[str, Any]
CONTEXT = ResponseContext(id="1", created=1, model="m", include_usage=True)


def parse_stream(dialect: str, *values: Json) -> Response:
    """Return the response in the events of a provider's stream."""
    parser = DIALECTS[dialect].provider.stream_parser(Traits(), None)
    frames = [Frame(value.get("type", ""), json.dumps(value).encode()) for value in values]
    return fold_events([e for frame in frames for e in parser.feed(frame)] + parser.close())


def parse_complete(dialect: str, body: Json) -> Response:
    return DIALECTS[dialect].provider.parse_response(body, Traits(), None)


def render(dialect: str, response: Response, *, stream: bool) -> tuple[str, set[tuple[str, str]]]:
    """Return a client's response as text, and the fields of its report with their actions."""
    client = DIALECTS[dialect].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        text = b"".join(map(renderer.feed, unfold_response(response))).decode("utf-8", "replace")
        report = tuple(renderer.report)
    else:
        body, report = client.render_response(response, CONTEXT)
        text = json.dumps(body, separators=(",", ":"))
    return text, {(item.path, item.action) for item in report}


# --- service tiers ------------------------------------------------------------------------


def test_the_tier_of_a_streamed_response_is_that_of_its_end() -> None:
    """OpenAI begins a stream with the requested tier, `auto`, and ends it with the one it bills."""
    created: Json = {"id": "r", "object": "response", "status": "in_progress", "output": []}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    final = {**created, "status": "completed", "service_tier": "priority", "usage": usage}
    response = parse_stream(
        "openai_responses",
        {"type": "response.created", "response": {**created, "service_tier": "auto"}},
        {"type": "response.completed", "response": final},
    )
    assert response.service_tier == "priority"
    assert parse_complete("openai_responses", final).service_tier == "priority"


def test_the_tier_beside_the_usage_of_a_chat_stream_counts() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    response = parse_stream(
        "openai_chat",
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}}]},
        {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"id": "c", "choices": [], "usage": usage, "service_tier": "priority"},
    )
    assert response.service_tier == "priority"


# --- completions --------------------------------------------------------------------------

COMPLETION: Json = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 4},
    },
    "system_fingerprint": "fp_1",
}


@pytest.mark.parametrize("stream", [False, True])
def test_the_fingerprint_of_a_completion_is_kept(stream: bool) -> None:
    response = (
        parse_stream("openai_completions", COMPLETION)
        if stream
        else parse_complete("openai_completions", COMPLETION)
    )
    for client in ("openai_chat", "openai_completions"):
        text, _ = render(client, response, stream=stream)
        assert '"system_fingerprint":"fp_1"' in text


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_that_a_completion_wrote_to_a_cache_are_counted(stream: bool) -> None:
    usage = parse_complete("openai_completions", COMPLETION).usage
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.cache_write) == (2, 3, 4)
    text, _ = render(
        "openai_completions",
        Response(usage=Usage(input=2, cache_read=3, cache_write=4, output=2)),
        stream=stream,
    )
    assert '"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":4}' in text


@each("stream", [False, True])
def test_reasoning_and_sources_of_a_completion_are_reported(stream: bool) -> None:
    source = Citation(url="https://a.test")
    parts = (Reasoning(text="hm"), Text(text="Hi", citations=(source,)))
    response = Response(parts=parts, finish=Finish(reason="stop"))
    _, report = render("openai_completions", response, stream=stream)
    assert report == {("content.reasoning", "dropped"), ("citations", "dropped")}


# --- sources ------------------------------------------------------------------------------


@each("stream", [False, True])
def test_a_source_without_a_url_is_reported_to_gemini_clients(stream: bool) -> None:
    """Claude cites documents of the request by their index."""
    source = Citation(title="t", quote="q", dialect="anthropic_messages")
    response = Response(parts=(Text(text="Hi", citations=(source,)),), finish=Finish(reason="stop"))
    _, report = render("gemini", response, stream=stream)
    assert report == {("candidates[0].groundingMetadata", "dropped")}


# --- log probabilities --------------------------------------------------------------------


@each("stream", [False, True])
def test_tokens_for_responses_clients_always_have_a_list_of_bytes(stream: bool) -> None:
    """Chat allows null, which the SDK's type for the Responses API does not."""
    no_bytes = {"token": "Hi", "logprob": -0.1, "bytes": None}
    tokens = {"content": [{**no_bytes, "top_logprobs": [no_bytes]}]}
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": tokens}
    response = parse_complete("openai_chat", {"id": "c", "choices": [choice]})
    text, _ = render("openai_responses", response, stream=stream)
    assert '"token":"Hi"' in text
    assert '"bytes":null' not in text


# --- tiers of clients' streams ------------------------------------------------------------


@each("client", ["openai_chat", "openai_responses", "anthropic_messages", "bedrock_converse"])
def test_a_stream_has_the_tier_of_the_complete_response(client: str) -> None:
    response = Response(
        parts=(Text(text="Hi"),), usage=Usage(input=1, output=1), service_tier="priority"
    )
    for stream in (False, True):
        text, _ = render(client, response, stream=stream)
        assert '"priority"' in text


@each("client", ["openai_chat", "openai_responses"])
def test_a_tier_that_comes_with_the_usage_is_in_the_last_event(client: str) -> None:
    """Bedrock reports it in `metadata`; its other events have none."""
    renderer = DIALECTS[client].client.stream_renderer(CONTEXT)
    usage = UsageUpdate(Usage(input=1, output=1), "priority")
    events = [Start(), BlockStart(kind="text"), Delta("Hi"), BlockEnd(), usage]
    *_, last = [renderer.feed(event) for event in [*events, End(Finish(reason="stop"))]]
    assert b'"service_tier":"priority"' in last


@each("stream", [False, True])
def test_a_tier_that_openai_does_not_define_is_reported(stream: bool) -> None:
    """Bedrock has `reserved`, Anthropic `batch`, the Responses API `ultrafast`."""
    parts, dropped = (Text(text="Hi"),), {("service_tier", "dropped")}
    for tier, clients in {
        "reserved": ("openai_chat", "openai_responses"),
        "batch": ("openai_chat", "openai_responses"),
        "ultrafast": ("openai_chat",),
    }.items():
        for client in clients:
            text, report = render(client, Response(parts=parts, service_tier=tier), stream=stream)
            assert tier not in text
            assert report == dropped
    text, report = render(
        "openai_responses", Response(parts=parts, service_tier="ultrafast"), stream=stream
    )
    assert '"service_tier":"ultrafast"' in text and not report
    for tier in ("on_demand", "standard"):
        response = Response(parts=parts, service_tier=tier)
        text, report = render("openai_chat", response, stream=stream)
        assert '"service_tier":"default"' in text and not report


# --- searches -----------------------------------------------------------------------------


@each("stream", [False, True])
def test_messages_clients_get_the_number_of_searches_that_openai_bills(stream: bool) -> None:
    """One search item may search several times; `tool_usage` counts them."""
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    search["action"] = {"type": "search", "query": "q", "queries": ["q", "r"]}
    body: Json = {
        "id": "r",
        "object": "response",
        "status": "completed",
        "output": [search],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        "tool_usage": {"web_search": {"num_requests": 2}},
    }
    text, _ = render("anthropic_messages", parse_complete("openai_responses", body), stream=stream)
    assert '"server_tool_use":{"web_search_requests":2,"web_fetch_requests":0}' in text


def test_fields_that_only_the_last_event_has_reach_responses_clients() -> None:
    """OpenAI counts the uses of tools, and compares caches, when the response is complete."""
    created: Json = {"id": "r", "object": "response", "status": "in_progress", "output": []}
    fields: Json = {
        "tool_usage": {"web_search": {"num_requests": 2}},
        "prompt_cache_diagnostics": {"type": "cache_hit"},
    }
    final = {**created, "status": "completed", **fields}
    response = parse_stream(
        "openai_responses",
        {"type": "response.created", "response": created},
        {"type": "response.completed", "response": final},
    )
    assert response.extra == parse_complete("openai_responses", final).extra
    events = [Start(), End(Finish(reason="stop"), extra=response.extra)]
    renderer = DIALECTS["openai_responses"].client.stream_renderer(CONTEXT)
    *_, last = [renderer.feed(event) for event in events]
    response_body = json.loads(last.partition(b"data: ")[2])["response"]
    assert {name: response_body[name] for name in fields} == fields


@each("stream", [False, True])
def test_a_file_without_a_name_is_cited_by_its_id(stream: bool) -> None:
    file = {"type": "file_path", "file_id": "file_1", "index": 0}
    text = {"type": "output_text", "text": "Hi", "annotations": [file], "logprobs": []}
    message = {"type": "message", "id": "m", "role": "assistant", "content": [text]}
    body = {"id": "r", "object": "response", "status": "completed", "output": [message]}
    for client in ("cohere", "bedrock_converse"):
        response_text, _ = render(client, parse_complete("openai_responses", body), stream=stream)
        assert '"title":"file_1"' in response_text


# --- messages of OpenAI -------------------------------------------------------------------


def output_message(number: int, *parts: Json, **fields: Any) -> Json:
    message = {"type": "message", "id": f"msg_{number}", "role": "assistant", **fields}
    return {**message, "status": "completed", "content": list(parts)}


def output_text(text: str, *annotations: Json) -> Json:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def rendered_output(items: list[Json], *, stream: bool) -> list[Json]:
    """Return the output of a Responses client for these items of a provider."""
    body: Json = {"id": "r", "object": "response", "status": "completed", "output": items}
    if not stream:
        text, _ = render("openai_responses", parse_complete("openai_responses", body), stream=False)
        return list(json.loads(text)["output"])
    added: list[Json] = [
        {
            "type": "response.output_item.added",
            "output_index": index,
            "item": {**item, "content": [], "status": "in_progress"},
        }
        for index, item in enumerate(items)
    ]
    done: list[Json] = [
        {"type": "response.output_item.done", "output_index": index, "item": item}
        for index, item in enumerate(items)
    ]
    events = [event for pair in zip(added, done, strict=True) for event in pair]
    response = parse_stream(
        "openai_responses", *events, {"type": "response.completed", "response": body}
    )
    text, _ = render("openai_responses", response, stream=True)
    *_, last = [line for line in text.splitlines() if line.startswith("data: ")]
    return list(json.loads(last[6:])["response"]["output"])


@each("stream", [False, True])
def test_the_phase_of_a_message_is_kept(stream: bool) -> None:
    """OpenAI's models work worse if a client does not send it back (`ResponseOutputMessage`)."""
    comment = output_message(1, output_text("Let me look."), phase="commentary")
    answer = output_message(2, output_text("42"), phase="final_answer")
    output = rendered_output([comment, answer], stream=stream)
    phases = [(item["phase"], item["content"][0]["text"]) for item in output]
    assert phases == [("commentary", "Let me look."), ("final_answer", "42")]
    [plain] = rendered_output([output_message(1, output_text("42"))], stream=stream)
    assert "phase" not in plain


@each("stream", [False, True])
def test_positions_of_sources_are_those_in_the_text_that_the_client_gets(stream: bool) -> None:
    """Consecutive texts become one part."""
    source = {"type": "url_citation", "url": "https://a.test", "title": "A"}
    file = {"type": "file_citation", "file_id": "f", "filename": "a.pdf", "index": 2}
    second = output_text("source", {**source, "start_index": 1, "end_index": 4}, file)
    items = [output_message(1, output_text("one ")), output_message(2, second)]
    [[part]] = [item["content"] for item in rendered_output(items, stream=stream)]
    assert part["text"] == "one source"
    assert part["annotations"] == [{**source, "start_index": 5, "end_index": 8}, file]


@each("stream", [False, True])
def test_consecutive_refusals_are_one_part_as_texts_are(stream: bool) -> None:
    refusals: list[Json] = [{"type": "refusal", "refusal": text} for text in ("I ", "can't")]
    [item] = rendered_output([output_message(1, *refusals)], stream=stream)
    assert item["content"] == [{"type": "refusal", "refusal": "I can't"}]


# --- reasoning ----------------------------------------------------------------------------


def test_reasoning_that_a_gateway_repeats_with_its_state_is_read_once() -> None:
    """This gateway streams reasoning in fragments, and then each part with its state."""
    detail = {"type": "reasoning.text", "text": "Let me see", "signature": "s", "index": 0}
    deltas: list[Json] = [
        *({"reasoning": "Let me"}, {"reasoning": " see"}, {"reasoning_details": [detail]}),
        *({"reasoning": "Hm"}, {"reasoning_details": [{**detail, "text": "Hm", "index": 1}]}),
        {"content": "Hi"},
    ]
    chunks = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    parts = parse_stream("openai_chat", *chunks, end).parts
    assert "".join(part.text for part in parts if isinstance(part, Reasoning)) == "Let me seeHm"


@each("stream", [False, True])
@each(
    ("traffic", "tier"),
    [("ON_DEMAND_PRIORITY", "priority"), ("ON_DEMAND_FLEX", "flex"), ("ON_DEMAND", "default")],
)
def test_the_traffic_type_of_vertex_is_the_tier(traffic: str, tier: str, stream: bool) -> None:
    body = {
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "trafficType": traffic},
    }
    response = parse_stream("gemini", body) if stream else parse_complete("gemini", body)
    assert response.service_tier == tier
