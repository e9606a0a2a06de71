"""Validation of structured output during and after the stream, and of expected tool calls."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from console.playground import verdicts
from console.playground.partial_json import InvalidJson, parse_partial
from console.playground.plan import ExpectedCall, Tool
from console.playground.results import ReceivedToolCall
from console.playground.schemas import first_violation, schema_error

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2},
        "born": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
    },
    "required": ["name", "born"],
    "additionalProperties": False,
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool(name="get_weather", schema=CITY)


def call(name: str = "get_weather", **arguments: Any) -> ReceivedToolCall:
    return ReceivedToolCall(id=f"call_{name}", name=name, arguments=json.dumps(arguments))


# --- a text that is still being written -------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "still_open"),
    [
        ('{"a": [1, {"b": "tw', {"a": [1, {"b": "tw"}]}, {(), ("a",), ("a", 1), ("a", 1, "b")}),
        ('{"a": 1, "b"', {"a": 1}, {()}),
        ('{"a": 1, ', {"a": 1}, {()}),
        ('{"a": ', {"a": None}, {(), ("a",)}),
        ("[1, 2", [1, 2], {(), (1,)}),
        ("[tr", [True], {(), (0,)}),
        ('"caf\\u00', "caf", {()}),
        ('"a\\', "a", {()}),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}, set()),
        ("-", 0, {()}),
    ],
)
def test_a_partial_value_lists_its_incomplete_paths(text: str, value: Any, still_open: set) -> None:
    partial = parse_partial(text)
    assert partial.value == value
    assert partial.incomplete_paths == still_open


def test_every_prefix_of_a_json_text_can_be_parsed() -> None:
    value = {"a": [1.5, -2e3, True, None, 'x"\\\n\u20ac😀'], "b": {"c": {}, "d": []}, "": ""}
    text = json.dumps(value)
    for end in range(1, len(text)):
        parse_partial(text[:end])
    assert parse_partial(text).value == value
    assert not parse_partial(text).incomplete_paths


@pytest.mark.parametrize("text", ["Sure! Here", "```json\n{", '{"a" 1', "[1 2", "{a: 1}", "{} {}"])
def test_text_that_cannot_become_json_is_detected_early(text: str) -> None:
    with pytest.raises(InvalidJson):
        parse_partial(text)


def test_a_deeply_nested_response_does_not_exhaust_the_parser() -> None:
    with pytest.raises(InvalidJson):
        parse_partial("[" * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"name": "A',
        '{"name": "Ada", "bo',
        '{"name": "Ada", "born": 18',
        '{"name": "Ada", "born": 1815, "tags": ["x"',
    ],
)
def test_partial_output_is_not_marked_wrong_prematurely(text: str) -> None:
    verdict = verdicts.check_partial_text(text, PERSON)
    assert (verdict["ok"], verdict["final"]) == (True, False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"name": 7,', "/name"),
        ('{"name": "A", ', "/name"),
        ('{"wrong": ', ""),
        ('{"name": "Ada", "born": "18', "/born"),
        ('{"tags": ["a", "b", "c", "d"', "/tags"),
        ('{"tags": ["a"], ', "/tags"),
    ],
)
def test_partial_text_that_cannot_become_valid_is_reported(text: str, path: str) -> None:
    verdict = verdicts.check_partial_text(text, PERSON)
    assert verdict["ok"] is False
    assert verdict["path"] == path
    assert verdict["message"]


# --- the end ------------------------------------------------------------------------------------


def test_a_valid_response_is_valid() -> None:
    verdict = verdicts.check_complete_text('{"name": "Ada", "born": 1815}', PERSON)
    assert (verdict["ok"], verdict["final"]) == (True, True)
    assert (verdict["fields"], verdict["total"]) == (2, 3)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ('{"name": "Ada"}', "", "born"),
        ('{"name": "Ada", "born": 1815.5}', "/born", "integer"),
        ('{"name": "Ada", "born": 1815', "", "complete"),
        ("", "", "empty"),
        ("I can not.", "", "not JSON"),
    ],
)
def test_the_first_error_has_its_path(text: str, path: str, message: str) -> None:
    verdict = verdicts.check_complete_text(text, PERSON)
    assert (verdict["ok"], verdict["path"]) == (False, path)
    assert message in verdict["message"]


def test_no_reference_of_a_schema_is_fetched() -> None:
    """A `$ref` to a URL would let the author of a schema make the server call it."""
    schema = {"$ref": "http://127.0.0.1:9/secret.json"}
    assert schema_error(schema) is None
    violation = first_violation({}, schema, frozenset())
    assert violation is not None
    assert "reference" in violation.message


def test_a_schema_that_refers_to_itself_without_end_is_a_fault_and_no_crash() -> None:
    violation = first_violation({}, {"$ref": "#"}, frozenset())
    assert violation is not None
    assert "itself" in violation.message


def doubling_schema(depth: int) -> dict[str, Any]:
    """Return a small schema whose validation time doubles with each level."""
    twice = {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(depth)}
    return {"$defs": {**twice, str(depth): {"type": "object"}}, "$ref": "#/$defs/0"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling_schema(40), {}),
        ({"pattern": "^(a+)+$"}, "a" * 5_000 + "b"),
        ({"patternProperties": {"^(a|a)*$": {}}}, {"a" * 5_000 + "b": 1}),
        ({"patternProperties": {"(": {}}}, {"a": 1}),
        (
            {"additionalProperties": False, "patternProperties": {"^(a|aa)+$": {}}},
            {"a" * 5_000 + "b": 1},
        ),
        ({"uniqueItems": True}, [{"n": n} for n in range(5_000)]),
    ],
    ids=["doubling", "pattern", "property", "no pattern", "additional", "unique"],
)
def test_no_schema_blocks_the_gateway(schema: dict[str, Any], value: Any) -> None:
    """Any signed-in viewer may write a schema, which is validated in the gateway's event loop."""
    start = time.thread_time()
    violation = first_violation(value, schema, frozenset())
    assert time.thread_time() - start < 1.5
    assert violation is not None
    assert "takes too long" in violation.message


def test_patterns_follow_json_schema_semantics() -> None:
    schema = {
        "properties": {"id": {"pattern": "^[a-z]{2}\\d+$"}},
        "patternProperties": {"^x-": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert first_violation({"id": "ab12", "x-n": 1}, schema, frozenset()) is None
    for value, path in (({"id": "AB"}, "/id"), ({"x-n": "1"}, "/x-n"), ({"other": 1}, "")):
        violation = first_violation(value, schema, frozenset())
        assert violation is not None
        assert violation.path == path


def test_a_schema_error_names_its_path() -> None:
    assert "properties/a/type" in (schema_error({"properties": {"a": {"type": "strin"}}}) or "")
    assert schema_error([]) is not None
    assert "100 kB" in (schema_error({"description": "x" * 100_001}) or "")
    assert "unevaluated" in (schema_error({"unevaluatedProperties": False}) or "")


# --- tools --------------------------------------------------------------------------------------


def judge_calls(calls: list[ReceivedToolCall], *expected: ExpectedCall) -> dict[str, Any] | None:
    return verdicts.check_tool_calls(calls, (WEATHER,), expected, final=True)


PARIS = ExpectedCall(name="get_weather", arguments={"city": "Paris"})


def test_an_expected_call_with_equal_arguments_is_correct() -> None:
    verdict = judge_calls([call(city="Paris")], PARIS)
    assert verdict is not None
    assert (verdict["ok"], verdict["name"], verdict["arguments"]) == (True, True, "equal")
    assert (verdict["expected"], verdict["correct"], verdict["accuracy"]) == (1, 1, 1.0)


def test_other_valid_arguments_are_distinct_from_invalid_ones() -> None:
    other, invalid_call = (
        judge_calls([call(city="Rome")], PARIS),
        judge_calls([call(town="Rome")], PARIS),
    )
    assert other is not None and invalid_call is not None
    assert (other["ok"], other["arguments"]) == (False, "types")
    assert other["calls"][0]["problem"] == "arguments"
    assert (invalid_call["ok"], invalid_call["arguments"]) == (False, "wrong")
    assert invalid_call["calls"][0]["problem"] == "schema"


def test_a_tool_that_was_not_offered_is_the_wrong_name() -> None:
    verdict = judge_calls([call("get_weather_of_nobody", city="Paris")], PARIS)
    assert verdict is not None
    assert (verdict["ok"], verdict["called"], verdict["name"]) == (False, True, False)
    assert verdict["arguments"] == "missing"
    assert verdict["calls"][0]["problem"] == "name"
    assert "get_weather" in verdict["message"]


def test_a_missing_expected_call_is_not_called() -> None:
    verdict = judge_calls([], PARIS)
    assert verdict is not None
    assert (verdict["ok"], verdict["called"], verdict["accuracy"]) == (False, False, 0.0)


def test_an_additional_call_is_not_correct() -> None:
    verdict = judge_calls([call(city="Paris"), call(city="Rome")], PARIS)
    assert verdict is not None
    assert (verdict["ok"], verdict["correct"], verdict["extra"]) == (False, 1, 1)
    assert [c["ok"] for c in verdict["calls"]] == [True, False]
    assert verdict["calls"][1]["problem"] == "unexpected"


def test_expectations_are_matched_in_any_order() -> None:
    rome = ExpectedCall(name="get_weather", arguments={"city": "Rome"})
    verdict = judge_calls([call(city="Rome"), call(city="Paris")], PARIS, rome)
    assert verdict is not None
    assert (verdict["ok"], verdict["correct"]) == (True, 2)


def test_arguments_that_are_no_json_are_a_problem_of_the_call() -> None:
    verdict = judge_calls([ReceivedToolCall(id="c", name="get_weather", arguments='{"city": "Par')])
    assert verdict is not None
    assert (verdict["ok"], verdict["calls"][0]["problem"]) == (False, "json")


def test_without_expectations_and_calls_there_is_no_verdict() -> None:
    assert judge_calls([]) is None


@pytest.mark.parametrize(
    ("first_arguments", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, True),
        ([1, 2], [2, 1], False),
        (None, False, False),
        ("1", 1, False),
    ],
)
def test_arguments_are_compared_as_json_values(
    first_arguments: Any, right: Any, equal: bool
) -> None:
    assert verdicts.json_equal(first_arguments, right) is equal
