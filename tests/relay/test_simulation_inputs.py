"""Simulated requests use the same stored state as live traffic."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.edge.endpoints import find_endpoint
from gateway.relay.upstream.media_fetch import FetchedFile
from gateway.simulate import translate
from gateway.simulate.inputs import SimulationInputs
from tests.relay.clients import CLIENTS, Client
from tests.relay.test_reasoning_matrix import PROMPT, Upstreams, running_gateway, send_turn

Json = dict[str, Any]
PRESETS = {"anthropic-4.5": "anthropic"}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
URL = "https://example.org/a.png?secret=1"


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    with ExitStack() as stack:
        yield Upstreams(stack)


def simulated_request(client: Client, upstream: str, model: str, **fields: Any) -> Json:
    """Return the client's next request as simulated for this provider."""
    path, body = client.request(upstream, stream=False)
    endpoint = find_endpoint(path.partition("?")[0])
    assert endpoint is not None
    body = {**body, "model": upstream, "stream": False}
    preset = PRESETS.get(upstream, upstream)
    headers = {name.lower(): value for name, value in client.headers.items()}
    return translate.request(
        endpoint.dialect, preset, body, headers, model, None, SimulationInputs(**fields)
    )


@pytest.mark.parametrize("client", CLIENTS, ids=[c.name for c in CLIENTS])
@pytest.mark.parametrize(
    "upstream", ["gemini", "deepseek", "openai", "anthropic", "anthropic-4.5", "bedrock"]
)
async def test_the_simulation_equals_the_live_upstream_request(
    client: Client, upstream: str, upstreams: Upstreams, tmp_path: Path
) -> None:
    client = client.new_client()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        for _ in range(2):
            await send_turn(gateway, client, upstream, stream=False)
            client.add_tool_results("sunny")
        rows = await gateway.rows(2)
        model = rows[0].model
        responses = [json.loads(row.bodies.upstream_response or b"") for row in rows if row.bodies]
        simulated = simulated_request(client, upstream, model, responses=tuple(responses))
        bare = simulated_request(client, upstream, model)
        path, body = client.request(upstream, stream=False)
        await gateway.post(path, body, headers=client.headers)
        upstream_body = upstreams.last(upstream).body
    assert simulated["body"] == upstream_body
    assert simulated["runtime_inputs"] == []
    assert (bare["body"] == upstream_body) == (bare["runtime_inputs"] == [])


async def test_missing_inputs_are_named(upstreams: Upstreams, tmp_path: Path) -> None:
    (client,) = [c.new_client() for c in CLIENTS if c.name == "chat"]
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "gemini", stream=False)
        client.add_tool_results("sunny")
        inputs = simulated_request(client, "gemini", "gemini-3.8-flash")
    (missing_input,) = inputs["runtime_inputs"]
    assert missing_input["field"] == "messages[1]"
    assert "reasoning of this turn" in missing_input["note"]


def gemini_response(part: Json) -> Json:
    """Return a Gemini response with one part."""
    return {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}


@pytest.mark.parametrize(
    ("response", "text"),
    [
        (gemini_response({"text": "x"}), ""),
        ([], "responses[0] is not a response in the format gemini"),
        (
            gemini_response(
                {"functionCall": {"name": "g", "args": {}}, "thoughtSignature": "c2ln"}
            ),
            "no turn of the request contains its tool calls",
        ),
    ],
    ids=["without_calls", "no_answer", "another_talk"],
)
def test_simulated_responses_must_belong_to_the_conversation(response: Any, text: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {
        "model": "gemini-3.8-flash",
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "y"},
        ],
    }
    inputs = SimulationInputs(responses=(response,))
    if not text:
        translation = translate.request("openai_chat", "gemini", body, {}, "", None, inputs)
        assert [missing_input["field"] for missing_input in translation["runtime_inputs"]] == [
            "messages[1]"
        ]
        return
    with pytest.raises(GatewayError) as error:
        translate.request("openai_chat", "gemini", body, {}, "", None, inputs)
    assert text in error.value.error.message
    assert error.value.error.param == "responses[0]"


def with_picture(model: str) -> Json:
    image = {"type": "image_url", "image_url": {"url": URL}}
    return {"model": model, "messages": [{"role": "user", "content": [image]}]}


def test_a_url_is_replaced_by_its_simulated_file() -> None:
    body = with_picture("gemini-3.8-flash")
    file = FetchedFile(data=PIXEL, media_type="image/png", size=8)
    inputs = SimulationInputs(files={URL: file}, fetch_media=True)
    translation = translate.request("openai_chat", "gemini", body, {}, "", None, inputs)
    (part,) = translation["body"]["contents"][0]["parts"]
    assert part == {"inlineData": {"mimeType": "image/png", "data": PIXEL}}
    assert translation["runtime_inputs"] == []
    assert "secret" not in json.dumps(translation["report"])
    bare = translate.request(
        "openai_chat", "gemini", body, {}, "", None, SimulationInputs(fetch_media=True)
    )
    assert [missing_input["field"] for missing_input in bare["runtime_inputs"]] == [
        "messages[0].content[0]"
    ]
    off = translate.request("openai_chat", "gemini", body, {}, "", None, SimulationInputs())
    assert off["runtime_inputs"] == []
    simulated = translate.request(
        "openai_chat", "openai", with_picture("gpt-4o"), {}, "", None, inputs
    )
    assert simulated["body"] == with_picture("gpt-4o")


def test_a_file_that_is_not_an_image_is_refused() -> None:
    file = FetchedFile(data=PIXEL, media_type="application/pdf", size=8)
    body = with_picture("gemini-3.8-flash")
    with pytest.raises(GatewayError, match="not an image"):
        translate.request(
            "openai_chat", "gemini", body, {}, "", None, SimulationInputs(files={URL: file})
        )
