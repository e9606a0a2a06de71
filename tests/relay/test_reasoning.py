"""Stored reasoning, and refused reasoning state."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.canon.errors import Error
from gateway.canon.request import Reasoning, Request, Signature, Text, ToolCall, Turn
from gateway.canon.signature import unwrap_signature, wrap_signature
from gateway.relay.exchange.reasoning_turns import (
    drop_state,
    extract_state,
    keys_after,
    keys_in,
    restore_state,
    turns_missing_state,
)
from gateway.relay.state.reasoning import (
    STORED_S,
    ReasoningRow,
    ReasoningStore,
    is_state_refusal,
)
from tests.fakes import anthropic as fake_anthropic
from tests.fakes import bedrock_rules, gemini_rules, openai_rules, responses_rules
from tests.relay.clients import (
    Chat,
    Gemini,
    GeminiWithoutThoughts,
    Messages,
    Responses,
    events,
)
from tests.relay.harness import gateway, provider, route, snapshot, sse
from tests.relay.test_reasoning_matrix import (
    PROMPT,
    RETURNED,
    SharedStateStore,
    Upstreams,
    running_gateway,
    send_turn,
)

STATE = Signature(provider="anthropic", model="claude-opus-5", value="S")
THOUGHT = Reasoning(text="hm", signature=STATE)
CALL = ToolCall(id="c1", name="f", arguments={"a": 1})
USER = Turn(role="user", parts=(Text(text="Hi"),))


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    with ExitStack() as stack:
        yield Upstreams(stack)


def request(*turns: Turn) -> Request:
    return Request(model="m", turns=turns)


def assistant_turn(*parts: Any) -> Turn:
    return Turn(role="assistant", parts=parts, path="messages[1]")


# --- turns -------------------------------------------------------------------------------


def test_a_turn_is_restored_unchanged():
    second = msgspec.structs.replace(THOUGHT, text="aha")
    other = ToolCall(id="c2", name="g", arguments={})
    response = (THOUGHT, Text(text="One. "), second, Text(text="Two."), CALL, other)
    state = extract_state(response)
    assert state is not None
    client_body = request(USER, assistant_turn(Text(text="One. Two."), CALL, other))
    parts = restore_state(client_body, {1: state}).turns[1].parts
    without = tuple(msgspec.structs.replace(p, path="") for p in parts)
    assert without == response


def test_text_edited_by_the_client_is_not_restored():
    state = extract_state((THOUGHT, Text(text="One."), THOUGHT, Text(text="Two."), CALL))
    assert state is not None
    parts = (
        restore_state(request(USER, assistant_turn(Text(text="Else"), CALL)), {1: state})
        .turns[1]
        .parts
    )
    assert [part.text for part in parts if isinstance(part, Text)] == ["Else"]
    assert parts[-1] == CALL
    assert sum(isinstance(part, Reasoning) for part in parts) == 2


def test_state_is_extracted_only_from_responses_with_calls_and_state():
    assert extract_state((THOUGHT, Text(text="Hi"))) is None
    assert extract_state((Reasoning(text="hm"), CALL)) is None
    assert extract_state((Text(text="Hi"), CALL)) is None


def test_a_turn_is_matched_without_ids_or_reasoning():
    first = keys_after(request(USER), (THOUGHT, CALL), "key:1")
    renamed = msgspec.structs.replace(CALL, id="else")
    [(_, keys)] = keys_in(request(USER, assistant_turn(renamed)), "key:1", [1])
    assert keys.turn == first.turn
    assert keys.call != first.call


@pytest.mark.parametrize(
    ("history", "scope"),
    [
        ((USER, assistant_turn(CALL)), "key:2"),
        ((Turn(role="user", parts=(Text(text="Else"),)), assistant_turn(CALL)), "key:1"),
        ((USER, assistant_turn(msgspec.structs.replace(CALL, arguments={"a": 2}))), "key:1"),
    ],
    ids=["another key", "another question", "other arguments"],
)
def test_different_turns_do_not_match(history: tuple[Turn, ...], scope: str):
    first = keys_after(request(USER), (THOUGHT, CALL), "key:1")
    [(_, keys)] = keys_in(request(*history), scope, [1])
    assert keys.turn != first.turn


EARLIER = Turn(role="user", parts=(Text(text="Hello"),))
REPLY = Turn(role="assistant", parts=(Text(text="Hello!"),))
ELSE = Turn(role="user", parts=(Text(text="Else"),))


def test_a_turn_is_matched_in_a_shortened_history():
    stored = keys_after(request(EARLIER, REPLY, USER), (THOUGHT, CALL), "key:1")
    [(_, keys)] = keys_in(request(USER, assistant_turn(CALL)), "key:1", [1])
    assert keys.call == stored.call
    assert keys.turn != stored.turn


@pytest.mark.parametrize("history", [(ELSE,), (USER, REPLY, ELSE), ()], ids=len)
def test_an_equal_call_in_another_conversation_does_not_match(history: tuple[Turn, ...]):
    """Some upstreams use the same ids in each conversation, such as `call_0`."""
    stored = keys_after(request(USER), (THOUGHT, CALL), "key:1")
    turns = (*history, assistant_turn(CALL))
    [(_, keys)] = keys_in(request(*turns), "key:1", [len(history)])
    assert keys.call != stored.call
    assert keys.turn != stored.turn


def test_turns_with_calls_but_without_state_are_found():
    history = request(USER, assistant_turn(Reasoning(text="hm"), CALL))
    assert turns_missing_state(history, text_suffices=False) == [1]
    assert turns_missing_state(history, text_suffices=True) == []
    assert (
        turns_missing_state(request(USER, assistant_turn(THOUGHT, CALL)), text_suffices=False) == []
    )
    assert (
        turns_missing_state(request(USER, assistant_turn(Text(text="Hi"))), text_suffices=False)
        == []
    )


def test_drop_state_preserves_text_and_reports_each_loss():
    plain = Reasoning(text="aloud", signature=Signature(provider="deepseek", kind="text"))
    signed = msgspec.structs.replace(CALL, signature=STATE, path="messages[1].tool_calls[0]")
    bare, report = drop_state(request(USER, assistant_turn(THOUGHT, plain, signed)))
    assert bare.turns[1].parts == (plain, msgspec.structs.replace(signed, signature=None))
    error_body = [(item.path, item.action) for item in report]
    assert error_body == [
        ("messages[1]", "dropped"),
        ("messages[1].tool_calls[0].signature", "dropped"),
    ]


# --- the memory --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_bytes", "returned"), [(500, "no state"), (20_000, "state")], ids=["none fits", "some fit"]
)
async def test_a_reasoning_store_stays_within_max_bytes(
    upstreams: Upstreams, tmp_path: Path, max_bytes: int, returned: str
):
    """The oldest states are dropped first."""
    async with running_gateway(tmp_path, upstreams) as gateway:
        gateway.runtime.reasoning = ReasoningStore(max_bytes=max_bytes)
        for number in range(40):
            client = Chat()
            client.add_user_message(f"{PROMPT} {number}")
            await send_turn(gateway, client, "anthropic", stream=False)
        client.add_tool_results("sunny")
        await send_turn(gateway, client, "anthropic", stream=False)
        assert RETURNED["anthropic"](upstreams.last("anthropic").body) == [returned]


async def test_conversations_with_equal_call_ids_do_not_share_reasoning(
    upstreams: Upstreams, tmp_path: Path
):
    rows = SharedStateStore()
    async with running_gateway(tmp_path, upstreams, rows) as gateway:
        client = Chat()
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "openai", stream=False)
        client.add_tool_results("sunny")
        other = Chat()
        other.history = [{"role": "user", "content": f"{PROMPT} And now?"}, *client.history[1:]]
        await send_turn(gateway, other, "openai", stream=False)
        assert RETURNED["openai"](upstreams.last("openai").body) == ["no state"]
        await send_turn(gateway, client, "openai", stream=False)
        assert RETURNED["openai"](upstreams.last("openai").body) == ["state"]


@pytest.mark.parametrize(("user", "state"), [("ada", "state"), ("bob", "no state")])
async def test_end_users_do_not_share_reasoning(
    upstreams: Upstreams, tmp_path: Path, user: str, state: str
):
    async with running_gateway(tmp_path, upstreams, SharedStateStore()) as gateway:
        client = Chat()
        client.add_user_message(PROMPT)
        for end_user in ("ada", user):
            path, body = client.request("openai", stream=False)
            reply = await gateway.post(path, {**body, "user": end_user}, headers=client.headers)
            assert reply.status == 200, reply.body
            if len(client.history) == 1:
                client.read_response(reply.body, stream=False)
                client.add_tool_results("sunny")
        assert RETURNED["openai"](upstreams.last("openai").body) == [state]


async def test_reasoning_states_in_memory_expire(upstreams: Upstreams, tmp_path: Path):
    now = 0.0
    async with running_gateway(tmp_path, upstreams) as gateway:
        gateway.runtime.reasoning = ReasoningStore(seconds=60, clock=lambda: now)
        client = Chat()
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "openai", stream=False)
        now = 61.0
        client.add_tool_results("sunny")
        await send_turn(gateway, client, "openai", stream=False)
        assert RETURNED["openai"](upstreams.last("openai").body) == ["no state"]


async def test_an_unavailable_store_refuses_no_request(upstreams: Upstreams, tmp_path: Path):
    def broken(_: Any) -> list[ReasoningRow]:
        raise OSError("the database is away")

    async with running_gateway(tmp_path, upstreams) as gateway:
        client = Chat()
        client.add_user_message(PROMPT)
        gateway.runtime.reasoning = ReasoningStore(find=broken, write=broken)  # type: ignore[arg-type]
        await send_turn(gateway, client, "gemini", stream=False)
        client.add_tool_results("sunny")
        await send_turn(gateway, client, "gemini", stream=False)
        assert RETURNED["gemini"](upstreams.last("gemini").body) == ["state"]
        away = gateway.runtime.reasoning
        gateway.runtime.reasoning = ReasoningStore(find=broken, write=broken)  # type: ignore[arg-type]
        await send_turn(gateway, client, "gemini", stream=False)
        assert RETURNED["gemini"](upstreams.last("gemini").body)[0] == "no state"
        await asyncio.to_thread(away.close)
        await asyncio.to_thread(gateway.runtime.reasoning.close)


async def test_a_lookup_waits_for_a_late_row(upstreams: Upstreams, tmp_path: Path):
    rows, lookup_count = SharedStateStore(), 0

    def late(keys: list[Any]) -> list[ReasoningRow]:
        nonlocal lookup_count
        lookup_count += 1
        return [] if lookup_count == 1 else rows.find(keys)

    client = Chat()
    client.add_user_message(PROMPT)
    async with running_gateway(tmp_path / "a", upstreams, rows) as gateway:
        await send_turn(gateway, client, "bedrock", stream=True)
    client.add_tool_results("sunny")
    async with running_gateway(tmp_path / "b", upstreams) as gateway:
        gateway.runtime.reasoning = ReasoningStore(find=late)
        await send_turn(gateway, client, "bedrock", stream=True)
        await asyncio.to_thread(gateway.runtime.reasoning.close)
    assert RETURNED["bedrock"](upstreams.last("bedrock").body) == ["state"]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_response_ends_when_its_row_is_stored(
    upstreams: Upstreams, tmp_path: Path, stream: bool
):
    rows = SharedStateStore()

    def slow(log_rows: list[ReasoningRow]) -> None:
        time.sleep(0.1)
        rows.rows.extend(log_rows)

    async with running_gateway(tmp_path, upstreams) as gateway:
        gateway.runtime.reasoning = ReasoningStore(find=rows.find, write=slow)
        client = Chat()
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "gemini", stream=stream)
        assert len(rows.rows) == 1, "another process may be asked now"
        await asyncio.to_thread(gateway.runtime.reasoning.close)


async def test_a_hanging_store_is_awaited_once(upstreams: Upstreams, tmp_path: Path):
    released = threading.Event()
    async with running_gateway(tmp_path, upstreams) as gateway:
        memory = gateway.runtime.reasoning = ReasoningStore(
            write=lambda _: (released.wait(20), None)[1]
        )
        for number in range(3):
            client = Chat()
            client.add_user_message(f"{PROMPT} {number}")
            await send_turn(gateway, client, "gemini", stream=False)
            if not number:
                start = time.monotonic()
        assert time.monotonic() - start < STORED_S
        released.set()
        await asyncio.to_thread(memory.close)


async def test_deepseek_gets_a_blank_where_its_reasoning_is_unknown(
    upstreams: Upstreams, tmp_path: Path
):
    async with running_gateway(tmp_path, upstreams) as gateway:
        client = Chat()
        client.add_user_message(PROMPT)
        client.calls = [
            {"id": "x", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        ]
        client.history.append({"role": "assistant", "content": "", "tool_calls": client.calls})
        client.add_tool_results("sunny")
        await send_turn(gateway, client, "deepseek", stream=False)
        upstream_message = upstreams.last("deepseek").body["messages"][1]
        assert upstream_message["reasoning_content"] == " "
        record = await gateway.record()
        assert [row["action"] for row in record.adaptations] == ["defaulted"]


# --- a state that is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("upstream", "rules", "name"),
    [
        ("openai", responses_rules, "STATE"),
        ("bedrock", bedrock_rules, "signature"),
        ("gemini", gemini_rules, "signature"),
    ],
)
@pytest.mark.parametrize("client", [Chat(), Messages()], ids=["chat", "messages"])
async def test_an_expired_provider_state_is_dropped(
    client: Any,
    upstream: str,
    rules: Any,
    name: str,
    upstreams: Upstreams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """As after a change of the account or its keys: one more attempt without state."""
    client = client.new_client()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, upstream, stream=False)
        client.add_tool_results("sunny")
        fresh = "gBBBB-" if name == "STATE" else lambda text: base64.b64encode(b"sig:new").decode()
        monkeypatch.setattr(rules, name, fresh)
        count = upstreams.count(upstream)
        reply = await send_turn(gateway, client, upstream, stream=True)
        assert upstreams.count(upstream) == count + 2
        assert reply.headers["x-dragoman-dropped"]
        record = (await gateway.rows(2))[-1]
        assert record.status == 200
        assert any("did not accept" in row["note"] for row in record.adaptations)


async def test_an_altered_signature_is_dropped_on_passthrough_too(
    upstreams: Upstreams, tmp_path: Path
):
    client = Messages()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "anthropic", stream=False)
        client.history[1]["content"][0]["signature"] = "EqUpstream-of-somebody-else"
        client.add_tool_results("sunny")
        reply = await send_turn(gateway, client, "anthropic", stream=False)
        assert reply.headers["x-dragoman-dropped"] == "messages[1].content[0]"


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_a_request_without_refused_thinking_still_passes_through(
    upstreams: Upstreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
):
    """Only the reasoning is removed: provider-specific fields stay in both directions."""
    native_fields = {"inference_geo": "eu", "speed": "fast", "x_unknown": {"a": 1}}
    plain = fake_anthropic._usage
    monkeypatch.setattr(
        fake_anthropic, "_usage", lambda response: {**plain(response), **native_fields}
    )
    client = Messages()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "anthropic", stream=False)
        client.history[1]["content"][0]["signature"] = "EqUpstream-of-somebody-else"
        client.add_tool_results("sunny")
        _, client_body = client.request("anthropic", stream=stream)
        history = json.loads(json.dumps(client.history))
        count = upstreams.count("anthropic")
        reply = await send_turn(gateway, client, "anthropic", stream=stream)
        assert upstreams.count("anthropic") == count + 2
        error_body = events(reply.body)[0]["message"] if stream else json.loads(reply.body)
        assert native_fields.items() <= error_body["usage"].items()
        assert error_body["usage"]["service_tier"] == "standard"
        assert error_body["id"].startswith("msg_upstream")
        history[1]["content"].pop(0)
        upstream_body = upstreams.last("anthropic").body
        assert upstream_body == {
            **client_body,
            "model": upstream_body["model"],
            "messages": history,
        }
        record = (await gateway.rows(2))[-1]
        assert [row["field"] for row in record.adaptations] == ["messages[1].content[0]"]


async def test_a_responses_request_without_refused_reasoning_still_passes_through(
    upstreams: Upstreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only the reasoning and the ids of items that require it are removed."""
    client = Responses()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "openai", stream=False)
        client.add_tool_results("sunny")
        monkeypatch.setattr(responses_rules, "STATE", "gBBBB-")
        _, client_body = client.request("openai", stream=False)
        history = json.loads(json.dumps(client.history))
        count = upstreams.count("openai")
        reply = await send_turn(gateway, client, "openai", stream=False)
        assert upstreams.count("openai") == count + 2
        assert reply.headers["x-dragoman-dropped"] == "input[1]"
        reasoning = history.pop(1)
        assert reasoning["type"] == "reasoning"
        del history[1]["id"]
        upstream_body = upstreams.last("openai").body
        assert upstream_body == {**client_body, "model": upstream_body["model"], "input": history}


async def test_a_gemini_request_without_refused_signatures_still_passes_through(
    upstreams: Upstreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = Gemini()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "gemini", stream=False)
        client.add_tool_results("sunny")
        made_anew = base64.b64encode(b"sig:new").decode()
        monkeypatch.setattr(gemini_rules, "signature", lambda text: made_anew)
        _, client_body = client.request("gemini", stream=False)
        history = json.loads(json.dumps(client.history))
        count = upstreams.count("gemini")
        reply = await send_turn(gateway, client, "gemini", stream=False)
        assert upstreams.count("gemini") == count + 2
        assert reply.headers["x-dragoman-dropped"] == "contents[1].parts[0].thoughtSignature"
        (call,) = history[1]["parts"]
        call["thoughtSignature"] = gemini_rules.SENTINEL
        assert upstreams.last("gemini").body == {**client_body, "contents": history}


async def test_signatures_are_restored_for_a_gemini_client_without_them(
    upstreams: Upstreams, tmp_path: Path
):
    client = Gemini()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "gemini", stream=False)
        for part in client.history[1]["parts"]:
            part.pop("thoughtSignature", None)
        client.add_tool_results("sunny")
        await send_turn(gateway, client, "gemini", stream=False)
        upstream_parts = upstreams.last("gemini").body["contents"][1]["parts"]
        assert [p.get("thoughtSignature") for p in upstream_parts] == [gemini_rules.SENTINEL]


async def test_a_placeholder_of_gemini_cli_is_no_lost_state(upstreams: Upstreams, tmp_path: Path):
    client = GeminiWithoutThoughts()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "deepseek", stream=False)
        [call] = client.history[1]["parts"][-1:]
        assert call["thoughtSignature"] == "skip_thought_signature_validator"
        client.add_tool_results("sunny")
        reply = await send_turn(gateway, client, "deepseek", stream=False)
        assert "thoughtSignature" not in reply.headers.get("x-dragoman-dropped", "")


async def test_a_repeated_refusal_is_returned_after_one_retry(
    upstreams: Upstreams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client = Messages()
    async with running_gateway(tmp_path, upstreams) as gateway:
        client.add_user_message(PROMPT)
        await send_turn(gateway, client, "openai", stream=False)
        client.add_tool_results("sunny")
        error_body = openai_rules.invalid_request("no", None, "invalid_encrypted_content")
        monkeypatch.setattr("tests.fakes.openai.responses_rules.refusal", lambda body: error_body)
        count = upstreams.count("openai")
        path, body = client.request("openai", stream=False)
        reply = await gateway.post(path, body, headers=client.headers)
        assert reply.status == 400
        assert upstreams.count("openai") == count + 2


STREAMED_REFUSAL = {
    "code": "invalid_encrypted_content",
    "message": "The encrypted content could not be verified.",
}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "sequence_number": 0, "param": None, **STREAMED_REFUSAL},
        {"type": "error", "error": {"type": "invalid_request_error", **STREAMED_REFUSAL}},
        {
            "type": "response.failed",
            "response": {"id": "resp_1", "status": "failed", "error": STREAMED_REFUSAL},
        },
    ],
    ids=["error", "nested error", "failed"],
)
async def test_a_refusal_in_a_stream_is_retried_without_state(
    tmp_path: Path, event: dict[str, Any]
):
    """https://github.com/Wei-Shaw/sub2api/issues/3138"""
    refused = b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())
    user, state = (
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "other"},
    )
    answer = {"id": "resp_2", "object": "response", "status": "completed", "output": []}
    answers = iter([sse(refused), httpx.Response(200, json={**answer, "usage": None})])
    target = provider("one", "openai_responses", preset="openai_responses")
    async with gateway(
        tmp_path, snapshot(route("r", target, model="gpt-5")), one=lambda _: next(answers)
    ) as live:
        body = {"model": "r", "stream": True, "store": False, "input": [user, state, user]}
        reply = await live.post("/v1/responses", body)
        upstream_bodies = [json.loads(request.content) for request in live.upstreams.requests]
    assert reply.status == 200, reply.body
    assert [b["input"] for b in upstream_bodies] == [[user, state, user], [user, user]]
    assert reply.headers["x-dragoman-dropped"] == "input[1]"


@pytest.mark.parametrize(
    ("text", "code", "about_state"),
    [
        ("The encrypted content could not be verified.", "invalid_encrypted_content", True),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", None, True),
        ("Function call `f` is missing a `thought_signature`.", None, True),
        ("Corrupted thought signature.", None, True),
        (
            "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
            None,
            True,
        ),
        ("max_tokens: too large", None, False),
        ("the signature of the request is wrong", None, False),
    ],
)
def test_a_refusal_about_state_is_recognized(text: str, code: str | None, about_state: bool):
    error = Error(kind="invalid_request", message=text, code=code)
    assert is_state_refusal(error) is about_state
    assert not is_state_refusal(msgspec.structs.replace(error, kind="overloaded"))


def test_hidden_reasoning_text_survives_a_state_token():
    state = msgspec.structs.replace(STATE, reasoning_text="hm")
    assert unwrap_signature(wrap_signature(state)) == state


# --- several models asked the same -------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True], ids=["in memory", "after a restart"])
async def test_models_with_equal_requests_get_their_own_state_back(
    upstreams: Upstreams, tmp_path: Path, restarted: bool
):
    """The conversations differ only in the model; a state of another model would be dropped."""
    rows = SharedStateStore()
    clients = {"anthropic": Chat(), "anthropic-4.5": Chat()}
    async with running_gateway(tmp_path, upstreams) as gateway:
        store = gateway.runtime.reasoning = ReasoningStore(find=rows.find, write=rows.rows.extend)
        for name, client in clients.items():
            client.add_user_message(PROMPT)
            await send_turn(gateway, client, name, stream=False)
        if restarted:
            await asyncio.to_thread(store.close)
            store = gateway.runtime.reasoning = ReasoningStore(find=rows.find)
        for name, client in clients.items():
            client.add_tool_results("sunny")
            await send_turn(gateway, client, name, stream=False)
            assert RETURNED[name](upstreams.last(name).body) == ["state"]
        await asyncio.to_thread(store.close)
