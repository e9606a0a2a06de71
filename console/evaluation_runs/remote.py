"""Runs an evaluation against a gateway over HTTP, with a gateway key; used by `dragoman eval`.

Without a database and an event loop: requests are sent by threads. The cost of a response is
in a header of its response.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from console.evaluate.chat import PATH, read_response
from console.evaluate.definition import Definition
from console.evaluate.report import Report, Result
from console.evaluate.responses import ModelResponse
from console.evaluate.scores import summarize
from console.evaluate.steps import Item, ResultSteps
from console.gateway_client import GatewayClient, GatewayError

Json = dict[str, Any]

COST_HEADER = "x-dragoman-cost-usd"


def send_chat(gateway: GatewayClient, body: Json) -> ModelResponse:
    """Send a request and return its response; a failure is in `error`."""
    start_time = time.perf_counter()
    try:
        content, headers = gateway.call(PATH, body)
        response = read_response(content)
    except GatewayError as error:
        response, headers = ModelResponse(error=str(error)), error.headers
    cost = headers.get(COST_HEADER)
    return msgspec.structs.replace(
        response,
        latency_ms=(time.perf_counter() - start_time) * 1000,
        cost_usd=None if cost is None else float(cost),
        request_id=headers.get("x-dragoman-request-id") or headers.get("x-request-id") or "",
    )


def run_evaluation(
    gateway: GatewayClient,
    definition: Definition,
    on_result: Callable[[int, int], None],
) -> Report:
    """Run all responses and return the report.

    `on_result` receives the number of finished responses and that of all, in this thread.
    Raises GatewayError before the first request if the gateway refuses the key.
    """
    gateway.call("/v1/models")
    items = [*_items_of(definition)]
    results: list[Result] = []
    stop = threading.Event()

    def run(item: Item) -> Result | None:
        return None if stop.is_set() else _run_item(gateway, definition, item)

    with ThreadPoolExecutor(definition.concurrency) as pool:
        try:
            for result in pool.map(run, items):
                assert result is not None
                results.append(result)
                on_result(len(results), len(items))
        except BaseException:
            stop.set()
            raise
    outcomes = [result.outcome for result in results]
    return Report(
        name=definition.name,
        cases=definition.cases,
        summaries=summarize(definition.models, outcomes),
        results=results,
    )


def _items_of(definition: Definition) -> Iterator[Item]:
    for case in range(len(definition.cases)):
        for model in range(len(definition.models)):
            for repetition in range(definition.repeat):
                yield Item(case, model, repetition)


def _run_item(gateway: GatewayClient, definition: Definition, item: Item) -> Result:
    steps = ResultSteps(definition, item)
    while steps.request is not None:
        steps.receive(send_chat(gateway, steps.request))
    assert steps.result is not None
    return steps.result
