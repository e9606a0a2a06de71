"""Log probabilities in translated streams, between all APIs that have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cohere.types import ChatContentDeltaEvent
from google.genai.types import GenerateContentResponse
from ollama import ChatResponse
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseTextDeltaEvent, ResponseTextDoneEvent

from gateway.canon.events import Delta, Event
from gateway.canon.fold import fold_events, unfold_response
from gateway.canon.logprobs import token_logprobs
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing import ndjson, sse
from gateway.framing.sse import Frame
from gateway.simulate import translate
from tests.each import each

Json = dict[str, Any]

CONTEXT = ResponseContext(id="1", created=1, model="m")
TEXTS = ("Hel", "lo")


def token(text: str, alternatives: bool = True) -> Json:
    top = [{"token": "Ha", "logprob": -2.5}] if alternatives else []
    return {"token": text, "logprob": -0.5, "top_logprobs": top}


def chat_frames() -> list[Json]:
    chunk: Json = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def choice(delta: Json, finish: str | None = None, content: list[Json] | None = None) -> Json:
        logprobs = {"content": content, "refusal": None} if content is not None else None
        rendered_choice = {
            "index": 0,
            "delta": delta,
            "finish_reason": finish,
            "logprobs": logprobs,
        }
        return {**chunk, "choices": [rendered_choice]}

    return [
        choice({"role": "assistant", "content": ""}, content=[]),
        *(choice({"content": text}, content=[token(text)]) for text in TEXTS),
        choice({}, "stop"),
    ]


def responses_frames() -> list[Json]:
    response: Json = {"id": "r", "object": "response", "model": "m", "output": []}
    position: Json = {"item_id": "msg", "output_index": 0, "content_index": 0}
    text = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
    item = {"id": "msg", "type": "message", "role": "assistant", "status": "in_progress"}
    kind = "response.output_text.delta"
    return [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        *({"type": kind, **position, "delta": t, "logprobs": [token(t)]} for t in TEXTS),
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "content": [text]}},
        {"type": "response.completed", "response": {**response, "status": "completed"}},
    ]  # fmt: skip


def gemini_frames() -> list[Json]:
    def candidate(text: str, **more: Any) -> Json:
        top = {"candidates": [{"token": "Ha", "logProbability": -2.5}]}
        chosen = {"token": text, "logProbability": -0.5}
        result = {"chosenCandidates": [chosen], "topCandidates": [top]}
        content = {"role": "model", "parts": [{"text": text}]}
        return {"candidates": [{"content": content, "logprobsResult": result, **more}]}

    return [candidate("Hel"), candidate("lo", finishReason="STOP")]


def ollama_frames() -> list[Json]:
    lines = [
        {"message": {"role": "assistant", "content": t}, "done": False, "logprobs": [token(t)]}
        for t in TEXTS
    ]
    end = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    return [{"model": "m", **line} for line in [*lines, end]]


def cohere_frames() -> list[Json]:
    def delta(text: str) -> Json:
        content = {"message": {"content": {"text": text}}}
        logprobs = {"text": text, "token_ids": [1], "logprobs": [-0.5]}
        return {"type": "content-delta", "index": 0, "delta": content, "logprobs": logprobs}

    start = {"message": {"content": {"type": "text", "text": ""}}}
    return [
        {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-start", "index": 0, "delta": start},
        *(delta(text) for text in TEXTS),
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}},
    ]


def completions_frames() -> list[Json]:
    def choice(text: str, finish: str | None, logprobs: Json | None) -> Json:
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}
        return {"id": "c", "object": "text_completion", "model": "m", "choices": [choice]}

    def logprobs(text: str) -> Json:
        lists = {"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": [{"Ha": -2.5}]}
        return {**lists, "text_offset": [0]}

    return [*(choice(text, None, logprobs(text)) for text in TEXTS), choice("", "stop", None)]


FRAMES = {
    "openai_chat": chat_frames,
    "openai_completions": completions_frames,
    "openai_responses": responses_frames,
    "gemini": gemini_frames,
    "ollama": ollama_frames,
    "cohere": cohere_frames,
}


def parse(dialect: str, frames: list[Frame]) -> list[Event]:
    parser = DIALECTS[dialect].provider.stream_parser(Traits(), None)
    events = [event for frame in frames for event in parser.feed(frame)]
    return [*events, *parser.close()]


def events_of(dialect: str) -> list[Event]:
    frames = [(str(f.get("type", "")), json.dumps(f).encode()) for f in FRAMES[dialect]()]
    return parse(dialect, [Frame(name, data) for name, data in frames])


def rendered_frames(dialect: str, events: list[Event]) -> list[Frame]:
    renderer = DIALECTS[dialect].client.stream_renderer(CONTEXT)
    data = b"".join(renderer.feed(event) for event in events)
    decoder = ndjson.Decoder() if dialect == "ollama" else sse.Decoder()
    return [*decoder.feed(data), *decoder.close()]


@each("provider", list(FRAMES))
@each("client", list(FRAMES))
def test_log_probabilities_are_translated_in_streams(provider: str, client: str) -> None:
    events = events_of(provider)
    tokens = token_logprobs(fold_events(parse(client, rendered_frames(client, events))))
    assert [(item["token"], item["logprob"]) for item in tokens] == [("Hel", -0.5), ("lo", -0.5)]
    tops = [[(top["token"], top["logprob"]) for top in item["top_logprobs"]] for item in tokens]
    has_alternatives = "cohere" not in {provider, client}
    assert tops == ([[("Ha", -2.5)]] * 2 if has_alternatives else [[], []])


@each("provider", list(FRAMES))
def test_tokens_belong_to_the_delta_of_their_text(provider: str) -> None:
    deltas = [event for event in events_of(provider) if isinstance(event, Delta)]
    assert [[item["token"] for item in delta.logprobs] for delta in deltas] == [["Hel"], ["lo"]]


@each("provider", list(FRAMES))
def test_a_folded_stream_unfolds_with_its_log_probabilities(provider: str) -> None:
    response = fold_events(events_of(provider))
    assert fold_events(unfold_response(response)) == response


def test_the_sdks_parse_streamed_log_probabilities() -> None:
    events = events_of("openai_chat")

    def objects(dialect: str) -> list[Json]:
        frames = [frame.data for frame in rendered_frames(dialect, events)]
        return [json.loads(data) for data in frames if data.strip() not in {b"", b"[DONE]"}]

    chunk = ChatCompletionChunk.model_validate(objects("openai_chat")[1])
    assert chunk.choices[0].logprobs is not None
    by_type = {item["type"]: item for item in objects("openai_responses")}
    delta = ResponseTextDeltaEvent.model_validate(by_type["response.output_text.delta"])
    done = ResponseTextDoneEvent.model_validate(by_type["response.output_text.done"])
    assert (delta.logprobs[0].token, len(done.logprobs)) == ("lo", 2)
    candidates = GenerateContentResponse.model_validate(objects("gemini")[0]).candidates
    assert candidates is not None
    assert candidates[0].logprobs_result is not None
    assert ChatResponse.model_validate(objects("ollama")[0]).logprobs is not None
    deltas = [item for item in objects("cohere") if item["type"] == "content-delta"]
    assert ChatContentDeltaEvent.model_validate(deltas[0]).logprobs is not None


REQUESTS: dict[str, Json] = {
    "openai_chat": {
        "messages": [{"role": "user", "content": "hi"}],
        "logprobs": True,
        "top_logprobs": 2,
    },
    "openai_responses": {"input": "hi", "include": ["message.output_text.logprobs"]},
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"responseLogprobs": True},
    },
    "ollama": {"messages": [{"role": "user", "content": "hi"}], "logprobs": True},
    "cohere": {"messages": [{"role": "user", "content": "hi"}], "logprobs": True},
}
MODELS = {"gemini": "gemini-2.5-flash", "cohere": "command-a-03-2025", "ollama": "qwen3"}


@each("client", list(REQUESTS))
@each("provider", list(REQUESTS))
def test_streaming_requests_ask_for_log_probabilities(client: str, provider: str) -> None:
    if client == provider:
        pytest.skip("passed through")
    body = {"model": "m", "stream": True, **REQUESTS[client]}
    model = MODELS.get(provider, "gpt-4o")
    translation = translate.request(client, provider, body, {}, model)
    assert "logprobs" in json.dumps(translation["body"]).lower()
    dropped_fields = {row["field"] for row in translation["report"] if row["action"] == "dropped"}
    assert dropped_fields <= {"top_logprobs"}


def test_completions_clients_get_log_probabilities_with_offsets() -> None:
    frames = [
        json.loads(f.data)
        for f in rendered_frames("openai_completions", events_of("openai_chat"))[:2]
    ]
    logprobs = [frame["choices"][0]["logprobs"] for frame in frames]
    assert [item["tokens"] for item in logprobs] == [["Hel"], ["lo"]]
    assert [item["text_offset"] for item in logprobs] == [[0], [3]]
    assert logprobs[0]["top_logprobs"] == [{"Ha": -2.5}]


@each("stream", [False, True])
def test_log_probabilities_are_requested_from_a_completions_provider(stream: bool) -> None:
    body = {"model": "m", "stream": stream, **REQUESTS["openai_chat"]}
    body["messages"] = [{"role": "user", "content": "hi"}]
    translation = translate.request("openai_chat", "openai_completions", body, {}, "davinci-002")
    assert translation["body"]["logprobs"] == 2
    choice = {**completions_frames()[0]["choices"][0], "finish_reason": "stop"}
    response = DIALECTS["openai_completions"].provider.parse_response(
        {"id": "c", "choices": [choice]}, Traits(), None
    )
    assert [item["token"] for item in token_logprobs(response)] == ["Hel"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_tokens_of_a_refusal_stay_with_the_refusal(is_stream: bool):
    """A structured output of OpenAI's Chat may be refused."""
    logprobs = {
        "content": None,
        "refusal": [{**token("No", alternatives=False), "bytes": [78, 111]}],
    }
    choice = {"index": 0, "logprobs": logprobs, "finish_reason": "stop"}
    message = {"role": "assistant", "content": None, "refusal": "No"}
    body = {"id": "1", "model": "m", "choices": [{**choice, "message": message}]}
    if is_stream:
        chunk = {"id": "1", "choices": [{**choice, "delta": message}]}
        events = translate.stream("openai_chat", "openai_chat", [chunk, "[DONE]"], "m")["events"]
        choices = [event["choices"][0] for event in events if "choices" in event]
        [found] = [choice["logprobs"] for choice in choices if choice["delta"].get("refusal")]
        assert found == logprobs
        return
    response = DIALECTS["openai_chat"].provider.parse_response(body, Traits(), None)
    whole, _ = DIALECTS["openai_chat"].client.render_response(response, CONTEXT)
    assert whole["choices"][0]["logprobs"] == logprobs
