"""The Responses fake accepts the official SDK's requests and refuses what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.fakes import Call, ScriptedResponse, StrictOpenAI
from tests.fakes.responses_rules import state_of

TOOL = {"type": "function", "name": "f", "strict": False, "parameters": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
USER_MESSAGE = {"role": "user", "content": "Hi"}
IMAGE = {"type": "input_image", "image_url": "https://a.example/i.png"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": state_of("x")}


@pytest.fixture(scope="module")
def server() -> Iterator[StrictOpenAI]:
    with StrictOpenAI() as fake:
        yield fake


def post_responses(server: StrictOpenAI, **body: Any) -> httpx.Response:
    request_body = {"model": "gpt-5.6-sol", "input": [USER_MESSAGE], **body}
    headers = {"authorization": f"Bearer {server.key}"}
    return httpx.post(f"{server.url}/v1/responses", json=request_body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "name": "f"}]},
        {"client_metadata": {"a": "b"}},
        {"input": [{"id": "msg_1", "type": "message", "role": "user", "content": []}]},
        {
            "input": [
                {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
                USER_MESSAGE,
            ]
        },
        {"input": [USER_MESSAGE, {**THOUGHT, "content": None}, CALL, RESULT]},
        {"input": [{"role": "user", "content": [IMAGE]}]},
        {"input": [USER_MESSAGE, CALL, {**RESULT, "output": [IMAGE]}]},
    ],
    ids=[
        *("bare_tool", "client_metadata", "message_id", "own_answer", "null_content"),
        *("image", "image_in_a_result"),
    ],
)
def test_the_fake_accepts_what_real_clients_send(
    server: StrictOpenAI, body: dict[str, Any]
) -> None:
    assert post_responses(server, **body).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": [USER_MESSAGE]}, "Unknown parameter: 'messages'"),
        ({"input": []}, "must be provided"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0]"),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "text"}]}]}, "input"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0]"),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "does not match pattern"),
        ({"tools": [{**TOOL, "strict": True}]}, "additionalProperties"),
        ({"max_output_tokens": 5}, "below minimum value"),
        ({"temperature": 0}, "not supported with this model"),
        ({"input": [USER_MESSAGE, CALL]}, "No tool output found"),
        ({"input": [USER_MESSAGE, RESULT]}, "No tool call found"),
        ({"input": [USER_MESSAGE, THOUGHT]}, "without its required following item"),
        (
            {"input": [USER_MESSAGE, {**THOUGHT, "encrypted_content": "dgm1.x"}, CALL, RESULT]},
            "could not be verified",
        ),
        (
            {
                "input": [
                    USER_MESSAGE,
                    {k: v for k, v in THOUGHT.items() if k[0] != "e"},
                    CALL,
                    RESULT,
                ],
                "store": False,
            },
            "Items are not persisted",
        ),
        ({"previous_response_id": "resp_0"}, "not found"),
        ({"text": {"format": {"type": "json_object"}}}, "must contain the word 'json'"),
        ({"tool_choice": {"type": "function", "name": "g"}, "tools": [TOOL]}, "not found"),
        ({"reasoning": {"effort": "minimal"}}, "'minimal' is not supported"),
    ],
)
def test_the_fake_refuses_the_same_requests(
    server: StrictOpenAI, body: dict[str, Any], message: str
) -> None:
    response = post_responses(server, **body)
    assert response.status_code == 400
    assert message in response.json()["error"]["message"]


def test_valid_requests_are_accepted(server: StrictOpenAI) -> None:
    response = post_responses(
        server,
        input=[
            USER_MESSAGE,
            THOUGHT,
            CALL,
            RESULT,
            {"role": "assistant", "content": "so"},
            USER_MESSAGE,
        ],
        tools=[TOOL, {"type": "namespace", "name": "n", "description": "d", "tools": [TOOL]}],
        tool_choice="required",
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        store=False,
    )
    assert response.status_code == 200, response.json()


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_reads_the_fakes_responses(server: StrictOpenAI, stream: bool) -> None:
    scripted_response = ScriptedResponse(
        text="Hm.", reasoning="Let me see", calls=(Call("f", {"a": 1}),)
    )
    server.script.on("Everything", scripted_response)
    params: dict[str, Any] = {
        "model": "gpt-5.6-sol",
        "input": "Everything",
        "reasoning": {"summary": "auto"},
        "tools": [TOOL],
    }
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client:
        if stream:
            with client.responses.stream(**params) as events:
                response: Any = events.get_final_response()
        else:
            response = client.responses.create(**params)
    thought, message, call = response.output
    assert thought.summary[0].text == "Let me see"
    assert message.content[0].text == response.output_text == "Hm."
    assert (call.name, call.arguments) == ("f", '{"a":1}')


def test_the_fake_counts_tokens(server: StrictOpenAI) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client:
        assert client.responses.input_tokens.count(model="gpt-5", input="hi").input_tokens > 0
        with pytest.raises(openai.BadRequestError, match="store"):
            client.responses.input_tokens.count(model="gpt-5", extra_body={"store": False})
