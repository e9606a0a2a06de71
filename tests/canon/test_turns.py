"""Tool calls and results are paired before rendering."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.canon.request import Request, Text, ToolCall, ToolResult, Turn
from gateway.canon.turns import NO_RESULT, merge_turns, pair_tool_results


def turn(*parts: object, role: str = "user", path: str = "") -> Turn:
    return Turn(role=role, parts=tuple(parts), path=path)  # type: ignore[arg-type]


def assistant_calls(*ids: str, path: str = "m[1]") -> Turn:
    calls = (
        ToolCall(id=i, name="f", arguments={}, path=f"{path}.calls[{n}]") for n, i in enumerate(ids)
    )
    return turn(*calls, role="assistant", path=path)


def result(call_id: str, text: str = "ok", path: str = "") -> ToolResult:
    return ToolResult(id=call_id, parts=(Text(text=text),), path=path or f"result {call_id}")


def text_part(text: str) -> Text:
    return Text(text=text)


def pair_turns(*turns: Turn) -> tuple[tuple[Turn, ...], list[tuple[str, str]]]:
    request, report = pair_tool_results(Request(model="m", turns=turns))
    return request.turns, [(item.path, item.action) for item in report]


def results(turn: Turn) -> list[str]:
    return [part.id for part in turn.parts if isinstance(part, ToolResult)]


def test_a_conversation_without_tools_is_unchanged():
    request = Request(model="m", turns=(turn(text_part("a")), turn(text_part("b"))))
    assert pair_tool_results(request) == (request, [])
    assert pair_tool_results(request)[0] is request


def test_paired_calls_and_results_are_unchanged():
    turns, report = pair_turns(
        assistant_calls("a", "b"), turn(result("a"), result("b"), text_part("go on"))
    )
    assert report == []
    assert results(turns[1]) == ["a", "b"]
    assert turns[1].parts[-1] == text_part("go on")


def test_a_result_gets_the_name_of_its_call():
    turns, _ = pair_turns(assistant_calls("a"), turn(result("a")))
    assert turns[1].parts[0].name == "f"


def test_a_result_with_another_name_gets_the_name_of_its_call():
    turns, report = pair_turns(assistant_calls("a"), turn(replace(result("a"), name="tool")))
    assert turns[1].parts[0].name == "f"
    assert report == []


def test_a_missing_result_is_inserted_and_reported_at_the_call():
    turns, report = pair_turns(assistant_calls("a", "b"), turn(result("a"), text_part("go on")))
    assert results(turns[1]) == ["a", "b"]
    inserted = turns[1].parts[1]
    assert inserted.parts == (Text(text=NO_RESULT),)
    assert inserted.is_error is True
    assert report == [("m[1].calls[1]", "approximated")]


def test_calls_at_the_very_end_get_a_turn_of_results():
    turns, report = pair_turns(turn(text_part("q")), assistant_calls("a"))
    assert [turn.role for turn in turns] == ["user", "assistant", "user"]
    assert results(turns[2]) == ["a"]
    assert len(report) == 1


def test_a_result_without_a_call_is_dropped_and_reported():
    turns, report = pair_turns(
        turn(text_part("q")),
        turn(result("x", path="m[1]")),
        assistant_calls("a"),
        turn(result("a")),
    )
    assert [results(turn) for turn in turns] == [[], [], ["a"]]
    assert report == [("m[1]", "dropped")]


def test_a_second_result_for_one_call_is_dropped():
    turns, report = pair_turns(assistant_calls("a"), turn(result("a", "1"), result("a", "2")))
    assert turns[1].parts[0].parts[0].text == "1"
    assert len(turns[1].parts) == 1
    assert report == [("result a", "dropped")]


def test_the_reason_for_a_dropped_result_is_true():
    turns = (
        assistant_calls("a"),
        turn(result("a", "first"), result("a", "second")),
        turn(text_part("t"), role="assistant"),
        turn(result("a", "third"), result("b", "unknown")),
    )
    _, report = pair_tool_results(Request(model="m", turns=turns))
    assert [item.reason for item in report] == [
        "its tool call already has a result",
        "its tool call already has a result",
        "no tool call before it has the id 'b'",
    ]


def test_a_result_after_a_later_call_moves_to_its_own_call():
    """Responses clients run tools at the same time and send each result when it arrives."""
    turns, report = pair_turns(
        assistant_calls("a", "b"),
        turn(result("a")),
        assistant_calls("c"),
        turn(result("b", "late"), result("c")),
    )
    assert [results(turn) for turn in turns] == [[], ["a", "b"], [], ["c"]]
    assert turns[1].parts[1].parts == (Text(text="late"),)
    assert report == [("result b", "approximated")]


def test_a_result_after_further_messages_moves_to_its_call():
    turns, report = pair_turns(
        assistant_calls("a"),
        turn(text_part("are you there?")),
        turn(text_part("yes"), role="assistant"),
        turn(result("a"), text_part("go on")),
    )
    assert [results(turn) for turn in turns] == [[], ["a"], [], []]
    assert turns[1].parts[1:] == (text_part("are you there?"),)
    assert turns[3].parts == (text_part("go on"),)
    assert report == [("result a", "approximated")]


def test_a_late_result_goes_to_the_call_that_lacks_one():
    """The same id was used twice, and only the first call has a result so far."""
    turns, _ = pair_turns(
        assistant_calls("a"),
        turn(result("a", "1")),
        assistant_calls("a", path="m[3]"),
        turn(text_part("wait")),
        turn(text_part("ok"), role="assistant"),
        turn(result("a", "2")),
    )
    assert [part.parts[0].text for t in turns for part in t.parts if type(part) is ToolResult] == [
        "1",
        "2",
    ]
    assert NO_RESULT not in str(turns)


def test_a_result_after_other_text_moves_to_the_start():
    turns, report = pair_turns(assistant_calls("a"), turn(text_part("first"), result("a")))
    assert isinstance(turns[1].parts[0], ToolResult)
    assert report == [("result a", "approximated")]


def test_a_result_behind_a_system_turn_moves_before_it():
    turns, _ = pair_turns(
        assistant_calls("a"), turn(text_part("rule"), role="system"), turn(result("a"))
    )
    assert [turn.role for turn in turns] == ["assistant", "user", "system"]
    assert results(turns[1]) == ["a"]


def test_results_spread_over_turns_are_gathered_in_the_first():
    turns, report = pair_turns(
        assistant_calls("a", "b"), turn(result("a")), turn(result("b")), turn(text_part("x"))
    )
    assert [results(turn) for turn in turns] == [[], ["a", "b"], []]
    assert report == []


def test_assistant_turns_in_a_row_are_joined_where_results_must_follow():
    turns, report = pair_turns(
        assistant_calls("a"), assistant_calls("b"), turn(result("a"), result("b"))
    )
    assert [turn.role for turn in turns] == ["assistant", "user"]
    assert results(turns[1]) == ["a", "b"]
    assert report == []


def test_assistant_turns_without_calls_stay_apart():
    turns, _ = pair_turns(
        turn(text_part("1"), role="assistant"), assistant_calls("a"), turn(result("a"))
    )
    assert [turn.role for turn in turns] == ["assistant", "assistant", "user"]


def test_an_id_used_twice_gets_a_suffix_on_call_and_result():
    turns, report = pair_turns(
        assistant_calls("a"),
        turn(result("a")),
        assistant_calls("a", path="m[3]"),
        turn(result("a")),
    )
    assert turns[2].parts[0].id == "a_2"
    assert results(turns[3]) == ["a_2"]
    assert report == [("m[3].calls[0].id", "approximated")]


def test_a_suffixed_id_never_collides_with_an_existing_id():
    turns, _ = pair_turns(
        assistant_calls("a", "a_2"),
        turn(result("a"), result("a_2")),
        assistant_calls("a"),
        turn(result("a")),
    )
    assert turns[2].parts[0].id == "a_3"
    assert results(turns[3]) == ["a_3"]


def test_two_calls_with_one_id_get_distinct_ids_in_order():
    turns, _ = pair_turns(assistant_calls("a", "a"), turn(result("a", "1"), result("a", "2")))
    assert [part.id for part in turns[0].parts] == ["a", "a_2"]
    assert [(part.id, part.parts[0].text) for part in turns[1].parts] == [("a", "1"), ("a_2", "2")]


def test_repairing_tool_calls_and_results_is_idempotent():
    first, _ = pair_turns(
        assistant_calls("a", "b"),
        turn(text_part("x"), result("b")),
        assistant_calls("a"),
        turn(text_part("y")),
    )
    second, report = pair_turns(*first)
    assert second == first
    assert report == []


def test_neighbors_of_one_role_are_joined_with_the_path_of_the_first():
    joined = merge_turns(
        [
            turn(text_part("1"), path="m[0]"),
            turn(text_part("2"), path="m[1]"),
            assistant_calls("a"),
        ]
    )
    assert [turn.role for turn in joined] == ["user", "assistant"]
    assert joined[0].parts == (text_part("1"), text_part("2"))
    assert joined[0].path == "m[0]"
