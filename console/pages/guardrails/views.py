"""The list of guardrails, the page of one, and its trial on a text."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import admin
from console.delete_confirmation import delete_confirmation
from console.managed_rows import add_managed_message
from console.pages.guardrails.forms import FIELDS_BY_KIND, GuardrailForm, TrialForm
from console.pages.requests.labels import guardrail_line
from gateway import store
from gateway.api.runtime import lazy_runtime
from gateway.models import Guardrail
from gateway.relay.run.guardrails import Trial, try_guardrail
from gateway.store.guardrails import guardrail_value

PAGE = "guardrails"


@require_safe
@admin
def guardrails(request: HttpRequest) -> HttpResponse:
    """All guardrails, in the order in which they run."""
    rows = [
        {"row": row, "users": [str(user) for user in row.attached_to()]}
        for row in Guardrail.objects.in_order()
    ]
    context = {"page": PAGE, "rows": rows, "kinds": Guardrail.Kind.choices}
    return render(request, "console/guardrails/page.html", context)


@sensitive_post_parameters("credential")
@require_http_methods(["GET", "HEAD", "POST"])
@admin
def add(request: HttpRequest, kind: str) -> HttpResponse:
    """Create a guardrail of a type."""
    if kind not in FIELDS_BY_KIND:
        raise Http404
    return _edit_guardrail(request, kind, None)


@sensitive_post_parameters("credential")
@require_http_methods(["GET", "HEAD", "POST"])
@admin
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit a guardrail."""
    row = get_object_or_404(Guardrail, pk=pk)
    if request.method == "POST" and row.read_only:
        add_managed_message(request, row)
        return redirect("guardrail", pk)
    return _edit_guardrail(request, row.kind, row)


def _edit_guardrail(request: HttpRequest, kind: str, row: Guardrail | None) -> HttpResponse:
    form = GuardrailForm(request.POST or None, instance=row, kind=kind)
    if form.is_valid():
        saved = form.save()
        messages.success(request, _("Saved. Try it on a text below."))
        return redirect("guardrail", saved.pk)
    status = 422 if request.method == "POST" else 200
    return _render_page(request, form, row, TrialForm(), None, status=status)


def _render_page(
    request: HttpRequest,
    form: GuardrailForm,
    row: Guardrail | None,
    trial_form: TrialForm,
    trial: Trial | None,
    *,
    status: int = 200,
) -> HttpResponse:
    kind = form.kind
    # The form has changed its instance's fields; the page shows the stored row.
    stored_row = None if row is None else get_object_or_404(Guardrail, pk=row.pk)
    context: dict[str, Any] = {
        "page": PAGE,
        "form": form,
        "row": stored_row,
        "users": [] if stored_row is None else [str(user) for user in stored_row.attached_to()],
        "kind_label": dict(Guardrail.Kind.choices)[kind],
        "kind_fields": [form[name] for name in form.kind_fields if name != "pii"],
        "trial_form": trial_form,
        "trial": trial,
        "trial_line": guardrail_line(trial.result) if trial is not None else None,
    }
    return render(request, "console/guardrails/edit.html", context, status=status)


@require_POST
@admin
async def test_text(request: HttpRequest, pk: int) -> HttpResponse:
    """Run a saved guardrail on a text, as it would run on a request."""
    row = await sync_to_async(get_object_or_404)(Guardrail, pk=pk)
    trial_form = TrialForm(request.POST)
    trial = None
    if trial_form.is_valid():
        try:
            guardrail = await sync_to_async(guardrail_value)(row)
        except ValueError as error:
            messages.error(request, str(error))
        else:
            runtime = await lazy_runtime(request).get()
            snapshot = await sync_to_async(store.current_snapshot)()
            text = trial_form.cleaned_data["text"]
            trial = await try_guardrail(runtime, snapshot, guardrail, text)
    form = await sync_to_async(GuardrailForm)(instance=row, kind=row.kind)
    status = 200 if trial_form.is_valid() else 422
    return await sync_to_async(_render_page)(request, form, row, trial_form, trial, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a guardrail that no route or key has, after a confirmation."""
    row = get_object_or_404(Guardrail, pk=pk)
    if row.read_only:
        add_managed_message(request, row)
        return redirect("guardrail", pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[
                (reverse("guardrails"), _("Guardrails")),
                (reverse("guardrail", args=[pk]), row.name),
            ],
            title=_("Delete %(name)s") % {"name": row.name},
            consequence=_("Requests and responses are no longer checked by it."),
            label=_("Delete guardrail"),
        )
    try:
        row.delete()
    except ProtectedError as error:
        users = ", ".join(sorted(str(user) for user in error.protected_objects))
        text = _("%(name)s is still attached to: %(users)s.") % {"name": row.name, "users": users}
        messages.error(request, text)
        return redirect("guardrail", pk)
    messages.success(request, _("%(name)s deleted.") % {"name": row.name})
    return redirect("guardrails")
