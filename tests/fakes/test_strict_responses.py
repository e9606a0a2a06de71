"""The fake of Responses takes what the official SDK sends, and refuses what the service does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.fakes import Call, Say, StrictOpenAI
from tests.fakes.responses_rules import state_of

TOOL = {"type": "function", "name": "f", "strict": False, "parameters": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "ok"}
ASKED = {"role": "user", "content": "Hi"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": state_of("x")}


@pytest.fixture(scope="module")
def server() -> Iterator[StrictOpenAI]:
    with StrictOpenAI() as fake:
        yield fake


def ask(server: StrictOpenAI, **body: Any) -> httpx.Response:
    asked = {"model": "gpt-5.6-sol", "input": [ASKED], **body}
    headers = {"authorization": f"Bearer {server.key}"}
    return httpx.post(f"{server.url}/v1/responses", json=asked, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"type": "function", "name": "f"}]},
        {"client_metadata": {"a": "b"}},
        {"input": [{"id": "msg_1", "type": "message", "role": "user", "content": []}]},
        {
            "input": [
                {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
                ASKED,
            ]
        },
        {"input": [ASKED, {**THOUGHT, "content": None}, CALL, RESULT]},
    ],
    ids=["bare_tool", "client_metadata", "message_id", "own_answer", "null_content"],
)
def test_it_takes_what_clients_of_the_service_send(
    server: StrictOpenAI, body: dict[str, Any]
) -> None:
    assert ask(server, **body).status_code == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": [ASKED]}, "Unknown parameter: 'messages'"),
        ({"input": []}, "must be provided"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0]"),
        ({"input": [{"type": "message", "role": "user", "content": [{"type": "text"}]}]}, "input"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0]"),
        ({"tools": [{**TOOL, "name": "a.b"}]}, "does not match pattern"),
        ({"tools": [{**TOOL, "strict": True}]}, "additionalProperties"),
        ({"max_output_tokens": 5}, "below minimum value"),
        ({"temperature": 0}, "not supported with this model"),
        ({"input": [ASKED, CALL]}, "No tool output found"),
        ({"input": [ASKED, RESULT]}, "No tool call found"),
        ({"input": [ASKED, THOUGHT]}, "without its required following item"),
        (
            {"input": [ASKED, {**THOUGHT, "encrypted_content": "dgm1.x"}, CALL, RESULT]},
            "could not be verified",
        ),
        (
            {
                "input": [
                    ASKED,
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
def test_what_the_service_refuses_is_refused(
    server: StrictOpenAI, body: dict[str, Any], words: str
) -> None:
    answer = ask(server, **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_what_the_service_takes_is_taken(server: StrictOpenAI) -> None:
    answer = ask(
        server,
        input=[ASKED, THOUGHT, CALL, RESULT, {"role": "assistant", "content": "so"}, ASKED],
        tools=[TOOL, {"type": "namespace", "name": "n", "description": "d", "tools": [TOOL]}],
        tool_choice="required",
        reasoning={"effort": "low", "summary": "auto"},
        include=["reasoning.encrypted_content"],
        store=False,
    )
    assert answer.status_code == 200, answer.json()


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdk_reads_what_it_answers(server: StrictOpenAI, stream: bool) -> None:
    say = Say(text="Hm.", reasoning="Let me see", calls=(Call("f", {"a": 1}),))
    server.script.on("Everything", say)
    asked: dict[str, Any] = {
        "model": "gpt-5.6-sol",
        "input": "Everything",
        "reasoning": {"summary": "auto"},
        "tools": [TOOL],
    }
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client:
        if stream:
            with client.responses.stream(**asked) as events:
                answer: Any = events.get_final_response()
        else:
            answer = client.responses.create(**asked)
    thought, message, call = answer.output
    assert thought.summary[0].text == "Let me see"
    assert message.content[0].text == answer.output_text == "Hm."
    assert (call.name, call.arguments) == ("f", '{"a":1}')


def test_it_counts_tokens(server: StrictOpenAI) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key) as client:
        assert client.responses.input_tokens.count(model="gpt-5", input="hi").input_tokens > 0
        with pytest.raises(openai.BadRequestError, match="store"):
            client.responses.input_tokens.count(model="gpt-5", extra_body={"store": False})
