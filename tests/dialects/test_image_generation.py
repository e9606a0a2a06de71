"""Image generation: OpenAI's `image_generation` tool on Gemini's image models."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_output_item import ImageGenerationCall
from pydantic import TypeAdapter

from gateway.canon.fold import unfold_response
from gateway.canon.request import Native
from gateway.canon.response import Response
from gateway.canon.traits import Traits
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.sse import Decoder
from gateway.simulate import translate
from tests.dialects.test_searches import events_of
from tests.each import each
from tests.fakes import gemini_rules

Json = dict[str, Any]

CONTEXT = ResponseContext(id="1", created=1, model="m")
IMAGE_MODEL, TEXT_MODEL = "gemini-3-pro-image", "gemini-3.8-flash"
TOOL: Json = {"type": "image_generation"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()
ITEM: Json = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": PNG}


def send(*tools: Json, model: str = IMAGE_MODEL, target: str = "gemini", **changes: Any) -> Json:
    body = {"model": "m", "input": "a cat", "tools": list(tools), **changes}
    return translate.request("openai_responses", target, body, {}, model)


def losses(translation: Json) -> set[tuple[str, str]]:
    return {(row["field"], row["action"]) for row in translation["report"]}


@pytest.mark.parametrize(
    ("size", "config"),
    [
        (None, None),
        ("auto", None),
        ("1024x1024", {"aspectRatio": "1:1"}),
        ("1024x1536", {"aspectRatio": "2:3"}),
        ("2048x1152", {"aspectRatio": "16:9", "imageSize": "2K"}),
        ("3840x2160", {"aspectRatio": "16:9", "imageSize": "4K"}),
    ],
)
def test_the_tool_requests_images_of_its_size(size: str | None, config: Json | None) -> None:
    translation = send({**TOOL, "size": size, "quality": "auto", "output_format": "png"})
    expected: Json = {"responseModalities": ["TEXT", "IMAGE"]}
    if config is not None:
        expected["imageConfig"] = config
    assert translation["body"]["generationConfig"] == expected
    assert "tools" not in translation["body"]
    assert losses(translation) == set()
    assert gemini_rules.refusal(translation["body"], TEXT_MODEL) is None


@pytest.mark.parametrize("size", ["large", f"{'9' * 5000}x1", f"{'9' * 400}x1", ["1024x1024"]])
def test_a_size_that_is_not_in_pixels_is_reported(size: Any) -> None:
    translation = send({**TOOL, "size": size})
    assert "imageConfig" not in translation["body"]["generationConfig"]
    assert losses(translation) == {("tools[0].size", "dropped")}


def test_options_without_an_equivalent_are_reported() -> None:
    translation = send(
        {**TOOL, "size": "1400x1024", "background": "transparent", "quality": "high"}
    )
    assert losses(translation) == {
        ("tools[0].background", "dropped"),
        ("tools[0].quality", "dropped"),
        ("tools[0].size", "approximated"),
    }
    assert translation["body"]["generationConfig"]["imageConfig"] == {"aspectRatio": "4:3"}


@each("target", ["gemini", "anthropic", "deepseek", "bedrock", "cohere", "ollama", "mistral"])
def test_models_that_generate_no_images_do_not_get_the_tool(target: str) -> None:
    model = {"gemini": TEXT_MODEL}.get(target, "m")
    translation = send(TOOL, model=model, target=target, max_output_tokens=99)
    assert "tools" not in translation["body"]
    assert "responseModalities" not in str(translation["body"])
    [row] = translation["report"]
    assert (row["field"], row["note"]) == ("tools[0]", "the model does not generate images")


def generated() -> Any:
    parts = [{"text": "Here."}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]
    content = {"role": "model", "parts": parts}
    body = {"candidates": [{"content": content, "finishReason": "STOP"}], "responseId": "g"}
    return DIALECTS["gemini"].provider.parse_response(body, Traits(), None)


@each("stream", [False, True])
def test_an_image_is_an_item_for_responses_clients(stream: bool) -> None:
    client = DIALECTS["openai_responses"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        events = events_of(b"".join(map(renderer.feed, unfold_response(generated()))))
        for event in events:
            TypeAdapter(ResponseStreamEvent).validate_python(event)
        stem = "response.image_generation_call"
        assert [event["type"] for event in events if stem in event["type"]] == [
            f"{stem}.in_progress",
            f"{stem}.generating",
            f"{stem}.completed",
        ]
        body, report = events[-1]["response"], list(renderer.report)
    else:
        body, rows = client.render_response(generated(), CONTEXT)
        report = list(rows)
    assert [item["type"] for item in body["output"]] == ["message", "image_generation_call"]
    assert {**body["output"][1], "id": "ig_1"} == ITEM
    ImageGenerationCall.model_validate(body["output"][1])
    assert not report


CHAT_IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


def imagined() -> Response:
    """Return a response of OpenAI's Responses with a text and a generated image."""
    message = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Here."}],
    }
    body = {"id": "r", "object": "response", "status": "completed", "output": [message, ITEM]}
    return DIALECTS["openai_responses"].provider.parse_response(body, Traits(), None)


@each("make", [generated, imagined])
@each("stream", [False, True])
def test_images_are_a_list_for_chat_clients(make: Callable[[], Response], stream: bool) -> None:
    """As with OpenRouter and LiteLLM, as OpenAI's Chat has no images in responses."""
    client = DIALECTS["openai_chat"].client
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        data = b"".join(map(renderer.feed, unfold_response(make())))
        state = ChatCompletionStreamState()
        for frame in Decoder().feed(data):
            if frame.data != b"[DONE]":
                chunk = json.loads(frame.data)
                state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
        message = state.get_final_completion().choices[0].message.model_dump()
        report = list(renderer.report)
    else:
        body, rows = client.render_response(make(), CONTEXT)
        message, report = body["choices"][0]["message"], list(rows)
    assert message["content"] == "Here."
    assert message["images"] == [CHAT_IMAGE]
    assert not report


def test_several_streamed_images_have_an_index() -> None:
    """The openai SDK fails on later entries without one."""
    renderer = DIALECTS["openai_chat"].client.stream_renderer(CONTEXT)
    image = Native(dialect="gemini", data={"inlineData": {"mimeType": "image/png", "data": PNG}})
    response = Response(parts=(image, image))
    data = b"".join(map(renderer.feed, unfold_response(response)))
    chunks = [json.loads(f.data) for f in Decoder().feed(data) if f.data != b"[DONE]"]
    images = [c["choices"][0]["delta"]["images"] for c in chunks if "images" in str(c)]
    assert images == [[CHAT_IMAGE], [{**CHAT_IMAGE, "index": 1}]]


@each("dialect", ["anthropic_messages", "ollama", "cohere", "bedrock_converse"])
def test_apis_without_images_in_responses_report_them(dialect: str) -> None:
    body, report = DIALECTS[dialect].client.render_response(generated(), CONTEXT)
    assert PNG not in str(body)
    [row] = report
    assert row.action == "dropped"
    assert "inlineData" in f"{row.path} {row.reason}"


def test_an_image_of_the_history_is_sent_back_for_editing() -> None:
    turns = [{"role": "user", "content": "a cat"}, ITEM, {"role": "user", "content": "blacker"}]
    translation = send(TOOL, input=turns)
    [image] = translation["body"]["contents"][1]["parts"]
    assert image["inlineData"] == {"mimeType": "image/png", "data": PNG}
    assert image["thoughtSignature"] == gemini_rules.SENTINEL
    assert losses(translation) == set()
    assert gemini_rules.refusal(translation["body"], TEXT_MODEL) is None


def chat_history(*images: Any) -> Json:
    """Return a Chat request for editing an image, as the client got it."""
    drawn = {"role": "assistant", "content": "Here.", "images": list(images)}
    messages = [{"role": "user", "content": "a cat"}, drawn, {"role": "user", "content": "blacker"}]
    return {"model": "m", "messages": messages, "max_tokens": 99}


def test_an_image_of_a_chat_history_is_sent_back_for_editing() -> None:
    body = chat_history(CHAT_IMAGE, {**CHAT_IMAGE, "index": 1})
    translation = translate.request("openai_chat", "gemini", body, {}, IMAGE_MODEL)
    text, *images = translation["body"]["contents"][1]["parts"]
    assert text["text"] == "Here."
    assert [image["inlineData"]["data"] for image in images] == [PNG, PNG]
    assert losses(translation) == set()
    assert gemini_rules.refusal(translation["body"], TEXT_MODEL) is None


@each(
    ("target", "model"),
    [
        ("anthropic", "claude-opus-5-5"),
        ("bedrock", "anthropic.claude-opus-5-5-v1:0"),
        ("openai_responses", "gpt-5.6-sol"),
        ("mistral", "mistral-large-latest"),
        ("cohere", "command-a-03-2025"),
        ("ollama", "llama3.3"),
        ("custom-completions", "davinci-002"),
    ],
)
def test_an_image_of_a_chat_history_is_reported_elsewhere(target: str, model: str) -> None:
    body = chat_history(CHAT_IMAGE)
    translation = translate.request("openai_chat", target, body, {}, model)
    assert PNG not in json.dumps(translation["body"])
    assert ("messages[1].images[0]", "dropped") in losses(translation)


@each("entry", ["x", {}, {"image_url": {"url": "https://a.example/cat.png"}}])
def test_an_image_that_is_no_data_url_is_reported(entry: Any) -> None:
    translation = translate.request("openai_chat", "gemini", chat_history(entry), {}, IMAGE_MODEL)
    assert losses(translation) == {("messages[1].images[0]", "dropped")}


def test_an_image_in_the_history_is_reported_by_other_dialects() -> None:
    turns = [{"role": "user", "content": "a cat"}, ITEM, {"role": "user", "content": "blacker"}]
    translation = send(
        model="claude-opus-5-5", target="anthropic", input=turns, max_output_tokens=99
    )
    assert PNG not in str(translation["body"])
    assert losses(translation) == {("input[1]", "dropped")}


def chat(model: str = IMAGE_MODEL, target: str = "gemini", **fields: Any) -> Json:
    body = {"model": "m", "messages": [{"role": "user", "content": "a cat"}], **fields}
    return translate.request("openai_chat", target, body, {}, model)


@pytest.mark.parametrize(
    ("fields", "config", "lost_fields"),
    [
        ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}, set()),
        ({"modalities": ["image"]}, {"responseModalities": ["IMAGE"]}, set()),
        (
            {
                "modalities": ["image", "text"],
                "image_config": {"aspect_ratio": "16:9", "image_size": "4K"},
            },
            {
                "responseModalities": ["IMAGE", "TEXT"],
                "imageConfig": {"aspectRatio": "16:9", "imageSize": "4K"},
            },
            set(),
        ),
        (
            {"image_config": {"aspect_ratio": "1:1", "strength": 1}},
            {"imageConfig": {"aspectRatio": "1:1"}},
            {"image_config.strength"},
        ),
        ({"modalities": ["text", "audio"]}, None, {"modalities"}),
        ({"modalities": ["image", 1]}, None, {"modalities"}),
        ({"image_config": "large"}, None, {"image_config"}),
    ],
    ids=str,
)
def test_images_that_a_chat_client_requests_are_requested(
    fields: Json, config: Json | None, lost_fields: set[str]
) -> None:
    """`modalities` and `image_config` of OpenRouter, of which LiteLLM has the first."""
    translation = chat(**fields)
    assert translation["body"].get("generationConfig") == config
    assert losses(translation) == {(name, "dropped") for name in lost_fields}


@pytest.mark.parametrize(
    ("model", "target"), [(TEXT_MODEL, "gemini"), ("claude-sonnet-5", "anthropic")]
)
def test_images_from_a_model_without_them_are_reported(model: str, target: str) -> None:
    fields = {"modalities": ["text", "image"], "image_config": {"aspect_ratio": "1:1"}}
    translation = chat(model, target, **fields)
    assert "generationConfig" not in translation["body"]
    assert {("modalities", "dropped"), ("image_config", "dropped")} <= losses(translation)
