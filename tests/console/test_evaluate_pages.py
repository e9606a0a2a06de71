"""The pages of evaluations and their runs."""

from __future__ import annotations

import re

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console.evaluate.definition import Case, Definition, render_definition
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
