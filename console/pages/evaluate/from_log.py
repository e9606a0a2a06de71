"""Cases from logged requests: the messages of a request, its response as `expected`."""

from __future__ import annotations

from typing import Any

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from console.access import may_read_bodies, viewer
from console.dialects import CONSOLE_DIALECTS, with_path_fields
from console.evaluate.chat import DIALECT
from console.evaluate.definition import Case, Definition, InvalidDefinition, parse_definition
from console.list_filters import TIME_RANGES
from console.models import Evaluation
from console.numbers import number_in
from console.pages.evaluate.views import (
    PAGE,
    append_cases,
    evaluation_of,
    new_evaluation,
    save,
)
from console.pages.requests import log_search
from console.pages.requests.listing import search_of, state_of
from console.pages.requests.log_lines import lines
from console.pages.requests.streams import response_parts
from console.playground.client_request import render_body
from console.templatetags.ui import count
from gateway.canon.errors import GatewayError
from gateway.models import RequestLog
from gateway.store.bodies import load_bodies

Json = dict[str, Any]

LIST_ROWS = 100
# Fields of the rendered request that an evaluation sets itself, or that are no settings.
NO_PARAMS = frozenset({"model", "messages", "stream", "stream_options", "tools"})


class UnusableRequest(Exception):
    """A logged request cannot become a case; the message says why."""


class LoggedCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case from a request, and the request's settings."""

    case: Case
    model: str
    params: Json
    tools: tuple[Json, ...]


def case_from_log(row: RequestLog) -> LoggedCase:
    """The case of a logged request. Raises UnusableRequest if its body is missing or unreadable."""
    dialect = CONSOLE_DIALECTS.get(row.client_dialect)
    if dialect is None:
        raise UnusableRequest(_("%s is not a chat request.") % row.request_id)
    try:
        bodies = load_bodies(row.pk)
        if bodies is None or bodies.client_request is None:
            raise UnusableRequest(_("The body of %s is not stored.") % row.request_id)
        body: Any = msgspec.json.decode(bodies.client_request)
        body = with_path_fields(row.client_dialect, body, row.requested_model, stream=row.stream)
        request = dialect.client.parse_request(body, bodies.client_headers)
        rendered_body = render_body(DIALECT, request)[0]
    except (GatewayError, msgspec.MsgspecError, ValueError):
        raise UnusableRequest(_("The body of %s cannot be read.") % row.request_id) from None
    texts = [part["text"] for part in response_parts(row, bodies) if part["kind"] == "text"]
    return LoggedCase(
        case=Case(
            name=row.request_id,
            variables={"expected": "".join(texts)} if texts else {},
            messages=tuple(rendered_body["messages"]),
        ),
        model=request.model,
        params={k: v for k, v in rendered_body.items() if k not in NO_PARAMS},
        tools=tuple(rendered_body.get("tools") or ()),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def request_to_case(request: HttpRequest, request_pk: int) -> HttpResponse:
    """Add one logged request to an evaluation, or create an evaluation from it."""
    if not may_read_bodies(request.user):
        raise PermissionDenied
    row = get_object_or_404(RequestLog, pk=request_pk)
    try:
        logged_case = case_from_log(row)
    except UnusableRequest as unusable:
        messages.error(request, str(unusable))
        return redirect("request", request_id=row.request_id)
    if request.method == "POST":
        evaluation_pk = number_in(request.POST.get("evaluation", ""))
        target = evaluation_of(request, evaluation_pk) if evaluation_pk is not None else None
        return _add_case(request, row, logged_case, target)
    evaluations = Evaluation.objects.visible_to(request.user).listed().defer("document")[:200]
    context = {"page": PAGE, "row": row, "logged": logged_case, "evaluations": evaluations}
    return render(request, "console/evaluate/from_log.html", context)


def _add_case(
    request: HttpRequest, row: RequestLog, logged_case: LoggedCase, target: Evaluation | None
) -> HttpResponse:
    if target is None:
        target = new_evaluation(request)
        save(target, _definition_of(row, logged_case))
    else:
        try:
            append_cases(target.pk, (logged_case.case,))
        except InvalidDefinition as invalid:
            messages.error(request, "; ".join(invalid.errors))
            return redirect("evaluation", pk=target.pk)
        if logged_case.tools and logged_case.tools != parse_definition(target.document).tools:
            messages.warning(
                request,
                _("The request has tools that the evaluation does not have; add them there."),
            )
    messages.success(request, _("Added to %(name)s.") % {"name": target.name})
    return redirect("evaluation", pk=target.pk)


def _definition_of(row: RequestLog, logged_case: LoggedCase) -> Definition:
    """An evaluation with the settings of the request; its schema is a parameter of it."""
    return Definition(
        name=_("From %(id)s") % {"id": row.request_id},
        models=(logged_case.model,),
        params=logged_case.params,
        tools=logged_case.tools,
        cases=(logged_case.case,),
    )


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def log_to_cases(request: HttpRequest, pk: int) -> HttpResponse:
    """Choose requests of the log, by a search as on Requests, and add them as cases."""
    if not may_read_bodies(request.user):
        raise PermissionDenied
    evaluation = evaluation_of(request, pk)
    if request.method == "POST":
        numbers = map(number_in, request.POST.getlist("request"))
        selected_pks = [number for number in numbers if number is not None]
        return _add_chosen(request, evaluation, selected_pks[:LIST_ROWS])
    state = state_of(request)
    search = search_of(state, request.user)
    rows = log_search.page(search, size=LIST_ROWS).rows
    context = {
        "page": PAGE,
        "evaluation": evaluation,
        "state": state,
        "spans": TIME_RANGES,
        "lines": lines(rows, with_previews=True, query=search.text),
    }
    return render(request, "console/evaluate/log.html", context)


def _add_chosen(
    request: HttpRequest, evaluation: Evaluation, selected_pks: list[int]
) -> HttpResponse:
    cases, problems = [], []
    for row in RequestLog.objects.filter(pk__in=selected_pks).order_by("pk"):
        try:
            cases.append(case_from_log(row).case)
        except UnusableRequest as unusable:
            problems.append(str(unusable))
    try:
        append_cases(evaluation.pk, tuple(cases))
    except InvalidDefinition as invalid:
        problems += invalid.errors
        cases = []
    for problem in problems[:5]:
        messages.warning(request, problem)
    if cases:
        message = ngettext("%s case added.", "%s cases added.", len(cases))
        messages.success(request, message % count(len(cases)))
    return redirect("evaluation", pk=evaluation.pk)
