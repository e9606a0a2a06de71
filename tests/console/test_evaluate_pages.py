"""The pages of evaluations and their runs."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.evaluate.assertions import parse_assertion
from console.evaluate.definition import Case, Definition, render_definition
from console.evaluate.report import result_of
from console.evaluate.responses import ModelResponse
from console.evaluate.scores import grade_response
from console.evaluation_runs import store as runs
from console.models import Evaluation


def test_a_run_without_responses_has_no_cost_yet(admin_client: Client) -> None:
    """It was "unknown", as if a price were missing."""
    owner = User.objects.get(username="ada")
    document = render_definition(
        Definition(name="e", models=("demo/demo",), cases=(Case(variables={"input": "x"}),))
    )
    evaluation = Evaluation.objects.create(owner=owner, name="e", document=document, case_count=1)
    run = evaluation.runs.create(owner=owner, number=1, document=document, total=1)
    page = admin_client.get(reverse("evaluation-run", args=[run.uuid])).content.decode()
    cell = re.search(r'data-label="Cost">(.*?)</td>', page, re.S)
    assert cell is not None
    assert re.sub(r"<[^>]+>|\s", "", cell.group(1)) == "—"


def test_checks_and_roles_have_the_names_of_the_form(admin_client: Client) -> None:
    assertions = (
        {"type": "contains", "value": "Paris"},
        {"type": "not-contains", "value": "Rome"},
    )
    definition = Definition(
        name="e",
        models=("demo/demo",),
        messages=({"role": "user", "content": "{{input}}"},),
        assertions=tuple(parse_assertion(assertion) for assertion in assertions),
        cases=(Case(variables={"input": "x"}),),
    )
    document = render_definition(definition)
    owner = User.objects.get(username="ada")
    evaluation = Evaluation.objects.create(owner=owner, name="e", document=document, case_count=1)
    run = evaluation.runs.create(owner=owner, number=1, document=document, total=1)
    response = ModelResponse(text="Rome")
    grade = grade_response(response, definition.assertions, {}, None)
    result = result_of(0, definition.cases[0], "demo/demo", 0, response, grade)
    runs.save_results(run.pk, definition.models, [result])
    run_page = admin_client.get(reverse("evaluation-run", args=[run.uuid])).content.decode()
    assert "Contains: does not contain Paris" in run_page
    page = admin_client.get(reverse("evaluation-run-case", args=[run.uuid, 0])).content.decode()
    assert "<b>Contains</b>: does not contain Paris" in page
    assert "<b>not Contains</b>" in page
    assert '<span class="label">User</span>' in page


def test_a_run_with_only_errors_has_no_cost_and_no_tokens(admin_client: Client) -> None:
    owner = User.objects.get(username="ada")
    case = Case(variables={"input": "x"})
    definition = Definition(name="e", models=("demo/demo",), cases=(case,))
    document = render_definition(definition)
    evaluation = Evaluation.objects.create(owner=owner, name="e", document=document, case_count=1)
    run = evaluation.runs.create(owner=owner, number=1, document=document, total=1)
    response = ModelResponse(error="HTTP 500")
    result = result_of(0, case, "demo/demo", 0, response, grade_response(response, (), {}, None))
    runs.save_results(run.pk, definition.models, [result])
    page = admin_client.get(reverse("evaluation-run", args=[run.uuid])).content.decode()
    for label in ("Cost", "Tokens"):
        cell = re.search(rf'data-label="{label}">(.*?)</td>', page, re.S)
        assert cell is not None
        assert re.sub(r"<[^>]+>|\s", "", cell.group(1)) == "—"
