"""The route editor: one form with the complete draft, which every button submits.

A button that changes the draft renders the page with the changed draft; only Save writes.
With htmx, the same response replaces only the form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from console.access import is_editor
from console.htmx import redirect_to, render_page_or_part
from console.insight.targets import circuit_states
from console.numbers import number_in
from console.pages.routes import labels, presentation, yaml_text
from console.pages.routes.checks import (
    BAD,
    Check,
    CheckInput,
    blocks,
    check,
    downgrade_new_route_errors,
)
from console.pages.routes.dry_run import DryRunPanel, panel_from_form, run
from console.pages.routes.forms import (
    Draft,
    apply_action,
    draft_from_form,
    draft_from_spec,
    restore_invalid_fields,
    spec_from,
)
from console.pages.routes.metrics import target_metrics, traffic
from gateway import models
from gateway.api.runtime import runtime_of
from gateway.routing.route_spec import RouteSpec, StepSpec
from gateway.routing.snapshot import Snapshot
from gateway.store import current_snapshot
from gateway.store.routes import Conflict, RouteState, current_state, restore_spec, save_route

SAVE_OVER = "save-over"
# The initial spec of a new route.
EMPTY_ROUTE = RouteSpec(name="", steps=(StepSpec(),))
# The fields that a new route needs.
REQUIRED_FIELDS = ("name", "targets")


@dataclass(slots=True)
class EditorState:
    """State of the editor: the saved route (None for a new one), the draft, its checks.

    `number` is the version the draft is based on, `base` its spec. `submitted_fields` are
    required fields of a new route that were submitted empty; all of them after a save.
    """

    row: models.Route | None
    number: int
    base: RouteSpec
    draft: Draft
    dry_run: DryRunPanel
    snapshot: Snapshot
    spec: RouteSpec
    checks: list[Check] = field(default_factory=list)
    status_message: str = ""
    review: bool = False
    submitted_fields: tuple[str, ...] = ()
    conflicting_changes: list[str] | None = None
    conflicting_version: int = 0
    status: int = 200

    @property
    def saved_name(self) -> str:
        """The name in the registry; empty for a new route."""
        return self.row.name if self.row is not None else ""

    @property
    def read_only(self) -> bool:
        """Whether a file or the environment owns the route, so that it is read-only here."""
        return self.row is not None and self.row.read_only

    @property
    def findings(self) -> list[Check]:
        """The checks as the page displays them."""
        return (
            self.checks
            if self.row is not None
            else downgrade_new_route_errors(self.checks, self.submitted_fields)
        )


def open_editor(row: models.Route | None) -> EditorState:
    """Return the initial state of the editor."""
    current_version = current_state(row) if row is not None else RouteState(0, EMPTY_ROUTE)
    draft = draft_from_spec(current_version.spec)
    return _build_state(row, current_version.number, current_version.spec, draft, DryRunPanel())


def copy_route(row: models.Route) -> EditorState:
    """A new route with the steps and options of `row`; its aliases stay with the original."""
    spec = current_state(row).spec
    name = _free_name(row.name)
    draft = draft_from_spec(msgspec.structs.replace(spec, name=name, aliases=()))
    return _build_state(None, 0, EMPTY_ROUTE, draft, DryRunPanel())


def _free_name(name: str) -> str:
    used_names = set(models.Route.objects.values_list("name", flat=True))
    copy_name = f"{name}-copy"
    return next(
        n for n in (copy_name, *(f"{copy_name}-{i}" for i in range(2, 1000))) if n not in used_names
    )


def simulate(request: HttpRequest, state: EditorState) -> None:
    """Simulate the request that the form describes, on the saved route."""
    state.dry_run = panel_from_form(request.POST)
    run(runtime_of(request), state.dry_run, state.spec, state.snapshot, state.saved_name)


def submit(request: HttpRequest, row: models.Route | None) -> EditorState:
    """Return the state of a submitted form, after its button's action on the draft."""
    action = request.POST.get("do", "check")
    draft = draft_from_form(request.POST)
    status_message = apply_action(draft, action, request.POST)
    action_errors = dict(draft.errors)
    number = number_in(request.POST.get("version", ""), 8) or 0
    state = _build_state(row, number, _base_spec(row, number), draft, panel_from_form(request.POST))
    draft.errors |= action_errors
    state.status_message = status_message
    state.review = action == "review"
    attempted = action in {"save", "review"}
    state.submitted_fields = (
        REQUIRED_FIELDS
        if attempted
        else tuple(set(request.POST.get("submitted", "").split()) & {*REQUIRED_FIELDS})
    )
    # A displayed result is computed again, so that it matches the draft.
    rerun = request.POST.get("dry-ran") == "1" and request.GET.get("live") != "1"
    if action == "dry-run" or rerun:
        run(runtime_of(request), state.dry_run, state.spec, state.snapshot, state.saved_name)
    return state


def _build_state(
    row: models.Route | None, number: int, base: RouteSpec, draft: Draft, panel: DryRunPanel
) -> EditorState:
    snapshot = current_snapshot()
    spec = spec_from(draft)
    state = EditorState(row, number, base, draft, panel, snapshot, spec)
    state.checks = check(CheckInput(draft, spec, snapshot, state.saved_name))
    return state


def _base_spec(row: models.Route | None, number: int) -> RouteSpec:
    if row is None:
        return EMPTY_ROUTE
    current_version = current_state(row)
    if current_version.number == number:
        return current_version.spec
    return restore_spec(row, number) or current_version.spec


def save(request: HttpRequest, state: EditorState, number: int) -> HttpResponse:
    """Write the draft. Render 422 if checks fail, 409 if another user saved first."""
    username = request.user.get_username()
    if blocks(state.checks):
        state.status = 422
        return render_editor(request, state)
    note = ", ".join(labels.changes(state.base, state.spec))[:300] if state.row else ""
    try:
        version = save_route(state.spec, route=state.row, number=number, author=username, note=note)
    except Conflict as conflict:
        return _conflict_response(request, state, conflict.current)
    except ValueError as error:
        state.checks.insert(0, Check("bad", _("Could not save:"), str(error)))
        state.status = 422
        return render_editor(request, state)
    messages.success(
        request, _("%(name)s saved as version %(number)d") % {
            "name": version.route.name, "number": version.number
        }
    )  # fmt: skip
    return redirect_to(request, reverse("route", args=[version.route.name]))


def _conflict_response(
    request: HttpRequest, state: EditorState, current_version: RouteState
) -> HttpResponse:
    state.conflicting_changes = labels.changes(state.base, current_version.spec)
    state.conflicting_version = current_version.number
    state.status = 409
    return render_editor(request, state)


def render_editor(request: HttpRequest, state: EditorState) -> HttpResponse:
    """Render the page, or its form for htmx; for a check while typing only the results."""
    live = request.GET.get("live") == "1"
    part = "console/routes/_live.html" if live else "console/routes/_form.html"
    values = context(request, state, live=live)
    return render_page_or_part(
        request, "console/routes/editor.html", part, values, status=state.status
    )


def context(request: HttpRequest, state: EditorState, *, live: bool = False) -> dict[str, Any]:
    """Return the context of the editor's templates."""
    health = circuit_states(runtime_of(request))
    findings = state.findings
    pill_class, pill_text = presentation.findings_pill(findings)
    valid_spec = restore_invalid_fields(state.draft, state.spec, state.base)
    # `<step>-new` is the choice of a target to add: without one, nothing has changed.
    invalid_fields = [name for name in state.draft.errors if not name.endswith("-new")]
    invalid_labels = dict.fromkeys(labels.field_label(name) for name in invalid_fields)
    changes = [
        *labels.changes(state.base, valid_spec),
        *(_("invalid %s") % label for label in invalid_labels),
    ]
    context_values: dict[str, Any] = {
        "page": "routes",
        "state": state,
        "draft": state.draft,
        "steps": presentation.steps(
            state.draft, state.spec, state.snapshot, target_metrics(), health
        ),
        "checks": findings,
        "name_error": next(
            (row.title for row in findings if row.field == "name" and row.level == BAD), ""
        ),
        "checks_pill": pill_class,
        "checks_summary": pill_text,
        "blocked": blocks(findings),
        "changes": changes,
        "may_edit": is_editor(request.user) and not state.read_only,
        "may_dry_run": is_editor(request.user),
        "live": live,
        **presentation.choices(state.draft, state.dry_run, state.snapshot),
    }
    if state.review:
        context_values["lines"] = yaml_text.difference(state.base, valid_spec)
    if not live:
        routes = presentation.pages_of_routes(models.Route.objects.all(), traffic())
        context_values["route_count"] = routes.count
        context_values["entries"] = presentation.entries(
            routes.page(1), state.snapshot, traffic(), health
        )
    return context_values
