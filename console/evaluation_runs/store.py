"""State of evaluation runs in the database. The functions query it: call them in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from console.evaluate.definition import Definition, check_runnable, parse_definition
from console.evaluate.report import Content, Report, Result, summary_json
from console.evaluate.scores import ModelSummary, Outcome, summarize
from console.evaluate.steps import Item
from console.models import Evaluation, EvaluationResult, EvaluationRun
from console.models.evaluation import LEASE
from console.playground import budget
from gateway.roles import has_permission
from gateway.store.columns import json_text

Json = dict[str, Any]
Status = EvaluationRun.Status

MAX_ACTIVE = 4
BATCH_ROWS = 200


class RunRefused(Exception):
    """A run cannot start; the message says why."""


class RunJob(msgspec.Struct, frozen=True, kw_only=True):
    """A claimed run: what is to be done, and what is done.

    Attributes:
        stored: the responses that are stored.
        budget_share_usd: what the run may spend; see `budget_share_usd`.
    """

    pk: int
    uuid: str
    owner: int
    definition: Definition
    stored: frozenset[Item]
    budget_share_usd: float


# --- start and control -----------------------------------------------------------------


def start(evaluation: Evaluation, user: Any) -> EvaluationRun:
    """Create a run, which a process claims within seconds; see `claim_runs_soon`.

    Raises RunRefused, or InvalidDefinition if the evaluation cannot be run.
    """
    definition = parse_definition(evaluation.document)
    check_runnable(definition)
    _check_owner_limits(user.pk)
    for attempt in range(3):
        last_number = evaluation.runs.aggregate(last=Max("number"))["last"] or 0
        try:
            with transaction.atomic():
                return evaluation.runs.create(
                    owner_id=user.pk,
                    number=last_number + 1,
                    document=evaluation.document,
                    total=definition.response_count,
                )
        except IntegrityError:  # another start took the number
            if attempt == 2:
                raise
    raise AssertionError("not reached")


def _check_owner_limits(owner: int) -> None:
    """Raises RunRefused without budget, or if too many of the owner's runs are in progress."""
    if budget.remaining_usd(owner) <= 0:
        raise RunRefused(budget.budget_exceeded_message())
    if EvaluationRun.objects.active_of(owner).count() >= MAX_ACTIVE:
        raise RunRefused(f"{MAX_ACTIVE} of your runs are in progress; pause or cancel one first.")


def set_status(run: EvaluationRun, status: str, *, before: Iterable[str], reason: str = "") -> bool:
    """Change the status of a run; False if it has none of `before` any more."""
    changes: Json = {"status": status, "reason": reason[:300]}
    is_final = status in {Status.CANCELLED, Status.DONE}
    changes["ended_at"] = timezone.now() if is_final else None
    rows = EvaluationRun.objects.filter(pk=run.pk, status__in=[*before])
    return bool(rows.update(**changes))


def pause(run: EvaluationRun) -> bool:
    """Pause a running run: responses in progress are still stored."""
    return set_status(run, Status.PAUSED, before=[Status.RUNNING])


def resume(run: EvaluationRun) -> bool:
    """Resume a paused or cancelled run. Raises RunRefused without budget, or if too many run."""
    _check_owner_limits(run.owner_id)
    return set_status(run, Status.RUNNING, before=[Status.PAUSED, Status.CANCELLED])


def cancel(run: EvaluationRun) -> bool:
    """End a run; its stored results remain."""
    return set_status(run, Status.CANCELLED, before=[Status.RUNNING, Status.PAUSED])


def retry_failed(run: EvaluationRun) -> bool:
    """Repeat the failed requests. Raises RunRefused without budget, or if too many run."""
    _check_owner_limits(run.owner_id)
    with transaction.atomic():
        if not set_status(run, Status.RUNNING, before=[Status.DONE, Status.PAUSED]):
            return False
        EvaluationResult.objects.filter(run=run, failed=True).delete()
    return True


# --- execution -------------------------------------------------------------------------


def load(pk: int) -> RunJob:
    """The job of a claimed run.

    Raises InvalidDefinition, RunRefused if its owner may not run it, or DoesNotExist if it was
    deleted.
    """
    run = EvaluationRun.objects.select_related("owner__account").get(pk=pk)
    if problem := _owner_problem(run):
        raise RunRefused(problem)
    keys = EvaluationResult.objects.filter(run=run).values_list("case", "model", "repetition")
    return RunJob(
        pk=pk,
        uuid=str(run.uuid),
        owner=run.owner_id,
        definition=parse_definition(run.document),
        stored=frozenset(Item(*key) for key in keys),
        budget_share_usd=budget_share_usd(run.owner_id),
    )


def _owner_problem(run: EvaluationRun) -> str:
    """Why the owner of a run may not run it any more; empty if they may."""
    if not run.owner.is_active:
        return "The account of its owner is deactivated."
    if not has_permission(run.owner, "view"):
        return "The role of its owner does not include evaluations."
    return ""


def renew(pk: int, worker: str) -> str:
    """Renew the lease; return the run's status, empty if the lease or the run is lost.

    Pause a run whose owner may not run it any more.
    """
    leased_runs = EvaluationRun.objects.leased_to(pk, worker)
    if not leased_runs.update(lease_until=timezone.now() + LEASE):
        return ""
    run = leased_runs.select_related("owner__account").defer("document").first()
    if run is None:
        return ""
    if run.status == Status.RUNNING and (problem := _owner_problem(run)):
        set_status(run, Status.PAUSED, before=[Status.RUNNING], reason=problem)
        return Status.PAUSED
    return run.status


def release(pk: int, worker: str) -> None:
    """Release the lease, so that another process can claim the run at once."""
    EvaluationRun.objects.leased_to(pk, worker).update(worker="", lease_until=None)


def pause_for(pk: int, worker: str, reason: str) -> None:
    """Pause a run for a reason that its page shows."""
    run = EvaluationRun.objects.leased_to(pk, worker).first()
    if run is not None:
        set_status(run, Status.PAUSED, before=[Status.RUNNING], reason=reason)


def finish(pk: int, worker: str) -> None:
    """Mark a run as done once all its results are stored."""
    run = EvaluationRun.objects.leased_to(pk, worker).first()
    if run is None:
        return
    store_summary(run)
    set_status(run, Status.DONE, before=[Status.RUNNING])
    release(pk, worker)


def save_results(pk: int, models: tuple[str, ...], results: list[Result]) -> None:
    """Store results; one that is stored already is not stored again.

    Those of a run that was deleted meanwhile are dropped.
    """
    if not EvaluationRun.objects.filter(pk=pk).exists():
        return
    rows = [_result_row(pk, models, result) for result in results]
    EvaluationResult.objects.bulk_create(rows, BATCH_ROWS, ignore_conflicts=True)


def _result_row(pk: int, models: tuple[str, ...], result: Result) -> EvaluationResult:
    outcome = result.outcome
    return EvaluationResult(
        run_id=pk,
        case=outcome.case,
        model=models.index(outcome.model),
        repetition=outcome.repetition,
        passed=outcome.passed,
        score=outcome.score,
        failed=outcome.failed,
        latency_ms=outcome.latency_ms,
        cost_usd=outcome.cost_usd,
        judge_cost_usd=outcome.judge_cost_usd,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        content=msgspec.json.decode(json_text(result.content)),
    )


def budget_share_usd(owner: int) -> float:
    """US dollars that a run may spend before it reads its share again; 0 if the budget is spent.

    The owner's running runs share what is left of the budget for today.
    """
    run_count = EvaluationRun.objects.active_of(owner).count()
    return float(budget.remaining_usd(owner)) / max(run_count, 1)


# --- results ---------------------------------------------------------------------------


def outcomes(
    run: EvaluationRun, definition: Definition, *, case: int | None = None
) -> list[Outcome]:
    """The figures of all stored responses, or of those to one case, by case, model, repetition."""
    fields = (
        "case", "model", "repetition", "passed", "score", "failed", "latency_ms", "cost_usd",
        "judge_cost_usd", "input_tokens", "output_tokens",
    )  # fmt: skip
    rows = EvaluationResult.objects.filter(run=run).order_by("case", "model", "repetition")
    if case is not None:
        rows = rows.filter(case=case)
    keys = [each.key for each in definition.cases]
    return [_row_outcome(row, keys, definition.models) for row in rows.values(*fields)]


def _row_outcome(row: Json, keys: list[str], models: tuple[str, ...]) -> Outcome:
    names = {"case_key": keys[row["case"]], "model": models[row["model"]]}
    return Outcome(**{**row, **names})


def contents(run: EvaluationRun, cases: Iterable[int]) -> dict[Item, Content]:
    """Texts of the responses to these cases."""
    rows = EvaluationResult.objects.filter(run=run, case__in=[*cases])
    values = rows.values_list("case", "model", "repetition", "content")
    return {
        Item(case, model, repetition): msgspec.convert(content, Content)
        for case, model, repetition, content in values
    }


def first_texts(run: EvaluationRun) -> Iterator[tuple[int, str]]:
    """Case and text of the first responses of each model; failed requests have none."""
    rows = EvaluationResult.objects.filter(run=run, repetition=0, failed=False)
    yield from rows.values_list("case", "content__text").iterator()


def report(run: EvaluationRun) -> Report:
    """The complete results of a run. Raises InvalidDefinition."""
    definition = parse_definition(run.document)
    figures = outcomes(run, definition)
    texts = contents(run, range(len(definition.cases)))
    models = {model: index for index, model in enumerate(definition.models)}
    outcomes_by_item = ((Item(o.case, models[o.model], o.repetition), o) for o in figures)
    results = [
        Result(outcome=o, content=texts[item]) for item, o in outcomes_by_item if item in texts
    ]
    return Report(
        name=f"{definition.name or run.evaluation.name} #{run.number}",
        cases=definition.cases,
        summaries=summarize(definition.models, figures),
        results=results,
    )


def store_summary(run: EvaluationRun) -> list[ModelSummary]:
    """Compute the scores of the models, and store them for lists of runs."""
    definition = parse_definition(run.document)
    summaries = summarize(definition.models, outcomes(run, definition))
    run.summary = [summary_json(summary) for summary in summaries]
    EvaluationRun.objects.filter(pk=run.pk).update(summary=run.summary)
    return summaries


def update_summary(pk: int) -> None:
    """Store the scores of a run that has not ended."""
    run = EvaluationRun.objects.filter(pk=pk).first()
    if run is not None:
        store_summary(run)


def progress(run: EvaluationRun) -> int:
    """The number of stored responses."""
    return EvaluationResult.objects.filter(run=run).count()
