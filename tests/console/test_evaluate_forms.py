"""Evaluation forms show errors at their fields; importing a request keeps its settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from console.evaluate.definition import Case, Definition, InvalidDefinition, parse_cases
from console.pages.evaluate.forms import (
    AssertionForm,
    CaseForm,
    CasesForm,
    EvaluationForm,
    ImportForm,
)
from console.playground.logged_settings import LoggedSettings
from gateway.canon.request import Request

SETTINGS = {"name": "e", "models": "demo", "repeat": "1", "concurrency": "1", "pass_rate": "1"}


def posted_data(**fields: Any) -> QueryDict:
    data = QueryDict(mutable=True)
    data.update(fields)
    return data


@pytest.mark.parametrize(
    ("fields", "path", "text"),
    [
        ({"params": '{"model": "x"}'}, "params", "`model` is set by the evaluation itself."),
        ({"tools": '[{"description": "x"}]'}, "tools", "A tool needs a `name`."),
        ({"messages": '[{"role": "bot"}]'}, "messages", "The role of a message must be one of"),
        ({"vars": "[1]"}, "vars", "Must be an object."),
        ({"params": '{"stop": "\\u0000"}'}, "params", "Contains a NUL character"),
        ({"tools": '[{"\\u0000": 1}]'}, "tools", "Contains a NUL character"),
        ({"vars": '{"a": ' + "[" * 90 + "]" * 90 + "}"}, "vars", "Nested too deeply, more than 59"),
    ],
)
def test_an_error_is_at_its_field(fields: dict[str, str], path: str, text: str) -> None:
    data = posted_data(**SETTINGS, **fields)
    form = EvaluationForm(
        data, definition=Definition(models=("demo",)), models=["demo"], is_new=True
    )
    assert form.read([]) is None
    assert list(form.errors) == [path]
    assert str(form.errors[path][0]).startswith(text)


def prompt_form(prompt: str) -> EvaluationForm:
    data = posted_data(**SETTINGS, prompt=prompt)
    return EvaluationForm(
        data, definition=Definition(models=("demo",)), models=["demo"], is_new=True
    )


def test_a_prompt_of_many_brackets_is_a_text() -> None:
    prompt = "[" * 5000
    definition = prompt_form(prompt).read([])
    assert definition is not None
    assert definition.messages == ({"role": "user", "content": prompt},)


@pytest.mark.parametrize("content", ['"\\u0000"', "[" * 100 + "]" * 100], ids=["nul", "nested"])
def test_messages_in_a_prompt_can_be_stored(content: str) -> None:
    form = prompt_form(f'[{{"role": "user", "content": {content}}}]')
    assert form.read([]) is None
    assert list(form.errors) == ["prompt"]
    assert ("NUL" in str(form.errors["prompt"][0])) == ("u0000" in content)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"vars": "[1]"}, "vars"),
        ({"messages": '[{"role": "bot"}]'}, "messages"),
        ({"vars": '{"a": "\\u0000"}'}, "vars"),
        ({"messages": '[{"role": "user", "content": "\\u0000"}]'}, "messages"),
    ],
)
def test_an_error_of_a_case_is_at_its_field(fields: dict[str, str], path: str) -> None:
    form = CaseForm(posted_data(**fields), case=Case())
    assert form.read([]) is None
    assert list(form.errors) == [path]
    assert "case 1" not in form.errors[path][0]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"type": "regex", "value": "("}, "value"),
        ({"type": "latency", "value": "x"}, "value"),
        ({"type": "latency", "threshold": "-1"}, "threshold"),
        ({"type": "llm-rubric", "value": "polite", "threshold": "2"}, "threshold"),
        ({"type": "json-schema", "value": '{"title": "\\u0000"}'}, "value"),
        ({"type": "json-schema", "value": '{"enum": ' + "[" * 90 + "]" * 90 + "}"}, "value"),
    ],
)
def test_an_error_of_an_assertion_is_at_its_field(fields: dict[str, str], path: str) -> None:
    form = AssertionForm(posted_data(**fields))
    assert not form.is_valid()
    assert list(form.errors) == [path]


@pytest.mark.parametrize(
    ("value", "text"), [('"\\u0000"', "NUL"), ("[" * 90 + "]" * 90, "Nested too deeply")]
)
def test_pasted_and_uploaded_cases_can_be_stored(value: str, text: str) -> None:
    """PostgreSQL rejected them, which was an internal error."""
    line = f'{{"input": {value}}}'
    upload = SimpleUploadedFile("cases.jsonl", line.encode())
    for form in (CasesForm({"text": line}), CasesForm({}, MultiValueDict({"file": [upload]}))):
        assert form.read() is None
        assert text in str(form.errors)
    upload = SimpleUploadedFile("cases.jsonl", line.encode())
    imported = ImportForm({}, MultiValueDict({"file": [upload]}))
    assert imported.read() is None
    assert text in str(imported.errors["file"])


def test_an_error_in_an_imported_file_names_the_case() -> None:
    with pytest.raises(InvalidDefinition) as error:
        parse_cases([{"vars": {}}, {"vars": [1]}])
    (problem,) = error.value.errors
    assert (str(problem), problem.field, problem.reason) == (
        "case 2: must be an object",
        "vars",
        "must be an object",
    )


def test_a_logged_request_keeps_every_setting() -> None:
    """A new field of the canonical request must be imported or explicitly ignored."""
    elsewhere = {"model", "stream", "turns", "previous_response_id", "client_paths"}
    assert set(LoggedSettings.__struct_fields__) == set(Request.__struct_fields__) - elsewhere
