"""The requests for one result, in order, without sending them.

The server sends them through the relay, `dragoman eval` over HTTP; everything else about a
result happens here.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from console.evaluate.assertions import RUBRIC, Check
from console.evaluate.chat import chat_body
from console.evaluate.definition import (
    Definition,
    case_assertions,
    case_messages,
    case_threshold,
)
from console.evaluate.judge import judge_body, read_judgment
from console.evaluate.report import Result, result_of
from console.evaluate.responses import ModelResponse
from console.evaluate.scores import grade_response

Json = dict[str, Any]


class Item(msgspec.Struct, frozen=True, order=True):
    """One response of a run: the indexes of case and model, and the repetition, from 0."""

    case: int
    model: int
    repetition: int


class ResultSteps:
    """Produces one result: send `request` until `result` is set."""

    def __init__(self, definition: Definition, item: Item) -> None:
        self.request: Json | None = None
        self.result: Result | None = None
        self._steps = _item_steps(definition, item)
        self.request = next(self._steps)

    def receive(self, response: ModelResponse) -> None:
        """Continue with the response to `request`; check it, which may take a few milliseconds."""
        try:
            self.request = self._steps.send(response)
        except StopIteration as end:
            self.request, self.result = None, end.value


def _item_steps(definition: Definition, item: Item) -> Generator[Json, ModelResponse, Result]:
    """Yield the request to the model, then one to the judge for each rubric."""
    case, model = definition.cases[item.case], definition.models[item.model]
    response = yield chat_body(definition, case, model)
    assertions = case_assertions(definition, case)
    judgments: dict[int, Check] = {}
    costs: list[float | None] = []
    for index, assertion in enumerate(assertions):
        if assertion.type == RUBRIC and not response.error:
            judge = assertion.provider or definition.judge
            messages = case_messages(definition, case)
            judge_response = yield judge_body(judge, str(assertion.value), messages, response)
            costs.append(judge_response.cost_usd)
            judgments[index] = read_judgment(assertion, judge_response)
    grade = grade_response(response, assertions, judgments, case_threshold(definition, case))
    known_costs = [cost for cost in costs if cost is not None]
    judge_cost = None if len(known_costs) < len(costs) else sum(known_costs)
    return result_of(item.case, case, model, item.repetition, response, grade, judge_cost)
