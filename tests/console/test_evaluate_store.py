"""The state of evaluation runs in the database: their executor and their results."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, DataError, OperationalError, connections, transaction
from django.utils import timezone

from console import accounts
from console.evaluate.definition import (
    Case,
    Definition,
    InvalidDefinition,
    case_assertions,
    render_definition,
)
from console.evaluate.report import Result, result_of
from console.evaluate.responses import ModelResponse
from console.evaluate.scores import grade_response
from console.evaluate.steps import Item
from console.evaluation_runs import execution, runner, store
from console.models import Evaluation, EvaluationRun
from console.pages.evaluate.results import View, case_table, load_figures
from console.playground.budget import (
    EVALUATION_KEY_PREFIX,
    remaining_usd,
    session_prefix,
    spent_usd,
)
from gateway import store as gateway_store
from gateway.relay.runtime import Runtime
from tests.store import factories

pytestmark = pytest.mark.django_db

DEFINITION = Definition(
    name="Two",
    models=("a", "b"),
    cases=(Case(variables={"input": "x"}), Case(variables={"input": "y"})),
)


def create_user() -> Any:
    return get_user_model().objects.create_user("ada", password="x")


def start_run(user: Any, definition: Definition = DEFINITION) -> EvaluationRun:
    row = Evaluation.objects.create(
        owner=user, name=definition.name, document=render_definition(definition)
    )
    return store.start(row, user)


def result(case: int, model: str, text: str = "hi", error: str = "") -> Result:
    response = ModelResponse(text=text, error=error, latency_ms=1.0)
    assertions = case_assertions(DEFINITION, DEFINITION.cases[case])
    grade = grade_response(response, assertions, {}, None)
    return result_of(case, DEFINITION.cases[case], model, 0, response, grade)


def test_a_run_is_executed_by_one_process_until_its_lease_ends() -> None:
    run = start_run(create_user())
    assert EvaluationRun.objects.claim("one", 8) == [run.pk]
    assert EvaluationRun.objects.claim("two", 8) == []
    EvaluationRun.objects.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    assert EvaluationRun.objects.claim("two", 8) == [run.pk]
    assert store.renew(run.pk, "one") == ""
    assert store.renew(run.pk, "two") == "running"
    store.release(run.pk, "one")
    assert EvaluationRun.objects.claim("three", 8) == []
    store.release(run.pk, "two")
    assert EvaluationRun.objects.claim("three", 8) == [run.pk]


def test_a_killed_run_is_continued_after_the_clock_was_set_back() -> None:
    run = start_run(create_user())
    assert EvaluationRun.objects.claim("killed", 8) == [run.pk]
    EvaluationRun.objects.update(lease_until=timezone.now() + dt.timedelta(hours=1))
    assert EvaluationRun.objects.claim("next", 8) == [run.pk]


def test_a_response_that_is_stored_twice_counts_once() -> None:
    run = start_run(create_user())
    store.save_results(run.pk, DEFINITION.models, [result(0, "a"), result(0, "b", "first")])
    store.save_results(run.pk, DEFINITION.models, [result(0, "b", "again"), result(1, "a")])
    assert store.progress(run) == 3
    assert store.contents(run, [0])[Item(0, 1, 0)].text == "first"
    job = store.load(run.pk)
    assert job.stored == {Item(0, 0, 0), Item(0, 1, 0), Item(1, 0, 0)}


def test_a_finished_run_has_its_scores() -> None:
    run = start_run(create_user())
    EvaluationRun.objects.claim("one", 1)
    store.save_results(
        run.pk, DEFINITION.models, [result(0, "a"), result(0, "b", error="HTTP 500")]
    )
    store.finish(run.pk, "one")
    run.refresh_from_db()
    assert (run.status, run.worker) == ("done", "")
    assert [row["pass_rate"] for row in run.summary] == [1.0, 0.0]
    assert store.retry_failed(run)
    assert store.progress(run) == 1


def test_a_paused_run_is_not_claimed_until_it_is_resumed() -> None:
    run = start_run(create_user())
    assert store.pause(run) and not store.pause(run)
    assert EvaluationRun.objects.claim("one", 1) == []
    assert store.resume(run) and EvaluationRun.objects.claim("one", 1) == [run.pk]
    assert store.cancel(run)
    run.refresh_from_db()
    assert run.ended_at is not None


def test_models_that_respond_alike_do_not_differ() -> None:
    run = start_run(create_user())
    results = [result(0, "a", "same"), result(0, "b", "same"), result(1, "a", "one")]
    store.save_results(run.pk, DEFINITION.models, [*results, result(1, "b", "two")])
    view = View(filter="differences")
    table = case_table(run, load_figures(run, None), view)
    assert [row["number"] for row in table["rows"]] == [1]


def test_results_of_a_deleted_run_are_dropped() -> None:
    run = start_run(create_user())
    EvaluationRun.objects.claim("one", 1)
    EvaluationRun.objects.all().delete()
    store.save_results(run.pk, DEFINITION.models, [result(0, "a")])
    assert store.renew(run.pk, "one") == ""


def test_nul_characters_of_a_model_can_be_stored() -> None:
    run = start_run(create_user())
    store.save_results(run.pk, DEFINITION.models, [result(0, "a", "zero \0 byte")])
    assert store.contents(run, [0])[Item(0, 0, 0)].text == "zero  byte"


def test_a_response_about_escape_sequences_is_stored_unchanged() -> None:
    run = start_run(create_user())
    text = r"write it as \u0000"
    store.save_results(run.pk, DEFINITION.models, [result(0, "a", text)])
    assert store.contents(run, [0])[Item(0, 0, 0)].text == text


def test_a_run_needs_a_budget_models_and_an_active_owner(settings: Any) -> None:
    user = create_user()
    with pytest.raises(InvalidDefinition, match="at least one model"):
        start_run(user, Definition(name="None", cases=DEFINITION.cases))
    run = start_run(user)
    get_user_model().objects.update(is_active=False)
    with pytest.raises(store.RunRefused, match="deactivated"):
        store.load(run.pk)
    settings.PLAYGROUND_USD_PER_DAY = 0
    with pytest.raises(store.RunRefused, match="budget"):
        start_run(user)


@pytest.mark.parametrize(
    ("change", "reason"), [("deactivate", "deactivated"), ("member", "does not include")]
)
def test_a_run_is_paused_when_its_owner_may_not_run_it_any_more(change: str, reason: str) -> None:
    user = create_user()
    run = start_run(user)
    assert EvaluationRun.objects.claim("worker", 1) == [run.pk]
    assert store.renew(run.pk, "worker") == EvaluationRun.Status.RUNNING
    accounts.make_first_admin("root", "long password 1")
    if change == "member":
        accounts.set_role(user, role="member", bodies=False)
    else:
        accounts.set_active(user, active=False)
    assert store.renew(run.pk, "worker") == EvaluationRun.Status.PAUSED
    run.refresh_from_db()
    assert run.status == EvaluationRun.Status.PAUSED
    assert reason in run.reason
    with pytest.raises(store.RunRefused, match=reason):
        store.load(run.pk)


def test_the_cost_of_evaluations_counts_toward_the_budget(settings: Any) -> None:
    settings.PLAYGROUND_USD_PER_DAY = 5
    user = create_user()
    session = f"{session_prefix(user.pk)}run"
    record = factories.make_record(
        key_prefix=EVALUATION_KEY_PREFIX,
        session=session,
        cost_usd=Decimal("1.5"),
        started_at=time.time(),
    )
    gateway_store.write([record])
    assert float(remaining_usd(user.pk)) == 3.5


def test_the_fifth_run_of_a_user_waits() -> None:
    user = create_user()
    for _ in range(store.MAX_ACTIVE):
        start_run(user)
    with pytest.raises(store.RunRefused, match="in progress"):
        start_run(user)


def test_paused_and_finished_runs_count_when_they_go_on() -> None:
    user = create_user()
    paused, finished = start_run(user), start_run(user)
    assert store.pause(paused)
    assert store.set_status(finished, EvaluationRun.Status.DONE, before=["running"])
    for _ in range(store.MAX_ACTIVE):
        start_run(user)
    for go_on, run in ((store.resume, paused), (store.retry_failed, finished)):
        with pytest.raises(store.RunRefused, match="in progress"):
            go_on(run)
    assert EvaluationRun.objects.active_of(user.pk).count() == store.MAX_ACTIVE


class RunnerRuntime:
    """What the runner needs of a runtime as long as it executes nothing."""

    draining = False

    def __init__(self) -> None:
        self.services: list[runner.Runner] = []


@pytest.mark.django_db(transaction=True)
def test_the_process_in_which_a_run_is_started_claims_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "POLL_S", 600.0)
    claimed = asyncio.Queue[int]()
    monkeypatch.setattr(runner.Runner, "_start_execution", lambda _self, pk: claimed.put_nowait(pk))
    runtime = cast("Runtime", RunnerRuntime())

    def start() -> EvaluationRun:
        with transaction.atomic():
            run = start_run(create_user())
            runner.claim_runs_soon(runtime)
            time.sleep(0.1)
            assert claimed.empty(), "the run is not committed yet"
        return run

    async def follow() -> int:
        runner.start_runner(runtime)
        (service,) = cast("list[runner.Runner]", runtime.services)
        try:
            await asyncio.sleep(0)
            await service.in_thread(int)  # after it, the first query has found no run
            await asyncio.to_thread(start)
            return await asyncio.wait_for(claimed.get(), 10)
        finally:
            await service.stop()

    assert asyncio.run(follow()) == EvaluationRun.objects.get().pk


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback every five seconds would hide what else fails meanwhile."""
    monkeypatch.setattr(runner, "POLL_S", 0.001)
    errors = [OperationalError("no response\nIs the server running?")] * 5
    results: Iterator[list[int]] = iter([[]])
    recovered = threading.Event()

    def claim(*_: object) -> list[int]:
        if errors:
            raise errors.pop()
        if next(results, None) is None:
            recovered.set()
        return []

    monkeypatch.setattr(runner.Runner, "_claim_runs", claim)
    runtime = cast("Runtime", RunnerRuntime())

    async def run() -> None:
        runner.start_runner(runtime)
        await asyncio.to_thread(recovered.wait, 10)
        await cast("list[runner.Runner]", runtime.services)[0].stop()

    asyncio.run(run())
    lines = caplog.text.splitlines()
    assert len(lines) == 2, caplog.text
    assert lines[0].endswith("evaluation runs cannot be read; retrying: no response")
    assert lines[1].endswith("evaluation runs can be read again")


class DatabaseConnection:
    """Runs queries in a thread, unless the database is away."""

    def __init__(self) -> None:
        self.error: type[DatabaseError] | None = None

    async def run(self, query: Any, *args: Any) -> Any:
        if self.error is not None and query in {store.save_results, store.renew, store.finish}:
            raise self.error("no response")
        return await asyncio.to_thread(self._query, query, args)

    @staticmethod
    def _query(query: Any, args: tuple[Any, ...]) -> Any:
        try:
            return query(*args)
        finally:
            connections.close_all()


def execute_while_database_fails(
    monkeypatch: pytest.MonkeyPatch, error: type[DatabaseError], definition: Definition
) -> tuple[EvaluationRun, list[str]]:
    """Execute a run whose database fails for three times the lease; return what was requested."""
    monkeypatch.setattr(execution, "SAVE_S", 0.02)
    monkeypatch.setattr(execution, "LEASE", dt.timedelta(seconds=0.2))
    run = start_run(create_user(), definition)
    assert EvaluationRun.objects.claim("one", 1) == [run.pk]
    database, requested = DatabaseConnection(), []

    async def send(_runtime: Any, body: dict[str, Any], _session: str) -> ModelResponse:
        requested.append(body["model"])
        database.error = error
        await asyncio.sleep(0.05)
        return ModelResponse(text="hi", cost_usd=0.01)

    monkeypatch.setattr(execution, "send_chat", send)

    async def execute() -> None:
        runtime = cast("Runtime", RunnerRuntime())
        requests = asyncio.Semaphore(8)
        task = asyncio.create_task(
            execution.Execution(runtime, database.run, run.pk, "one", requests).run()
        )
        await asyncio.sleep(0.6)
        count = len(requested)
        await asyncio.sleep(0.2)
        assert len(requested) == count, "responses are bought that may be lost"
        monkeypatch.setattr(execution, "send_chat", send_with_database)
        database.error = None
        await asyncio.wait_for(task, 20)

    async def send_with_database(
        _runtime: Any, body: dict[str, Any], _session: str
    ) -> ModelResponse:
        requested.append(body["model"])
        return ModelResponse(text="hi", cost_usd=0.01)

    asyncio.run(execute())
    run.refresh_from_db()
    return run, requested


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("cases", [2, 40])
def test_no_response_is_paid_twice_if_the_database_is_away_for_longer_than_the_lease(
    monkeypatch: pytest.MonkeyPatch, cases: int
) -> None:
    """Those of a short run, which all arrive in that time, and those of a long one."""
    definition = msgspec.structs.replace(
        DEFINITION, cases=tuple(Case(variables={"input": str(n)}) for n in range(cases))
    )
    run, requested = execute_while_database_fails(monkeypatch, OperationalError, definition)
    assert run.status == EvaluationRun.Status.DONE
    assert len(requested) == run.results.count() == 2 * cases


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_results_cannot_be_stored_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = msgspec.structs.replace(
        DEFINITION, cases=tuple(Case(variables={"input": str(n)}) for n in range(40))
    )
    run, requested = execute_while_database_fails(monkeypatch, DataError, definition)
    assert (run.status, len(requested) < 80) == (EvaluationRun.Status.PAUSED, True)
    assert "cannot be stored" in run.reason


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("starts", ["together", "one by one"])
def test_runs_of_one_person_at_the_same_time_share_the_budget(
    monkeypatch: pytest.MonkeyPatch, settings: Any, starts: str
) -> None:
    settings.PLAYGROUND_USD_PER_DAY = 2
    monkeypatch.setattr(execution, "SAVE_S", 0.02)
    monkeypatch.setattr(execution, "BUDGET_S", 0.05, raising=False)
    cases = tuple(Case(variables={"input": str(n)}) for n in range(60))
    definition = msgspec.structs.replace(DEFINITION, models=("a",), cases=cases, concurrency=1)
    user = create_user()
    runs = [start_run(user, definition) for _ in range(store.MAX_ACTIVE)]
    assert len(EvaluationRun.objects.claim("one", 8)) == store.MAX_ACTIVE
    database = DatabaseConnection()

    async def send(_runtime: Any, _body: Any, session: str) -> ModelResponse:
        await asyncio.sleep(0.02)
        record = factories.make_record(
            key_prefix=EVALUATION_KEY_PREFIX,
            session=session,
            cost_usd=Decimal("0.1"),
            started_at=time.time(),
        )
        await database.run(gateway_store.write, [record])
        return ModelResponse(text="hi", cost_usd=0.1)

    monkeypatch.setattr(execution, "send_chat", send)

    async def execute() -> None:
        runtime = cast("Runtime", RunnerRuntime())
        tasks = []
        for run in runs:
            one = execution.Execution(runtime, database.run, run.pk, "one", asyncio.Semaphore(8))
            tasks.append(asyncio.create_task(one.run()))
            if starts == "one by one":
                await asyncio.sleep(0.2)
        await asyncio.wait_for(asyncio.gather(*tasks), 60)

    asyncio.run(execute())
    # Each run may have one request in progress when the budget is spent.
    assert float(spent_usd(user.pk)) <= 2 + 0.1 * store.MAX_ACTIVE
    for run in runs:
        run.refresh_from_db()
        assert (run.status, "budget" in run.reason) == (EvaluationRun.Status.PAUSED, True)
