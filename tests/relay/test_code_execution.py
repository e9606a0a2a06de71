"""Provider-executed code through the relay: a conversation that switches providers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from gateway.routing.snapshot import Target, model_of
from tests.relay.harness import KEY as GATEWAY_KEY
from tests.relay.harness import Gateway, gateway, provider, route, snapshot, sse

Json = dict[str, Any]

CODE = "print(6 * 7)"
USE: Json = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "code_execution"}
RESULT: Json = {
    "type": "code_execution_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": {
        "type": "code_execution_result",
        "stdout": "42\n",
        "stderr": "",
        "return_code": 0,
        "content": [],
    },
}
ITEM: Json = {
    "id": "ci_1",
    "type": "code_interpreter_call",
    "code": CODE,
    "container_id": "cntr_1",
    "outputs": [{"type": "logs", "logs": "42\n"}],
    "status": "completed",
}


def event(event_type: str, **fields: Any) -> bytes:
    data = json.dumps({"type": event_type, **fields})
    return f"event: {event_type}\ndata: {data}\n\n".encode()


def claude(request: httpx.Request) -> httpx.Response:
    """Respond as a Claude that first runs code."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "c", "usage": usage}
    blocks = [{**USE, "input": {"code": CODE}}, RESULT, {"type": "text", "text": "It is 42."}]
    if not json.loads(request.content).get("stream"):
        body = {**message, "content": blocks, "stop_reason": "end_turn", "stop_sequence": None}
        return httpx.Response(200, json=body)
    code = {"type": "input_json_delta", "partial_json": json.dumps({"code": CODE})}
    text = {"type": "text_delta", "text": "It is 42."}
    starts = [{**USE, "input": {}}, RESULT, {"type": "text", "text": ""}]
    frames = [event("message_start", message={**message, "content": []})]
    for index, (start, delta) in enumerate(zip(starts, (code, None, text), strict=True)):
        frames.append(event("content_block_start", index=index, content_block=start))
        if delta is not None:
            frames.append(event("content_block_delta", index=index, delta=delta))
        frames.append(event("content_block_stop", index=index))
    frames.append(event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage))
    return sse(*frames, event("message_stop"))


def gpt(request: httpx.Request) -> httpx.Response:
    """Respond as a GPT that first runs code."""
    text = {"type": "output_text", "text": "It is 42.", "annotations": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    output = [ITEM, {**message, "content": [text]}]
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt", "output": output}
    body |= {"status": "completed", "usage": usage, "tools": [], "tool_choice": "auto"}
    body |= {"parallel_tool_calls": True}
    if not json.loads(request.content).get("stream"):
        return httpx.Response(200, json=body)
    frames = [event("response.created", response={**body, "output": [], "status": "in_progress"})]
    for index, item in enumerate(output):
        for state in ("added", "done"):
            name = f"response.output_item.{state}"
            frames.append(event(name, output_index=index, item=item))
    return sse(*frames, event("response.completed", response=body))


def gateway_with_both(tmp_path: Path) -> Any:
    """Run a gateway with the routes `claude` and `gpt`."""
    to_claude = provider("a", "anthropic_messages", auth="x-api-key")
    to_gpt = provider("b", "openai_responses", preset="openai_responses")
    routes = [
        route("claude", to_claude, model="claude-opus-5-5"),
        route("gpt", to_gpt, targets=(Target(id=2, model=model_of(to_gpt, "gpt-5.6"), order=1),)),
    ]
    return gateway(tmp_path, snapshot(*routes), a=claude, b=gpt)


def transport(gw: Gateway) -> Any:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gw.app))  # type: ignore[arg-type]


def last_body(gw: Gateway) -> Json:
    body: Json = json.loads(gw.upstreams.requests[-1].content)
    return body


@pytest.mark.parametrize("stream", [False, True])
async def test_a_responses_conversation_moves_from_claude_to_gpt(
    tmp_path: Path, stream: bool
) -> None:
    fields: Json = {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}
    question = {"role": "user", "content": "6 times 7?"}
    async with (
        gateway_with_both(tmp_path) as gw,
        openai.AsyncOpenAI(
            base_url="http://gw/v1", api_key=GATEWAY_KEY, http_client=transport(gw)
        ) as sdk,
    ):
        if stream:
            async with sdk.responses.stream(model="claude", input=[question], **fields) as events:
                first: Any = await events.get_final_response()
        else:
            first = await sdk.responses.create(model="claude", input=[question], **fields)
        assert last_body(gw)["tools"] == [
            {"type": "code_execution_20250825", "name": "code_execution"}
        ]
        run, message = first.output
        assert (run.code, run.outputs[0].logs, run.status) == (CODE, "42\n", "completed")
        assert message.content[0].text == "It is 42."
        history = [question, *(item.to_dict() for item in first.output), question]
        await sdk.responses.create(model="gpt", input=history, **fields)
        upstream_body = last_body(gw)
    assert [item.get("type", "message") for item in upstream_body["input"]] == ["message"] * 4
    assert CODE in json.dumps(upstream_body["input"][1]) and "42" in json.dumps(
        upstream_body["input"][1]
    )
    assert upstream_body["tools"] == fields["tools"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_messages_conversation_moves_from_gpt_to_claude(
    tmp_path: Path, stream: bool
) -> None:
    fields: Json = {
        "max_tokens": 99,
        "tools": [{"type": "code_execution_20250825", "name": "code_execution"}],
    }
    question = {"role": "user", "content": "6 times 7?"}
    async with (
        gateway_with_both(tmp_path) as gw,
        anthropic.AsyncAnthropic(
            base_url="http://gate", api_key=GATEWAY_KEY, http_client=transport(gw)
        ) as sdk,
    ):
        if stream:
            async with sdk.messages.stream(model="gpt", messages=[question], **fields) as events:
                first: Any = await events.get_final_message()
        else:
            first = await sdk.messages.create(model="gpt", messages=[question], **fields)
        assert last_body(gw)["tools"][0]["type"] == "code_interpreter"
        run, result, text = first.content
        assert (run.input, result.content.stdout, text.text) == (
            {"code": CODE},
            "42\n",
            "It is 42.",
        )
        turn = {"role": "assistant", "content": [block.to_dict() for block in first.content]}
        messages: Any = [question, turn, question]
        await sdk.messages.create(model="claude", messages=messages, **fields)
        upstream_body = last_body(gw)
    blocks = upstream_body["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["text", "text", "text"]
    assert CODE in blocks[0]["text"] and "42" in blocks[1]["text"]
    assert upstream_body["tools"] == fields["tools"]
