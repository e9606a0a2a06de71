"""Evaluations: the list, one evaluation with its cases, and its settings."""

from __future__ import annotations

import msgspec
from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import may_read_bodies, viewer
from console.delete_confirmation import delete_confirmation
from console.evaluate.definition import (
    MAX_CASES,
    Case,
    Definition,
    InvalidDefinition,
    check_variables,
    parse_definition,
    render_definition,
)
from console.evaluate.file_format import dump_file
from console.evaluate.report import case_title
from console.models import Evaluation
from console.optimistic_lock import FIELD as LOCK_FIELD
from console.optimistic_lock import version_of
from console.pages.evaluate.forms import (
    MAX_LISTED_MODELS,
    CaseForm,
    CasesForm,
    EvaluationForm,
    ImportForm,
    assertion_documents,
    assertion_formset,
    list_models,
)
from console.pages.evaluate.labels import ASSERTION_LABELS, STATUS_LABELS, STATUS_PILLS
from console.playground import page_data
from console.templatetags.ui import count
from gateway import store as gateway_store

PAGE = "evaluate"
PAGE_CASES = 100
LIST_ROWS = 50
RUN_ROWS = 50


def evaluation_of(request: HttpRequest, pk: int) -> Evaluation:
    """An evaluation that the user may see, else 404."""
    return get_object_or_404(Evaluation.objects.visible_to(request.user), pk=pk)


def evaluation_crumbs(row: Evaluation) -> list[tuple[str, str]]:
    """URL and name of the pages from the list to this evaluation."""
    return [
        (reverse("evaluate"), _("Evaluate")),
        (reverse("evaluation", args=[row.pk]), row.name),
    ]


def model_names() -> list[str]:
    """Routes, then models as `provider/model`."""
    return [str(row["id"]) for row in page_data.list_models(gateway_store.current_snapshot())]


def new_evaluation(request: HttpRequest) -> Evaluation:
    """An unsaved evaluation that the signed-in user owns."""
    assert request.user.pk is not None
    return Evaluation(owner_id=request.user.pk)


def save(evaluation: Evaluation, definition: Definition) -> None:
    """Store a definition as the document of an evaluation."""
    evaluation.document = render_definition(definition)
    evaluation.name = definition.name
    evaluation.case_count = len(definition.cases)
    evaluation.save()


# --- list, create, import --------------------------------------------------------------


@require_safe
@viewer
def evaluations(request: HttpRequest) -> HttpResponse:
    """All evaluations that a user may see, with their last runs."""
    rows = Evaluation.objects.visible_to(request.user).select_related("owner").listed()
    pages = Paginator(rows.defer("document"), LIST_ROWS).get_page(request.GET.get("page"))
    context = {
        "page": PAGE,
        "pages": pages,
        "rows": [
            {"evaluation": row, "run": row.runs.listed().with_progress().first()} for row in pages
        ],
        "status_labels": STATUS_LABELS,
        "status_pills": STATUS_PILLS,
    }
    return render(request, "console/evaluate/page.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def evaluation_new(request: HttpRequest) -> HttpResponse:
    """Create an evaluation, optionally with its cases."""
    return _edit_evaluation(request, new_evaluation(request), Definition())


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def evaluation_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Prompt, models, assertions and settings of an evaluation."""
    evaluation = evaluation_of(request, pk)
    return _edit_evaluation(request, evaluation, parse_definition(evaluation.document))


def _edit_evaluation(
    request: HttpRequest, evaluation: Evaluation, definition: Definition
) -> HttpResponse:
    data = request.POST or None
    form = EvaluationForm(
        data, models=model_names(), definition=definition, is_new=evaluation.pk is None
    )
    assertions = assertion_formset(data, definition.assertions)
    cases = None if evaluation.pk else CasesForm(data, request.FILES or None)
    if data is not None:
        documents = assertion_documents(assertions)
        new_definition = form.read(documents or [])
        added_cases = () if cases is None else cases.read()
        if new_definition is not None and documents is not None and added_cases is not None:
            if added_cases:
                new_definition = msgspec.structs.replace(new_definition, cases=added_cases)
            if _check_variables(form, new_definition):
                save(evaluation, new_definition)
                messages.success(request, _("Saved."))
                return redirect("evaluation", pk=evaluation.pk)
    context = {
        "page": PAGE,
        "evaluation": evaluation,
        "form": form,
        "assertions": assertions,
        "cases": cases,
    }
    status = 200 if data is None else 422
    return render(request, "console/evaluate/edit.html", context, status=status)


@require_safe
@viewer
def evaluation_models(request: HttpRequest) -> HttpResponse:
    """Part of the form: the selected models, and others that match the search."""
    selected = request.GET.getlist("models")[:MAX_LISTED_MODELS]
    matching = list_models(selected, model_names(), request.GET.get("find", "")[:200])
    return render(request, "console/evaluate/_models.html", {"models": matching})


def _check_variables(form: EvaluationForm, definition: Definition) -> bool:
    """Whether every case has the variables of the prompt; errors are shown at the prompt."""
    try:
        check_variables(definition)
    except InvalidDefinition as invalid:
        for message in invalid.errors:
            form.add_error("prompt", f"{message[:1].upper()}{message[1:]}.")
        return False
    return True


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def evaluation_import(request: HttpRequest) -> HttpResponse:
    """Create an evaluation from a file."""
    form = ImportForm(request.POST or None, request.FILES or None)
    definition = form.read() if request.method == "POST" else None
    if definition is not None:
        evaluation = new_evaluation(request)
        save(evaluation, definition)
        messages.success(request, _("%(name)s imported.") % {"name": evaluation.name})
        return redirect("evaluation", pk=evaluation.pk)
    status = 422 if request.method == "POST" else 200
    context = {"page": PAGE, "form": form}
    return render(request, "console/evaluate/import.html", context, status=status)


# --- one evaluation --------------------------------------------------------------------


@require_safe
@viewer
def evaluation(request: HttpRequest, pk: int) -> HttpResponse:
    """One evaluation: its runs and its cases."""
    return _render_page(request, evaluation_of(request, pk), CasesForm())


def _render_page(
    request: HttpRequest, row: Evaluation, form: CasesForm, *, errors: tuple[str, ...] = ()
) -> HttpResponse:
    definition = parse_definition(row.document)
    case_pages = Paginator(definition.cases, PAGE_CASES).get_page(request.GET.get("cases"))
    first = max(case_pages.start_index() - 1, 0)
    runs = row.runs.listed().with_progress()
    context = {
        "page": PAGE,
        "evaluation": row,
        "definition": definition,
        "assertions": [
            (assertion, ASSERTION_LABELS[assertion.type]) for assertion in definition.assertions
        ],
        "pages": Paginator(runs, RUN_ROWS).get_page(request.GET.get("page")),
        "status_labels": STATUS_LABELS,
        "status_pills": STATUS_PILLS,
        "cases": [
            {"number": n, "title": case_title(n, case), "case": case}
            for n, case in enumerate(case_pages, first)
        ],
        "case_pages": case_pages,
        "form": form,
        "errors": errors,
        "may_read_bodies": may_read_bodies(request.user),
    }
    status = 422 if errors or form.is_bound else 200
    return render(request, "console/evaluate/evaluation.html", context, status=status)


def page_with_errors(request: HttpRequest, pk: int, errors: tuple[str, ...]) -> HttpResponse:
    """The page of an evaluation whose run could not start."""
    sentences = tuple(f"{message[:1].upper()}{message[1:]}" for message in errors)
    return _render_page(request, evaluation_of(request, pk), CasesForm(), errors=sentences)


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def evaluation_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete an evaluation with its runs, after a confirmation."""
    row = evaluation_of(request, pk)
    if request.method != "POST":
        count = row.runs.count()
        return delete_confirmation(
            request,
            PAGE,
            crumbs=evaluation_crumbs(row),
            title=_("Delete %(name)s") % {"name": row.name},
            consequence=ngettext(
                "The evaluation, its cases and %(count)d run with its results will be deleted.",
                "The evaluation, its cases and %(count)d runs with their results will be deleted.",
                count,
            )
            % {"count": count},
            label=_("Delete evaluation"),
        )
    row.delete()
    messages.success(request, _("%(name)s deleted.") % {"name": row.name})
    return redirect("evaluate")


@require_POST
@viewer
def evaluation_copy(request: HttpRequest, pk: int) -> HttpResponse:
    """Create a copy, to try another prompt on the same cases."""
    row = evaluation_of(request, pk)
    definition = parse_definition(row.document)
    copy = new_evaluation(request)
    name = _("Copy of %(name)s") % {"name": row.name}
    save(copy, msgspec.structs.replace(definition, name=name[:200]))
    return redirect("evaluation-edit", pk=copy.pk)


@require_safe
@viewer
def evaluation_file(request: HttpRequest, pk: int) -> HttpResponse:
    """The evaluation as a file for `dragoman eval` and for import."""
    row = evaluation_of(request, pk)
    text = dump_file(parse_definition(row.document))
    response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
    name = slugify(row.name) or "evaluation"
    response["Content-Disposition"] = f'attachment; filename="{name}.yaml"'
    response["Cache-Control"] = "no-store"
    return response


# --- cases -----------------------------------------------------------------------------


@require_POST
@viewer
def cases_add(request: HttpRequest, pk: int) -> HttpResponse:
    """Add cases from pasted text or a file."""
    row = evaluation_of(request, pk)
    form = CasesForm(request.POST, request.FILES)
    cases = form.read()
    if cases == ():
        form.add_error("text", _("Enter at least one case, or choose a file."))
    if not cases:
        return _render_page(request, row, form)
    try:
        append_cases(row.pk, cases)
    except InvalidDefinition as invalid:
        form.add_error("text", "; ".join(invalid.errors))
        return _render_page(request, row, form)
    message = ngettext("%s case added.", "%s cases added.", len(cases))
    messages.success(request, message % count(len(cases)))
    return redirect("evaluation", pk=pk)


def append_cases(pk: int, cases: tuple[Case, ...]) -> None:
    """Add cases to a stored evaluation. Raises InvalidDefinition above MAX_CASES."""
    with transaction.atomic():
        row = Evaluation.objects.select_for_update().get(pk=pk)
        definition = parse_definition(row.document)
        if len(definition.cases) + len(cases) > MAX_CASES:
            raise InvalidDefinition(f"an evaluation has at most {MAX_CASES} cases")
        save(row, msgspec.structs.replace(definition, cases=(*definition.cases, *cases)))


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def case_edit(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """One case with its assertions."""
    row = evaluation_of(request, pk)
    case = _find_case(parse_definition(row.document), number)
    data = request.POST or None
    form = CaseForm(data, case=case)
    assertions = assertion_formset(data, case.assertions)
    if data is not None:
        documents = assertion_documents(assertions)
        changed_documents = form.read(documents or [])
        if changed_documents is not None and documents is not None:
            _replace_case(row.pk, number, (changed_documents,))
            messages.success(request, _("Saved."))
            return redirect("evaluation", pk=pk)
    context = {
        "page": PAGE,
        "evaluation": row,
        "number": number,
        "title": case_title(number, case),
        "form": form,
        "assertions": assertions,
    }
    status = 200 if data is None else 422
    return render(request, "console/evaluate/case.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def case_delete(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Delete a case after a confirmation; runs keep their copy."""
    row = evaluation_of(request, pk)
    case = _find_case(parse_definition(row.document), number)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=evaluation_crumbs(row),
            title=_("Delete %(name)s") % {"name": case_title(number, case)},
            consequence=_("Later runs are without this case. Runs so far keep it."),
            label=_("Delete case"),
            row_version=version_of(case),
        )
    if request.POST.get(LOCK_FIELD, "") not in {"", version_of(case)}:
        message = _("This case has changed. Delete it again if it is still the right one.")
        messages.error(request, message)
        return redirect("evaluation", pk=pk)
    _replace_case(row.pk, number, ())
    return redirect("evaluation", pk=pk)


def _find_case(definition: Definition, number: int) -> Case:
    if number >= len(definition.cases):
        raise Http404
    return definition.cases[number]


def _replace_case(pk: int, number: int, replacement: tuple[Case, ...]) -> None:
    with transaction.atomic():
        row = Evaluation.objects.select_for_update().get(pk=pk)
        definition = parse_definition(row.document)
        cases = definition.cases
        remaining_cases = (*cases[:number], *replacement, *cases[number + 1 :])
        save(row, msgspec.structs.replace(definition, cases=remaining_cases))
