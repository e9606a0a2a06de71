"""Runs an evaluation against a gateway over HTTP, with a gateway key; used by `dragoman eval`.

Without a database and an event loop: requests are sent by threads. The cost of an answer is
in a header of its response.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec

from console.evaluate.answers import Answer
from console.evaluate.chat import PATH, read_answer, read_error
from console.evaluate.definition import Definition
from console.evaluate.report import Report, Result
from console.evaluate.scores import summarize
from console.evaluate.steps import Item, ResultSteps

Json = dict[str, Any]

TIMEOUT_S = 600.0
COST_HEADER = "x-dragoman-cost-usd"


class Unreachable(Exception):
    """The gateway cannot be used; the message says why."""


class Gateway:
    """A gateway at a base URL; the methods may be called by several threads."""

    def __init__(self, base_url: str, key: str) -> None:
        self._base_url = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        self._headers["user-agent"] = "dragoman-eval"

    def check_access(self) -> None:
        """Raises Unreachable if the gateway does not respond or refuses the key."""
        try:
            self._send("GET", "/v1/models", None)
        except HTTPError as error:
            raise Unreachable(read_error(error.read(), error.code)) from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise Unreachable(f"cannot reach {self._base_url}: {reason}") from None

    def send_chat(self, body: Json) -> Answer:
        """Send a request and return its answer; a failure is in `error`."""
        started = time.perf_counter()
        headers: Any = {}
        try:
            content, headers = self._send("POST", PATH, msgspec.json.encode(body))
            answer = read_answer(content)
        except HTTPError as error:
            headers = error.headers
            answer = Answer(error=read_error(error.read(), error.code))
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            answer = Answer(error=f"no response: {reason}")
        cost = headers.get(COST_HEADER)
        return msgspec.structs.replace(
            answer,
            latency_ms=(time.perf_counter() - started) * 1000,
            cost_usd=None if cost is None else float(cost),
            request_id=headers.get("x-dragoman-request-id") or headers.get("x-request-id") or "",
        )

    def _send(self, method: str, path: str, data: bytes | None) -> tuple[bytes, Any]:
        url = f"{self._base_url}{path}"
        request = Request(url, data=data, headers=self._headers, method=method)  # noqa: S310
        with urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - checked by the command
            return response.read(), response.headers


def run_evaluation(
    gateway: Gateway,
    definition: Definition,
    on_result: Callable[[int, int], None],
) -> Report:
    """Run all answers and return the report.

    `on_result` receives the number of finished answers and that of all, in this thread.
    Raises Unreachable before the first request.
    """
    gateway.check_access()
    items = [*_items(definition)]
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


def _items(definition: Definition) -> Iterator[Item]:
    for case in range(len(definition.cases)):
        for model in range(len(definition.models)):
            for repetition in range(definition.repeat):
                yield Item(case, model, repetition)


def _run_item(gateway: Gateway, definition: Definition, item: Item) -> Result:
    steps = ResultSteps(definition, item)
    while steps.request is not None:
        steps.answer(gateway.send_chat(steps.request))
    assert steps.result is not None
    return steps.result
