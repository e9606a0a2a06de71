"""Turns are rendered as messages in the order and shape that Anthropic requires."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Document,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Signature,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from tests.dialects.anthropic_messages.make import (
    PDF,
    PNG,
    USER,
    USER_TURN,
    assistant,
    client_request,
    losses_of,
    render,
    request_body,
    result,
    text,
    tool,
    tool_use_block,
    user,
)

OWN = {"provider": "acme", "model": "acme-1"}


def turns(*parts: tuple[str, tuple[Part, ...]]) -> tuple[Turn, ...]:
    """Return turns of these roles and parts, numbered by position."""
    return tuple(
        Turn(role=role, parts=content_parts, path=f"messages[{i}]")  # type: ignore[arg-type]
        for i, (role, content_parts) in enumerate(parts)
    )


def text_parts(*said_words: str) -> tuple[Text, ...]:
    """Return text parts."""
    return tuple(Text(text=word, path="t") for word in said_words)


def block_of(part: Part, **flags: Any) -> Any:
    """Return the rendered block of a part in a user turn."""
    rendered_request = render(client_request(turns=turns(("user", (part,)))), **flags)
    return rendered_request.body["messages"][0]["content"][0]


def test_neighbors_of_one_role_become_one_message():
    rendered_request = render(request_body(USER, user(text("a")), assistant(text("b")), USER))
    assert rendered_request.body["messages"] == [
        user(text("hi"), text("a")),
        assistant(text("b")),
        user(text("hi")),
    ]
    assert rendered_request.report == ()


def test_results_come_first_after_the_turn_with_their_calls():
    rendered_request = render(
        request_body(
            USER,
            assistant(tool_use_block("a"), tool_use_block("b")),
            user(text("by the way"), result("b"), result("a")),
            tools=[tool()],
        )
    )
    kinds = [block["type"] for block in rendered_request.body["messages"][2]["content"]]
    assert kinds == ["tool_result", "tool_result", "text"]


def test_a_call_without_a_result_gets_a_placeholder_result():
    rendered_request = render(request_body(USER, assistant(tool_use_block()), USER, tools=[tool()]))
    first = rendered_request.body["messages"][2]["content"][0]
    assert (first["tool_use_id"], first["is_error"]) == ("c1", True)
    assert losses_of(rendered_request) == [("messages[1].content[0]", "approximated")]


def test_a_leading_assistant_turn_gets_a_placeholder_before_it():
    rendered_request = render(request_body(assistant(text("hello")), USER))
    assert rendered_request.body["messages"][0] == user(text("(conversation start)"))
    assert losses_of(rendered_request) == [("messages[0]", "approximated")]


def test_instructions_alone_get_a_placeholder_user_turn():
    rendered_request = render(client_request(turns=(), instructions=text_parts("be brief")))
    assert rendered_request.body["messages"] == [user(text("(conversation start)"))]
    assert rendered_request.body["system"] == [text("be brief")]


def test_an_empty_text_next_to_a_call_is_no_loss():
    """Many clients send the text that came with the calls, which is often empty."""
    call = ToolCall(id="c1", name="f", arguments={})
    history = turns(
        ("user", text_parts("a")),
        ("assistant", (*text_parts(""), call)),
        ("user", (ToolResult(id="c1", parts=text_parts("b")),)),
    )
    rendered_request = render(client_request(turns=history, tools=(Tool(name="f"),)))
    assert [block["type"] for block in rendered_request.body["messages"][1]["content"]] == [
        "tool_use"
    ]
    assert not losses_of(rendered_request)


@pytest.mark.parametrize("empty", ["", " \n"], ids=["empty", "blank"])
def test_an_empty_text_is_omitted_and_reported(empty: str):
    rendered_request = render(request_body(user(text(empty), text("a"))))
    assert rendered_request.body["messages"] == [user(text("a"))]
    assert losses_of(rendered_request) == [("messages[0].content[0]", "dropped")]


def test_names_of_messages_are_reported():
    turn = Turn(role="user", parts=text_parts("a"), name="bob", path="messages[0]")
    assert losses_of(render(client_request(turns=(turn,)))) == [("messages[0].name", "dropped")]


def test_the_attribution_block_of_claude_code_is_omitted():
    billing = text("x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli;")
    rendered_request = render(request_body(USER, system=[billing, text("You are Claude Code.")]))
    assert rendered_request.body["system"] == [text("You are Claude Code.")]
    assert losses_of(rendered_request) == [("system[0]", "dropped")]


# --- system messages -------------------------------------------------------------------

LATE = {"role": "system", "content": "late"}


@pytest.mark.parametrize(
    "messages",
    [[USER, LATE], [USER, LATE, assistant(text("a")), USER], [USER, LATE, LATE]],
    ids=["last", "before the model", "two in a row"],
)
def test_a_system_message_stays_in_place_where_allowed(messages: list[dict[str, Any]]):
    rendered_request = render(request_body(*messages), mid_system=True)
    assert rendered_request.body["messages"][1]["role"] == "system"
    assert "system" not in rendered_request.body
    assert rendered_request.report == ()


@pytest.mark.parametrize(
    ("messages", "flags"),
    [
        ([USER, LATE], {"mid_system": False}),
        ([LATE, USER], {"mid_system": True}),
        ([USER, LATE, USER], {"mid_system": True}),
        ([USER, assistant(text("a")), LATE, USER], {"mid_system": True}),
    ],
    ids=["unknown to the model", "first", "between user turns", "after the model"],
)
def test_a_system_message_at_an_invalid_position_is_hoisted(
    messages: list[dict[str, Any]], flags: dict[str, bool]
):
    rendered_request = render(request_body(*messages, system="S"), **flags)
    assert rendered_request.body["system"] == [text("S"), text("late")]
    assert all(message["role"] != "system" for message in rendered_request.body["messages"])
    position = messages.index(LATE)  # before the conversation, it is not moved
    expected_losses = [(f"messages[{position}]", "approximated")] if position else []
    assert losses_of(rendered_request) == expected_losses


def test_a_system_message_may_follow_a_server_tools_result():
    results = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    rendered_request = render(request_body(USER, assistant(results), LATE), mid_system=True)
    assert rendered_request.body["messages"][2]["role"] == "system"


def test_a_final_system_message_after_an_assistant_turn_becomes_a_user_message():
    rendered_request = render(request_body(USER, assistant(text("a")), LATE), mid_system=True)
    assert rendered_request.body["messages"][2] == user(text("<system>\nlate\n</system>"))
    assert losses_of(rendered_request) == [("messages[2]", "approximated")]


def test_effort_of_a_system_message_is_kept_or_applied_to_the_request():
    system_message = {**LATE, "output_config": {"effort": "low"}}
    rendered_request = render(request_body(USER, system_message), mid_system=True)
    assert rendered_request.body["messages"][1]["output_config"] == {"effort": "low"}
    hoisted = render(request_body(USER, system_message), mid_system=False)
    assert hoisted.body["output_config"] == {"effort": "low"}
    assert ("messages[1].output_config.effort", "approximated") in losses_of(hoisted)


# --- the last turn ---------------------------------------------------------------------


def test_a_prefill_is_sent_without_trailing_white_space():
    rendered_request = render(request_body(USER, assistant(text("The answer is "))), prefill=True)
    assert rendered_request.body["messages"][-1] == assistant(text("The answer is"))
    assert losses_of(rendered_request) == [("messages[1]", "approximated")]


def test_an_unsupported_prefill_is_refused_with_the_model_name():
    with pytest.raises(GatewayError) as error:
        render(request_body(USER, assistant(text("The answer is"))), prefill=False)
    assert error.value.error.kind == "unsupported_param"
    assert error.value.error.param == "messages[1]"


def test_a_paused_turn_of_a_server_tool_may_be_the_last():
    paused = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    rendered_request = render(request_body(USER, assistant(paused)), prefill=False)
    assert rendered_request.body["messages"][-1] == assistant(paused)


# --- blocks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (Image(data=PNG), {"type": "base64", "media_type": "image/png", "data": PNG}),
        (
            Image(data=PNG, media_type="image/webp"),
            {"type": "base64", "media_type": "image/png", "data": PNG},
        ),
        (
            Image(data="AAAA", media_type="image/webp"),
            {"type": "base64", "media_type": "image/webp", "data": "AAAA"},
        ),
        (Image(url="https://x/y.png"), {"type": "url", "url": "https://x/y.png"}),
    ],
    ids=["sniffed", "contradicting", "declared", "url"],
)
def test_an_image_is_rendered(part: Image, source: dict[str, str]):
    assert block_of(part) == {"type": "image", "source": source}


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (Document(data=PDF), {"type": "base64", "media_type": "application/pdf", "data": PDF}),
        (
            Document(data=base64.b64encode(b"words").decode(), media_type="text/markdown"),
            {"type": "text", "media_type": "text/plain", "data": "words"},
        ),
        (Document(text="words"), {"type": "text", "media_type": "text/plain", "data": "words"}),
        (Document(url="https://x/y.pdf"), {"type": "url", "url": "https://x/y.pdf"}),
        (Document(parts=text_parts("a")), {"type": "content", "content": [text("a")]}),
    ],
    ids=["pdf", "text as base64", "text", "url", "parts"],
)
def test_a_document_is_sent(part: Document, source: dict[str, Any]):
    assert block_of(part) == {"type": "document", "source": source}


@pytest.mark.parametrize(
    "part",
    [
        Audio(data="AAAA", format="wav", path="p"),
        Image(data="AAAA", media_type="image/tiff", path="p"),
        Image(file_id="file-1", path="p"),
        Image(url="ftp://x", path="p"),
        Document(file_id="file-1", path="p"),
        Document(data="AAAA", media_type="application/msword", path="p"),
        Document(data="%%%", media_type="text/plain", path="p"),
    ],
    ids=["audio", "tiff", "image by id", "ftp", "document by id", "word", "no base64"],
)
def test_unsupported_content_is_refused_by_name(part: Part):
    with pytest.raises(GatewayError) as error:
        block_of(part)
    assert error.value.error.param == "p"
    assert error.value.error.message.startswith("p: ")


@pytest.mark.parametrize(
    ("part", "flags"),
    [
        (Image(data=PNG, path="p"), {"images": False}),
        (Image(url="https://x", path="p"), {"image_urls": False}),
        (Document(data=PDF, path="p"), {"pdf": False}),
    ],
    ids=["no images", "no URLs", "no documents"],
)
def test_unsupported_media_are_replaced_by_a_note(part: Part, flags: dict[str, bool]):
    rendered_request = render(client_request(turns=turns(("user", (part,)))), **flags)
    assert rendered_request.body["messages"][0]["content"][0]["type"] == "text"
    assert losses_of(rendered_request) == [("p", "dropped")]


@pytest.mark.parametrize(("detail", "reported"), [("high", True), ("auto", False), (None, False)])
def test_the_detail_of_an_image_is_reported_unless_it_is_the_default(
    detail: str | None, *, reported: bool
):
    image = Image(data=PNG, detail=detail, path="p")
    rendered_request = render(client_request(turns=turns(("user", (image,)))))
    assert bool(losses_of(rendered_request)) is reported


def test_a_clients_own_file_ids_are_sent_with_their_beta():
    block = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
    rendered_request = render(request_body(user(block)))
    assert rendered_request.body["messages"][0]["content"] == [block]
    assert rendered_request.headers["anthropic-beta"] == "files-api-2025-04-14"


def test_arguments_that_are_no_object_are_sent_raw():
    call = ToolCall(id="c", name="f", raw_arguments='{"half":', path="p")
    history = turns(
        ("user", text_parts("a")), ("assistant", (call,)), ("user", (ToolResult(id="c"),))
    )
    rendered_request = render(client_request(turns=history))
    assert rendered_request.body["messages"][1]["content"][0]["input"] == {"_raw": '{"half":'}
    assert ("p", "approximated") in losses_of(rendered_request)


def test_a_free_text_call_becomes_one_string():
    call = ToolCall(id="c", name="f", raw_arguments="*** Begin", custom=True)
    history = turns(
        ("user", text_parts("a")), ("assistant", (call,)), ("user", (ToolResult(id="c"),))
    )
    rendered_request = render(client_request(turns=history))
    assert rendered_request.body["messages"][1]["content"][0]["input"] == {"input": "*** Begin"}


def test_ids_and_names_are_made_legal_alike_on_call_and_result():
    call = ToolCall(id="call:1.x", name="a.b", arguments={}, path="p")
    back = ToolResult(id="call:1.x")
    history = turns(("user", text_parts("a")), ("assistant", (call,)), ("user", (back,)))
    rendered_request = render(client_request(turns=history))
    assert rendered_request.body["messages"][1]["content"][0]["id"] == "call_1_x"
    assert rendered_request.body["messages"][2]["content"][0]["tool_use_id"] == "call_1_x"
    assert rendered_request.client_names == {"a_b": "a.b"}
    assert ("p.id", "approximated") in losses_of(rendered_request)


def test_ids_that_become_equal_are_made_distinct():
    calls = tuple(ToolCall(id=i, name="f", arguments={}) for i in ("a.", "a:", "a_"))
    history = turns(
        ("user", text_parts("a")),
        ("assistant", calls),
        ("user", tuple(ToolResult(id=call.id) for call in calls)),
    )
    call_message, back = render(client_request(turns=history)).body["messages"][1:]
    rendered_ids = [block["id"] for block in call_message["content"]]
    assert len(set(rendered_ids)) == 3
    assert [block["tool_use_id"] for block in back["content"]] == rendered_ids


def test_a_result_may_contain_images_and_an_empty_one_has_no_content():
    call, other = (ToolCall(id=i, name="f", arguments={}) for i in "ab")
    results = (ToolResult(id="a", parts=(Image(data=PNG),), is_error=True), ToolResult(id="b"))
    history = turns(("user", text_parts("a")), ("assistant", (call, other)), ("user", results))
    content = render(client_request(turns=history)).body["messages"][2]["content"]
    assert content[0]["content"][0]["type"] == "image"
    assert content[0]["is_error"] is True
    assert content[1] == {"type": "tool_result", "tool_use_id": "b"}


def test_a_refusal_in_the_history_is_text():
    history = turns(
        ("user", text_parts("a")),
        ("assistant", (Refusal(text="no", path="p"),)),
        ("user", text_parts("b")),
    )
    rendered_request = render(client_request(turns=history))
    assert rendered_request.body["messages"][1] == assistant(text("no"))
    assert losses_of(rendered_request) == [("p", "approximated")]


def test_parts_of_other_dialects_are_reported():
    part = Native(dialect="gemini", data={"type": "video"}, path="p")
    rendered_request = render(client_request(turns=turns(("user", (*text_parts("a"), part)))))
    assert losses_of(rendered_request) == [("p", "dropped")]


def test_media_of_an_assistant_are_reported():
    history = turns(
        ("user", text_parts("a")),
        ("assistant", (*text_parts("b"), Image(data=PNG))),
        ("user", text_parts("c")),
    )
    rendered_request = render(client_request(turns=history))
    assert rendered_request.body["messages"][1] == assistant(text("b"))
    assert losses_of(rendered_request) == [("messages[1]", "dropped")]


# --- thoughts --------------------------------------------------------------------------


def turns_with_reasoning(signature: Signature | None, **fields: Any) -> tuple[Turn, ...]:
    """Return a history with assistant reasoning."""
    part = Reasoning(text="t", signature=signature, path="p", **fields)
    return turns(
        ("user", text_parts("a")),
        ("assistant", (part, *text_parts("b"))),
        ("user", text_parts("c")),
    )


def test_reasoning_is_sent_back_to_its_model():
    rendered_request = render(
        client_request(turns=turns_with_reasoning(Signature(**OWN, value="S")))
    )
    assert rendered_request.body["messages"][1]["content"][0] == {
        "type": "thinking",
        "thinking": "t",
        "signature": "S",
    }


def test_redacted_thinking_is_sent_back_redacted():
    state = Signature(**OWN, kind="redacted", value="D")
    rendered_request = render(client_request(turns=turns_with_reasoning(state, redacted=True)))
    expected = {"type": "redacted_thinking", "data": "D"}
    assert rendered_request.body["messages"][1]["content"][0] == expected


@pytest.mark.parametrize(
    "signature",
    [None, Signature(provider="deepseek", model="d", value="S"), Signature(value="S")],
    ids=["unsigned", "another's", "unwrapped"],
)
def test_other_reasoning_is_dropped_and_reported(signature: Signature | None):
    rendered_request = render(client_request(turns=turns_with_reasoning(signature)))
    assert rendered_request.body["messages"][1] == assistant(text("b"))
    assert losses_of(rendered_request) == [("p", "dropped")]


def test_a_provider_that_requires_reasoning_gets_another_models():
    state = Signature(provider="else", model="m", value="S")
    rendered_request = render(
        client_request(turns=turns_with_reasoning(state)), replay_reasoning="required_on_tools"
    )
    assert rendered_request.body["messages"][1]["content"][0]["thinking"] == "t"
    assert losses_of(rendered_request) == [("p", "approximated")]


# --- cache marks -----------------------------------------------------------------------


def turns_with_cache_breakpoints(count: int) -> tuple[Turn, ...]:
    """Return a user turn of texts that each have a cache breakpoint."""
    parts = tuple(Text(text=str(i), cache=CacheBreakpoint("1h"), path="t") for i in range(count))
    return turns(("user", parts))


def test_cache_breakpoints_are_sent_if_the_target_supports_them():
    (block,) = render(client_request(turns=turns_with_cache_breakpoints(1))).body["messages"][0][
        "content"
    ]
    assert block["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_only_the_last_four_marks_are_sent():
    rendered_request = render(client_request(turns=turns_with_cache_breakpoints(6)))
    have = ["cache_control" in block for block in rendered_request.body["messages"][0]["content"]]
    assert have == [False, False, True, True, True, True]
    assert losses_of(rendered_request) == [("cache_control", "approximated")]


def test_a_request_level_cache_breakpoint_uses_one_of_four():
    rendered_request = render(
        client_request(turns=turns_with_cache_breakpoints(4), cache=CacheBreakpoint())
    )
    have = ["cache_control" in block for block in rendered_request.body["messages"][0]["content"]]
    assert (have.count(True), rendered_request.body["cache_control"]) == (3, {"type": "ephemeral"})


def test_unsupported_cache_breakpoints_are_reported_once():
    rendered_request = render(
        client_request(turns=turns_with_cache_breakpoints(2), cache=CacheBreakpoint()),
        cache="implicit",
    )
    assert all(
        "cache_control" not in block for block in rendered_request.body["messages"][0]["content"]
    )
    assert losses_of(rendered_request) == [("cache_control", "dropped")]


def test_a_single_user_turn_is_rendered_as_text():
    assert render(client_request(turns=(USER_TURN,))).body["messages"] == [user(text("hi"))]


def test_the_upstreams_name_of_the_model_is_sent():
    assert render(client_request()).body["model"] == "acme-1"
    assert render(client_request(), model="").body["model"] == "gw"
