"""The editor: one form that holds the whole draft; each button sends all of it.

A button that changes the draft brings the page back with the changed draft; only Save
writes. With htmx the same answer replaces the form alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from console.access import is_admin
from console.forms.routes import Draft, act, document_from, draft_from, draft_of
from console.pages.routes import present, words, yamltext
from console.pages.routes.checks import Case, Check, blocks, check, softened
from console.pages.routes.figures import figures, traffic
from console.pages.routes.trial import Trial, run, trial_from
from gateway import models
from gateway.routing.document import Document, StepDoc
from gateway.routing.snapshot import Snapshot
from gateway.store import load_snapshot
from gateway.store.routes import Conflict, Current, current, restored, save_route

OVER = "save-over"
# What a new route begins with.
EMPTY = Document(name="", steps=(StepDoc(),))
# What it can not be without.
NEEDED = ("name", "targets")


@dataclass(slots=True)
class Bench:
    """What is worked on: the saved route (None for a new one), the draft, what came of it.

    `number` is the version that the draft began with, `base` what it said. `left` are the
    fields of a new route that were left empty, all of them once somebody tried to save it.
    """

    row: models.Route | None
    number: int
    base: Document
    draft: Draft
    trial: Trial
    snapshot: Snapshot
    document: Document
    checks: list[Check] = field(default_factory=list)
    said: str = ""
    review: bool = False
    left: tuple[str, ...] = ()
    theirs: list[str] | None = None
    newer: int = 0
    status: int = 200

    @property
    def saved_name(self) -> str:
        """The name it has in the registry; empty for a new one."""
        return self.row.name if self.row is not None else ""

    @property
    def findings(self) -> list[Check]:
        """The checks as they are shown."""
        return self.checks if self.row is not None else softened(self.checks, self.left)


def opened(row: models.Route | None) -> Bench:
    """The editor as it is before anything has been typed."""
    now = current(row) if row is not None else Current(0, EMPTY)
    draft = draft_of(now.document)
    return _bench(row, now.number, now.document, draft, Trial())


def sent(request: HttpRequest, row: models.Route | None) -> Bench:
    """The editor as it was sent, after its button has done its work on the draft."""
    do = request.POST.get("do", "check")
    draft = draft_from(request.POST)
    said = act(draft, do, request.POST)
    told = dict(draft.errors)
    number = _number(request.POST.get("version", ""))
    bench = _bench(row, number, _base(row, number), draft, trial_from(request.POST))
    draft.errors |= told
    bench.said = said
    bench.review = do == "review"
    tried = do in {"save", "review"}
    bench.left = NEEDED if tried else tuple(set(request.POST.get("left", "").split()) & {*NEEDED})
    # A result that is on the page stays, and stays true to the draft.
    again = request.POST.get("dry-ran") == "1" and request.GET.get("live") != "1"
    if do == "dry-run" or again:
        run(bench.trial, bench.document, bench.snapshot, bench.saved_name)
    return bench


def _bench(
    row: models.Route | None, number: int, base: Document, draft: Draft, trial: Trial
) -> Bench:
    snapshot = load_snapshot()
    document = document_from(draft)
    bench = Bench(row, number, base, draft, trial, snapshot, document)
    bench.checks = check(Case(draft, document, snapshot, bench.saved_name))
    return bench


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _base(row: models.Route | None, number: int) -> Document:
    if row is None:
        return EMPTY
    now = current(row)
    if now.number == number:
        return now.document
    return restored(row, number) or now.document


def save(request: HttpRequest, bench: Bench, number: int) -> HttpResponse:
    """Write the draft, or say why not: 422 beside the checks, 409 if somebody was first."""
    who = request.user.get_username()
    if blocks(bench.checks):
        bench.status = 422
        return shown(request, bench)
    note = ", ".join(words.changes(bench.base, bench.document))[:300] if bench.row else ""
    try:
        version = save_route(bench.document, route=bench.row, number=number, who=who, note=note)
    except Conflict as conflict:
        return _overtaken(request, bench, conflict.current)
    except ValueError as error:
        bench.checks.insert(0, Check("bad", _("It could not be saved:"), str(error)))
        bench.status = 422
        return shown(request, bench)
    messages.success(
        request, _("%(name)s saved as version %(number)d") % {
            "name": version.route.name, "number": version.number
        }
    )  # fmt: skip
    return go(request, reverse("route", args=[version.route.name]))


def _overtaken(request: HttpRequest, bench: Bench, now: Current) -> HttpResponse:
    bench.theirs = words.changes(bench.base, now.document)
    bench.newer = now.number
    bench.status = 409
    return shown(request, bench)


def go(request: HttpRequest, url: str) -> HttpResponse:
    """To another page, from a form as from htmx."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def shown(request: HttpRequest, bench: Bench) -> HttpResponse:
    """The page; with htmx its form alone, and for a check while typing what depends on it."""
    live = request.GET.get("live") == "1"
    template = "console/route.html"
    if request.headers.get("HX-Request"):
        template = "console/route_live.html" if live else "console/route_form.html"
    return render(request, template, context(request, bench, live=live), status=bench.status)


def context(request: HttpRequest, bench: Bench, *, live: bool = False) -> dict[str, Any]:
    """All that the editor's templates need."""
    findings = bench.findings
    pill, counted = present.counted(findings)
    done = words.changes(bench.base, bench.document)
    if not done and bench.draft.errors:
        # Something was typed, though nothing that could be saved: Save says what is wrong with it.
        done = [_("a field that is not understood")]
    found: dict[str, Any] = {
        "page": "routes",
        "bench": bench,
        "draft": bench.draft,
        "steps": present.steps(bench.draft, bench.document, bench.snapshot, figures()),
        "checks": findings,
        "checks_pill": pill,
        "checks_words": counted,
        "blocked": blocks(findings),
        "changes": done,
        "may_edit": is_admin(request.user),
        "live": live,
        **present.choices(bench.draft, bench.trial, bench.snapshot),
    }
    if bench.review:
        found["lines"] = yamltext.difference(bench.base, bench.document)
    if not live:
        found["entries"] = present.entries(_rows(), bench.snapshot, traffic())
    return found


def _rows() -> Any:
    return models.Route.objects.order_by("name")
