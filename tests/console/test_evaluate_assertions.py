"""The assertion types: what they check, what they refuse, and their syntax."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from console.evaluate import assertions, judge
from console.evaluate.assertions import InvalidAssertion, check_response, parse_assertion
from console.evaluate.json_path import InvalidPath, find_values
from console.evaluate.responses import Call, ModelResponse

Json = dict[str, Any]

PERSON = {"type": "object", "properties": {"born": {"type": "integer"}}, "required": ["born"]}
WEATHER = ModelResponse(calls=(Call("get_weather", {"city": "Paris", "unit": "celsius"}),))


def assertion_passes(data: Json, response: ModelResponse | str) -> bool:
    response_value = ModelResponse(text=response) if isinstance(response, str) else response
    return check_response(parse_assertion(data), response_value).passed


# (assertion, a response that meets it, one that does not)
ROWS: list[tuple[Json, ModelResponse | str, ModelResponse | str]] = [
    ({"type": "equals", "value": "Paris"}, " Paris\n", "paris"),
    ({"type": "equals", "value": {"a": [1, 2.0]}}, '{"a": [1.0, 2]}', '{"a": [2, 1]}'),
    ({"type": "contains", "value": "Par"}, "in Paris", "in paris"),
    ({"type": "icontains", "value": "PARIS"}, "in paris", "in Rome"),
    ({"type": "contains-any", "value": ["Rome", "Oslo"]}, "in Oslo", "in Lima"),
    ({"type": "contains-all", "value": "Rome, Oslo"}, "Oslo or Rome", "in Oslo"),
    ({"type": "icontains-any", "value": ["ROME"]}, "rome", "Oslo"),
    ({"type": "icontains-all", "value": ["ROME", "oslo"]}, "rome OSLO", "Oslo"),
    ({"type": "starts-with", "value": "In"}, "In Rome", " In Rome"),
    ({"type": "ends-with", "value": "."}, "Rome.\n", "Rome"),
    ({"type": "regex", "value": r"^\d{4}$"}, "1815", "18150"),
    ({"type": "is-json"}, "```json\n{}\n```", "no"),
    ({"type": "is-json", "value": PERSON}, '{"born": 1815}', '{"born": "1815"}'),
    ({"type": "json-schema", "value": json.dumps(PERSON)}, '{"born": 1815}', "{}"),
    ({"type": "contains-json", "value": PERSON}, 'Here: {"x": 1} {"born": 1}', '{"x": 1}'),
    ({"type": "json-path", "value": "$.a[0].b"}, '{"a": [{"b": null}]}', '{"a": []}'),
    (
        {"type": "json-path", "value": {"path": "$.n", "equals": "3"}},
        '{"n": 3}',
        '{"n": 4}',
    ),
    (
        {"type": "json-path", "value": {"path": "$..name", "contains": "Ada"}},
        '{"p": {"name": "Ada L."}}',
        '{"p": {"name": "Bob"}}',
    ),
    ({"type": "tool-call", "value": "get_weather"}, WEATHER, "sunny"),
    (
        {"type": "tool-call", "value": {"name": "get_weather", "arguments": {"city": "Paris"}}},
        WEATHER,
        ModelResponse(calls=(Call("get_weather", {"city": "Rome"}),)),
    ),
    (
        {"type": "latency", "threshold": 500},
        ModelResponse(latency_ms=500),
        ModelResponse(latency_ms=501),
    ),
    (
        {"type": "cost", "threshold": 0.01},
        ModelResponse(cost_usd=0.01),
        ModelResponse(cost_usd=0.02),
    ),
]


def test_every_type_passes_and_fails_and_can_be_negated() -> None:
    for data, good, bad in ROWS:
        negated = {**data, "type": f"not-{data['type']}"}
        assert assertion_passes(data, good) and not assertion_passes(data, bad), data
        assert assertion_passes(negated, bad) and not assertion_passes(negated, good), negated
    assert {data["type"] for data, *_ in ROWS} | {assertions.RUBRIC} == set(assertions.TYPES)


def test_a_failed_check_shows_its_reason() -> None:
    check = check_response(parse_assertion(ROWS[12][0]), ModelResponse(text='{"born": "1815"}'))
    assert check.message == "/born: '1815' is not of type 'integer'"
    check = check_response(
        parse_assertion({"type": "not-contains", "value": "a"}), ModelResponse(text="a")
    )
    assert check.message == "contains is met, but must not be"


def test_an_undecidable_assertion_fails_also_if_negated() -> None:
    slow_assertion = {"type": "not-regex", "value": r"(.*a){20}$"}
    check = check_response(parse_assertion(slow_assertion), ModelResponse(text="a" * 200 + "b"))
    assert not check.passed and "longer than" in check.message
    # Known only with the variables of a case.
    large_assertion = msgspec.structs.replace(parse_assertion(slow_assertion), value="a{99999999}b")
    check = check_response(large_assertion, ModelResponse(text="a"))
    assert not check.passed and "repeats too much" in check.message
    long_assertion = msgspec.structs.replace(large_assertion, value="(a){2}" * 500_000)
    assert "longer than" in check_response(long_assertion, ModelResponse(text="a")).message
    schema = {"type": "object", "patternProperties": {"a{99999999}b": {}}}
    check = check_response(
        parse_assertion({"type": "is-json", "value": schema}), ModelResponse(text='{"a": 1}')
    )
    assert not check.passed and "repeats too much" in check.message
    cost = check_response(parse_assertion({"type": "not-cost", "threshold": 1}), ModelResponse())
    assert not cost.passed and "unknown" in cost.message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("contains", "needs a `type`"),
        ({"type": "javascript", "value": "output.length"}, "runs code"),
        ({"type": "not-python", "value": "1"}, "runs code"),
        ({"type": "rouge-n", "value": "x"}, "unknown"),
        ({"type": "contains"}, "needs a `value`"),
        ({"type": "regex", "value": "("}, "invalid pattern"),
        ({"type": "regex", "value": "a{99999999}b"}, "invalid pattern: it repeats too much"),
        ({"type": "json-schema", "value": {"type": "thing"}}, "invalid JSON Schema"),
        ({"type": "json-path", "value": "$.a[?(@.b)]"}, "invalid path"),
        ({"type": "latency", "value": "fast"}, "needs a number"),
        ({"type": "llm-rubric", "value": "kind", "threshold": 2}, "from 0 to 1"),
        ({"type": "contains", "value": "a", "weight": -1}, "`weight`"),
        ({"type": "contains", "value": "a", "treshold": 1}, "`treshold` is unknown"),
    ],
)
def test_an_invalid_assertion_is_refused_with_the_reason(data: Any, reason: str) -> None:
    with pytest.raises(InvalidAssertion, match=reason):
        parse_assertion(data)


def test_a_written_file_reads_the_same() -> None:
    for data, *_ in ROWS:
        assertion = parse_assertion({**data, "weight": 2.5})
        assert parse_assertion(assertions.render_assertion(assertion)) == assertion


@pytest.mark.parametrize(
    ("cell", "type_", "value", "threshold"),
    [
        ("Paris", "equals", "Paris", None),
        ("contains: Paris", "contains", "Paris", None),
        ("not-icontains:as an AI", "not-icontains", "as an AI", None),
        ("is-json", "is-json", None, None),
        ("latency(500)", "latency", None, 500),
        ("cost: 0.01", "cost", None, 0.01),
        ("grade: is polite", "llm-rubric", "is polite", None),
        ("note: not a type", "equals", "note: not a type", None),
        ("contains", "equals", "contains", None),
    ],
)
def test_a_cell_of_csv_is_an_assertion(
    cell: str, type_: str, value: Any, threshold: float | None
) -> None:
    assertion = assertions.parse_short_assertion(cell)
    assert (assertion.label, assertion.value, assertion.threshold) == (type_, value, threshold)


def test_code_in_a_cell_is_refused() -> None:
    with pytest.raises(InvalidAssertion, match="runs code"):
        assertions.parse_short_assertion("javascript: output === 'x'")


def test_json_paths_find_names_indexes_wildcards_and_descendants() -> None:
    document = {"a": [{"b": 1}, {"b": 2, "c d": {"b": 3}}], "é": 4}
    assert find_values("$.a[0].b", document) == [1]
    assert find_values("a[-1]['c d'].b", document) == [3]
    assert find_values("$.a[*].b", document) == [1, 2]
    assert find_values("$..b", document) == [1, 2, 3]
    assert find_values('$["é"]', document) == find_values("$.é", document) == [4]
    assert find_values("$.a.b", document) == [] and find_values("$", document) == [document]
    with pytest.raises(InvalidPath, match=r"not supported: \[1:2\]"):
        find_values("$.a[1:2]", document)


def test_a_judgment_is_scored_and_can_be_negated() -> None:
    def judged(data: Json, **verdict: Any) -> assertions.Check:
        rubric = parse_assertion({"type": "llm-rubric", "value": "is polite", **data})
        return judge.read_judgment(rubric, ModelResponse(text=json.dumps(verdict)))

    good = judged({}, **{"reason": "kind", "score": 0.8, "pass": True})
    assert (good.passed, good.score, good.message) == (True, 0.8, "kind")
    strict = judged({"threshold": 0.9}, **{"reason": "", "score": 0.8, "pass": True})
    assert not strict.passed
    negated = judged({"type": "not-llm-rubric"}, **{"reason": "", "score": 1, "pass": True})
    assert (negated.passed, negated.score) == (False, 0.0)
    broken = judged({}, score="high")
    assert not broken.passed and "invalid" in broken.message
    judgment = judge.read_judgment(
        parse_assertion({"type": "llm-rubric", "value": "x"}), ModelResponse(error="HTTP 500: down")
    )
    assert not judgment.passed and judgment.message == "the judge failed: HTTP 500: down"
