"""Parsing of a Chat client's messages into instructions and turns."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canon.errors import GatewayError
from gateway.canon.request import (
    Audio,
    CacheBreakpoint,
    Document,
    Image,
    Native,
    Reasoning,
    Refusal,
    Signature,
    Text,
    ToolCall,
    ToolResult,
    without_paths,
)
from gateway.canon.signature import wrap_signature
from tests.dialects.openai_chat.make import (
    PDF,
    PNG,
    USER,
    assistant_calls,
    call,
    parse,
    request_body,
    result,
)


def part_of(part: dict[str, Any]) -> Any:
    """Return the canonical part of a user message with this content part."""
    return parse(request_body({"role": "user", "content": [part]})).turns[0].parts[0]


def test_leading_system_and_developer_messages_are_instructions():
    request = parse(
        request_body(
            {"role": "system", "content": "a"},
            {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            USER,
        )
    )
    assert [(text.text, text.path) for text in request.instructions] == [
        ("a", "messages[0]"),
        ("b", "messages[1].content[0]"),
    ]
    assert [turn.role for turn in request.turns] == ["user"]


def test_a_later_system_message_is_a_turn():
    turn = parse(request_body(USER, {"role": "system", "content": "late"})).turns[1]
    assert (turn.role, turn.path) == ("system", "messages[1]")
    assert turn.parts == (Text(text="late", path="messages[1]"),)


def test_a_named_system_message_stays_a_turn():
    request = parse(request_body({"role": "system", "name": "example_user", "content": "q"}, USER))
    assert request.instructions == ()
    assert request.turns[0].name == "example_user"


def test_the_path_of_a_part_is_the_clients():
    turn = parse(
        request_body(USER, {"role": "user", "content": [{"type": "text", "text": "x"}]})
    ).turns[1]
    assert turn.parts == (Text(text="x", path="messages[1].content[0]"),)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": ""}, Text(text="")),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            Image(data=PNG, media_type="image/png"),
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}"}},
            Image(data=PNG, media_type="image/png"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            Image(url="https://x/y.png", detail="low"),
        ),
        ({"type": "image_url", "image_url": "https://x/y"}, Image(url="https://x/y")),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            Audio(data="QQ==", format="wav"),
        ),
        (
            {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
            Document(file_id="file-1", title="a.pdf"),
        ),
        (
            {
                "type": "file",
                "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
            },
            Document(data=PDF, media_type="application/pdf", title="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": PDF}},
            Document(data=PDF, media_type="application/pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "https://x/a.pdf"}},
            Document(url="https://x/a.pdf"),
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://x/v"}},
            Native(
                dialect="openai_chat",
                data={"type": "video_url", "video_url": {"url": "https://x/v"}},
            ),
        ),
        (
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            Text(text="x", cache=CacheBreakpoint(ttl="1h")),
        ),
        (
            {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text(text="x", cache=CacheBreakpoint()),
        ),
        (
            {
                "type": "text",
                "text": "x",
                "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"},
            },
            Text(text="x", cache=CacheBreakpoint(ttl="1h")),
        ),
    ],
    ids=[
        "empty text",
        "image data",
        "image with the wrong label",
        "image url",
        "image url as a string",
        "audio",
        "file id",
        "file data url",
        "bare file data",
        "file url",
        "a part nobody knows",
        "cache_control",
        "breakpoint",
        "long breakpoint",
    ],
)
def test_a_content_part_is_parsed(part: dict[str, Any], expected: Any):
    parsed_part = part_of(part)
    assert parsed_part == type(expected)(
        **{n: getattr(expected, n) for n in expected.__struct_fields__ if n != "path"},
        path="messages[0].content[0]",
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"content": "x"}, "messages[1].role"),
        ({"role": "robot", "content": "x"}, "messages[1].role"),
        ({"role": ["user"], "content": "x"}, "messages[1].role"),
        ({"role": "user", "content": 5}, "messages[1].content"),
        ({"role": "user", "content": ["x"]}, "messages[1].content[0]"),
        ({"role": "user", "content": [{"text": "x"}]}, "messages[1].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0].text"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": 1}}]},
            "messages[1].content[0].image_url.url",
        ),
        (
            {"role": "user", "content": [{"type": "image_url"}]},
            "messages[1].content[0].image_url",
        ),
        (
            {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]},
            "messages[1].content[0].input_audio.format",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {}}]},
            "messages[1].content[0].file",
        ),
        (
            {"role": "system", "content": [{"type": "image_url", "image_url": "x"}]},
            "messages[1].content[0]",
        ),
        ({"role": "assistant", "tool_calls": {}}, "messages[1].tool_calls"),
        ({"role": "assistant", "tool_calls": [1]}, "messages[1].tool_calls[0]"),
        (
            {"role": "assistant", "tool_calls": [{"id": "c"}]},
            "messages[1].tool_calls[0].function",
        ),
        (
            {"role": "assistant", "tool_calls": [call(arguments=5)]},  # type: ignore[arg-type]
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {"role": "assistant", "tool_calls": [call(call_id=5)]},  # type: ignore[arg-type]
            "messages[1].tool_calls[0].id",
        ),
        ({"role": "assistant", "reasoning_content": []}, "messages[1].reasoning_content"),
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
        ({"role": "function", "content": "x"}, "messages[1].name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_invalid_message_is_named(message: dict[str, Any], param: str):
    with pytest.raises(GatewayError) as error:
        parse(request_body(USER, message))
    assert error.value.error.param == param
    assert param in error.value.error.message


def test_calls_without_content_are_read():
    turn = parse(
        request_body(USER, assistant_calls(call("c1", "f", '{"a": 1}'), call("c2", "g", "")))
    ).turns[1]
    assert turn.parts == (
        ToolCall(id="c1", name="f", arguments={"a": 1}, path="messages[1].tool_calls[0]"),
        ToolCall(id="c2", name="g", arguments={}, path="messages[1].tool_calls[1]"),
    )


def test_arguments_that_do_not_parse_are_stored_raw():
    turn = parse(request_body(USER, assistant_calls(call(arguments='{"a":')))).turns[1]
    assert (turn.parts[0].arguments, turn.parts[0].raw_arguments) == (None, '{"a":')  # type: ignore[union-attr]


def test_arguments_may_be_an_object():
    item = {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    turn = parse(request_body(USER, assistant_calls(item))).turns[1]
    assert turn.parts[0].arguments == {"a": 1}  # type: ignore[union-attr]


def test_a_call_without_an_id_gets_the_same_one_every_time():
    item = {"function": {"name": "f", "arguments": "{}"}}
    ids = {parse(request_body(USER, assistant_calls(item))).turns[1].parts[0].id for _ in range(2)}  # type: ignore[union-attr]
    assert ids == {"call_messages_1__tool_calls_0"}


@pytest.mark.parametrize("missing", ["", None])
def test_results_without_ids_belong_to_the_calls_without_ids_in_order(missing: str | None):
    calls = [
        {"id": missing, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in "fg"
    ]
    results = [{"role": "tool", "tool_call_id": missing, "content": text} for text in "12"]
    _, assistant, answers = parse(request_body(USER, assistant_calls(*calls), *results)).turns
    call_ids = [part.id for part in assistant.parts]  # type: ignore[union-attr]
    assert [part.id for part in answers.parts] == call_ids  # type: ignore[union-attr]


def test_a_custom_call_keeps_its_text():
    item = {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}}
    request = parse(request_body(USER, assistant_calls(item), result("c")))
    assert request.turns[1].parts == (
        ToolCall(
            id="c", name="sh", raw_arguments="ls -l", custom=True, path="messages[1].tool_calls[0]"
        ),
    )
    assert request.turns[2].parts[0].custom is True  # type: ignore[union-attr]


def test_tool_messages_in_a_row_are_one_turn():
    request = parse(
        request_body(
            USER, assistant_calls(call("a"), call("b")), result("a"), result("b", ""), USER
        )
    )
    assert [turn.role for turn in request.turns] == ["user", "assistant", "user", "user"]
    assert request.turns[2].parts == (
        ToolResult(id="a", parts=(Text(text="ok", path="messages[2]"),), path="messages[2]"),
        ToolResult(id="b", path="messages[3]"),
    )


def test_an_image_in_a_tool_message_has_its_own_path():
    content = [{"type": "image_url", "image_url": {"url": "https://x/y"}}]
    request = parse(request_body(USER, assistant_calls(call("a")), result("a", content)))
    assert request.turns[2].parts[0].parts[0].path == "messages[2].content[0]"  # type: ignore[union-attr]


def test_the_older_function_messages_are_paired():
    request = parse(
        request_body(
            USER,
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{}"},
            },
            {"role": "function", "name": "f", "content": "r"},
        )
    )
    part = request.turns[1].parts[0]
    response = request.turns[2].parts[0]
    assert part.id == response.id  # type: ignore[union-attr]
    assert (response.name, response.path) == ("f", "messages[2]")  # type: ignore[union-attr]


def test_refusals_are_read_from_both_fields():
    first = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}
    second = {"role": "assistant", "content": None, "refusal": "never"}
    turns = parse(request_body(USER, first, second)).turns
    assert turns[1].parts == (Refusal(text="no", path="messages[1].content[0]"),)
    assert turns[2].parts == (Refusal(text="never", path="messages[2].refusal"),)


@pytest.mark.parametrize(
    ("chunk", "part"),
    [
        (
            {"type": "document_url", "document_url": "https://x/a.pdf", "document_name": "T"},
            Document(url="https://x/a.pdf", title="T"),
        ),
        (
            {"type": "document_url", "document_url": f"data:application/pdf;base64,{PDF}"},
            Document(data=PDF, media_type="application/pdf"),
        ),
        ({"type": "input_audio", "input_audio": "SUQzBA=="}, Audio(data="SUQzBA==", format="mp3")),
        ({"type": "file", "file_id": "F"}, Document(file_id="F")),
    ],
    ids=["address", "bytes", "sound", "id"],
)
def test_chunks_of_one_string_are_read(chunk: dict[str, Any], part: Any):
    assert without_paths(part_of(chunk)) == part


def test_earlier_audio_is_preserved_for_the_same_dialect():
    turn = parse(request_body(USER, {"role": "assistant", "audio": {"id": "a1"}})).turns[1]
    assert turn.parts == (
        Native(
            dialect="openai_chat",
            data={"type": "audio", "audio": {"id": "a1"}},
            path="messages[1].audio",
        ),
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_returned_reasoning_is_the_first_part(field: str):
    turn = parse(request_body(USER, {"role": "assistant", "content": "a", field: "hm"})).turns[1]
    assert turn.parts[0] == Reasoning(text="hm", path=f"messages[1].{field}")


def test_reasoning_details_keep_what_the_provider_wrote():
    details = [{"type": "reasoning.text", "text": "hm", "signature": "S"}]
    turn = parse(request_body(USER, {"role": "assistant", "reasoning_details": details})).turns[1]
    thought = turn.parts[0]
    assert thought.text == "hm"  # type: ignore[union-attr]
    assert thought.signature.kind == "reasoning_details"  # type: ignore[union-attr]
    assert thought.signature.provider == ""  # type: ignore[union-attr]


def test_reasoning_state_tokens_are_decoded_in_every_field():
    state = Signature(provider="gemini", model="g", kind="thought_signature", value="S")
    slot = {"extra_content": {"google": {"thought_signature": wrap_signature(state)}}}
    turn = parse(request_body(USER, assistant_calls({**call(), **slot}))).turns[1]
    assert turn.parts[0].signature == state  # type: ignore[union-attr]


def test_a_message_returned_unchanged_by_an_sdk_is_accepted():
    message = {
        "role": "assistant",
        "content": "a",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    request = parse(request_body(USER, message))
    assert request.turns[1].parts == (Text(text="a", path="messages[1]"),)
    assert request.extra == {}


def test_empty_tool_calls_equal_absent_ones():
    turn = parse(request_body(USER, {"role": "assistant", "content": "a", "tool_calls": []})).turns[
        1
    ]
    assert len(turn.parts) == 1


def test_a_cache_breakpoint_of_a_message_applies_to_its_last_part():
    message = {"role": "user", "content": "x", "cache_control": {"type": "ephemeral"}}
    assert parse(request_body(message)).turns[0].parts[0].cache == CacheBreakpoint()  # type: ignore[union-attr]


def test_a_cache_breakpoint_of_a_tool_message_applies_to_its_result():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {
        "role": "tool",
        "tool_call_id": "c",
        "content": "1",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    turns = parse(request_body(USER, {"role": "assistant", "tool_calls": [call]}, message)).turns
    assert turns[-1].parts[0].cache == CacheBreakpoint(ttl="1h")  # type: ignore[union-attr]
