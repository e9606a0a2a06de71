"""Import of a LiteLLM file into providers, routes and aliases, with a preview."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from console import setup_progress
from console.access import admin
from console.pages.imports.forms import ImportForm, seal, unseal
from gateway.compat.litellm import config as litellm_config
from gateway.compat.litellm.config.upload import ImportLine, import_config, preview, read_upload

PAGE = "providers"


@sensitive_post_parameters()
@sensitive_variables()
@require_http_methods(["GET", "HEAD", "POST"])
@admin
def imports(request: HttpRequest) -> HttpResponse:
    """Upload or paste a file, preview it, import it."""
    if "draft" in request.POST:
        return _import_draft(request, request.POST["draft"])
    if request.method != "POST":
        return _render_page(request, ImportForm())
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _render_page(request, form, status=422)
    text = form.cleaned_data["text"]
    context = {
        "page": PAGE,
        "groups": _lines_by_outcome(preview(form.cleaned_data["config"], text)),
        "draft": seal(text),
    }
    return render(request, "console/imports/preview.html", context)


def _render_page(request: HttpRequest, form: ImportForm, status: int = 200) -> HttpResponse:
    context = {
        "page": PAGE,
        "form": form,
        "first_run": setup_progress.is_setup_pending(request.user),
    }
    return render(request, "console/imports/page.html", context, status=status)


@sensitive_variables()
def _import_draft(request: HttpRequest, draft: str) -> HttpResponse:
    text = unseal(draft)
    form = ImportForm()
    if text is None:
        messages.error(request, _("The preview has expired. Choose the file again."))
        return _render_page(request, form, status=422)
    try:
        config = read_upload(text)
    except litellm_config.ConfigError as mistake:  # an environment variable was removed meanwhile
        messages.error(request, str(mistake))
        return _render_page(request, form, status=422)
    import_config(config)
    count = len(config.routes)
    message = ngettext("Imported: %(count)d route.", "Imported: %(count)d routes.", count)
    messages.success(request, message % {"count": count})
    if setup_progress.is_setup_pending(request.user):
        setup_progress.advance("key", route=next(iter(config.routes), ""))
        return redirect("setup")
    return redirect("providers")


def _lines_by_outcome(lines: list[ImportLine]) -> list[dict[str, object]]:
    """The preview lines grouped by outcome."""
    titles = {
        "imported": (_("Will be imported"), _("Result"), "ok"),
        "changed": (_("Will be imported with changes"), _("Change"), "warn"),
        "skipped": (_("Will not be imported"), _("Reason"), "bad"),
    }
    return [
        {
            "title": title,
            "column": column,
            "kind": kind,
            "lines": [line for line in lines if line.outcome == outcome],
        }
        for outcome, (title, column, kind) in titles.items()
    ]
