"""Evaluation files: YAML, CSV, JSON lines, plain lines, and promptfoo's configuration."""

from __future__ import annotations

import pytest

from console.evaluate import case_parser, chat
from console.evaluate.definition import (
    Case,
    InvalidDefinition,
    case_messages,
    check_runnable,
    parse_definition,
    render_definition,
)
from console.evaluate.file_format import dump_file, load_file

YAML = """
name: Capitals
models: [demo/demo-fast, demo/demo]
system: Answer with one word.
prompt: What is the capital of {{country}}?
params: {temperature: 0}
tools:
  - name: get_city
    parameters: {type: object}
judge: demo/demo-fast
repeat: 2
pass_rate: 0.9
vars: {language: English}
assert:
  - {type: contains, value: "{{capital}}", weight: 2}
cases:
  - name: France
    vars: {country: France, capital: Paris}
  - vars: {country: Norway, capital: Oslo}
    threshold: 0.5
    assert: [{type: not-regex, value: "^I cannot"}]
  - messages: [{role: user, content: "Unchanged {{braces}}"}]
    vars: {capital: "none"}
"""


def test_a_file_is_read_and_written_without_loss() -> None:
    definition = load_file("capitals.yaml", YAML)
    assert definition.models == ("demo/demo-fast", "demo/demo")
    assert definition.response_count == 12
    assert load_file("x.yaml", dump_file(definition)) == definition
    assert parse_definition(render_definition(definition)) == definition
    check_runnable(definition)


def test_a_request_has_the_variables_of_its_case() -> None:
    definition = load_file("capitals.yaml", YAML)
    body = chat.chat_body(definition, definition.cases[0], "demo/demo")
    assert body["model"] == "demo/demo" and body["temperature"] == 0
    assert [message["content"] for message in body["messages"]] == [
        "Answer with one word.",
        "What is the capital of France?",
    ]
    assert body["tools"][0]["function"]["name"] == "get_city"
    logged = case_messages(definition, definition.cases[2])
    assert logged == [{"role": "user", "content": "Unchanged {{braces}}"}]


def test_a_missing_variable_is_named_with_its_case() -> None:
    text = YAML.replace("country: Norway, ", "")
    with pytest.raises(InvalidDefinition) as error:
        check_runnable(load_file("x.yaml", text))
    assert error.value.errors == (
        "case 2: the prompt uses {{country}}, which the case does not have",
    )


def test_csv_has_variables_and_assertions() -> None:
    text = (
        "country,capital,__expected,__expected2,__description\n"
        'France,Paris,"contains: Paris",latency(900),the first\n'
        "Norway,Oslo,Oslo,,\n"
    )
    first, second = load_file("cases.csv", text).cases
    assert first.name == "the first"
    assert first.variables == {"country": "France", "capital": "Paris"}
    assert [a.label for a in first.assertions] == ["contains", "latency"]
    assert [(a.label, a.value) for a in second.assertions] == [("equals", "Oslo")]


def test_json_lines_are_cases_or_variables() -> None:
    text = '{"country": "France"}\n\n{"vars": {"country": "Norway"}, "name": "north"}\n"Hello"\n'
    cases = load_file("cases.jsonl", text).cases
    assert [case.variables for case in cases] == [
        {"country": "France"},
        {"country": "Norway"},
        {"input": "Hello"},
    ]


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        ("Hello\nGood morning, how are you?\n", "lines"),
        ("What, exactly, is this?", "lines"),
        ("a,b\n1,2\n", "csv"),
        ('{"a": 1}', "jsonl"),
        ('[{"a": 1}]', "jsonl"),
    ],
)
def test_the_format_of_pasted_text_is_detected(text: str, format_: str) -> None:
    assert case_parser.detect_format(text) == format_
    assert case_parser.parse_case_text(text)


def test_lines_fill_the_default_prompt() -> None:
    definition = load_file("cases.txt", "Hello\n\n  Good day \n")
    assert definition.cases == (
        Case(variables={"input": "Hello"}),
        Case(variables={"input": "Good day"}),
    )
    assert case_messages(definition, definition.cases[1])[0]["content"] == "Good day"


PROMPTFOO = """
description: A promptfoo configuration
prompts: ["Say {{word}}"]
providers: ["openai:chat:gpt-4.1", {id: "anthropic:messages:claude-opus-4"}, demo]
defaultTest:
  assert: [{type: not-icontains, value: sorry}]
  options: {provider: "openai:gpt-4.1-mini"}
tests:
  - description: one
    vars: {word: hi}
    assert: [{type: llm-rubric, value: is short, metric: tone}]
  - vars: {word: ho}
    metadata: {source: me}
"""


def test_a_promptfoo_configuration_is_understood() -> None:
    definition = load_file("promptfooconfig.yaml", PROMPTFOO)
    assert definition.models == ("openai/gpt-4.1", "anthropic/claude-opus-4", "demo")
    assert definition.judge == "openai/gpt-4.1-mini"
    assert definition.name == "A promptfoo configuration"
    assert [a.label for a in definition.assertions] == ["not-icontains"]
    assert definition.cases[0].name == "one"
    check_runnable(definition)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.pdf", "", "must end in"),
        ("x.yaml", "prompt: [unclosed", "not valid YAML"),
        ("x.yaml", "a: &a [1]\nb: *a", "aliases"),
        ("x.yaml", "name: !!bool many", "not valid YAML: a value does not fit its tag"),
        ("x.yaml", "name: !!timestamp many", "not valid YAML: a value does not fit its tag"),
        ("x.yaml", "promt: Hello", "`promt` is unknown"),
        ("x.yaml", "cases: [{vars: {a: 1}, asert: []}]", "case 1: the field `asert` is unknown"),
        (
            "x.yaml",
            "cases: [{assert: [{type: javascript, value: x}]}]",
            "case 1: assertion 1: .*code",
        ),
        ("x.yaml", "params: {stream: true}", "`stream` is set"),
        ("x.yaml", "repeat: 0", "`repeat` must be"),
        ("x.yaml", "prompts: [a, b]", "2 prompts"),
        ("x.yaml", "prompts: [file://prompt.txt]", "in the file itself"),
        ("x.jsonl", '{"a": 1}\n{"b": ', "line 2 is not JSON"),
        ("x.jsonl", '{"a": 1}\n{b', "line 2 is not JSON: object keys must be strings"),
        ("x.csv", "a,a\n1,2", "two columns are named `a`"),
        ("x.csv", "a\n1,2", r"case 1: more cells \(2\) than columns \(1\)"),
        ("x.csv", "a,__expected\n1,python: x", "case 1: .*code"),
        ("x.csv", "a,__prefix\n1,x", "`__prefix` is not supported"),
    ],
)
def test_an_invalid_evaluation_file_is_refused_with_the_reason(
    name: str, text: str, reason: str
) -> None:
    with pytest.raises(InvalidDefinition, match=reason):
        load_file(name, text)


def test_an_evaluation_needs_models_cases_and_a_judge() -> None:
    rubric = {"assert": [{"type": "llm-rubric", "value": "polite"}]}
    with pytest.raises(InvalidDefinition) as error:
        check_runnable(parse_definition(rubric))
    assert len(error.value.errors) == 3


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", ",".join(map(str, range(501))) + "\n1\n", "501 columns; at most 500 are allowed"),
        ("a.yaml", "cases: [{a: " + "59:" * 200 + "59}]", "a number is too long"),
        ("a.yaml", "cases: [{a: " + "1:" * 200 + "1.5}]", "too large"),
    ],
    ids=["columns", "a number in base 60", "a fraction in base 60"],
)
def test_a_file_that_takes_long_to_read_is_refused(name: str, text: str, reason: str) -> None:
    """Their time, or the memory of the cases, is quadratic in their size."""
    with pytest.raises(InvalidDefinition, match=reason):
        load_file(name, text)


def test_a_pasted_line_may_be_long() -> None:
    (case,) = case_parser.parse_case_text("x" * 200_000)
    assert case.variables == {"input": "x" * 200_000}
