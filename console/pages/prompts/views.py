"""The list of stored prompts, and the page of one: editor, preview, versions, code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import yaml
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import editor, is_editor, viewer
from console.delete_confirmation import delete_confirmation
from console.htmx import render_page_or_part
from console.list_search import filter_by_name
from console.managed_rows import add_managed_message
from console.numbers import number_in
from console.pages.prompts.forms import PromptForm, initial_values, messages_in, row_count
from console.pages.prompts.snippets import snippets
from console.pages.routes.yaml_text import Line, line_difference
from gateway.models import Prompt, PromptVersion, Route
from gateway.prompts.prompt import Parameters
from gateway.prompts.variables import names_in, render_text
from gateway.store.documents import KINDS, Refused
from gateway.store.prompts import activate_version, active_models

PAGE = "prompts"
PAGE_ROWS = 100
_KIND = KINDS["prompts"]
_DRAFT = "prompt_draft"
# Prefix of the inputs for values of variables in the preview.
_VALUE = "value."
_SHOWN_VERSIONS = 50
# What settings of another form raise: no JSON, nested too deeply, or fields of other types.
_PARSE_ERRORS = (
    msgspec.MsgspecError,
    UnicodeError,
    RecursionError,
    AttributeError,
    TypeError,
    KeyError,
)


@require_safe
@viewer
def prompts(request: HttpRequest) -> HttpResponse:
    """The stored prompts that match the search in the URL."""
    text = request.GET.get("q", "").strip()[:100]
    selected = filter_by_name(Prompt.objects.order_by("name"), text)
    pages = Paginator(selected, PAGE_ROWS).get_page(request.GET.get("page"))
    models_by_prompt = active_models(list(pages))
    context = {
        "page": PAGE,
        "rows": [(row, models_by_prompt.get(row.pk, "")) for row in pages],
        "text": text,
        "pages": pages,
        "count": pages.paginator.count,
        "editor": is_editor(request.user),
    }
    return render_page_or_part(
        request, "console/prompts/page.html", "console/prompts/_rows.html", context
    )


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def new(request: HttpRequest) -> HttpResponse:
    """Create a prompt, possibly from the settings of the playground."""
    if request.method == "POST":
        return _save_prompt(request, None)
    draft = request.session.get(_DRAFT) if request.GET.get("draft") else None
    document = draft if isinstance(draft, dict) else {}
    return _render_page(request, None, _form_of(document), document.get("messages") or [])


@require_safe
@viewer
def prompt(request: HttpRequest, pk: int) -> HttpResponse:
    """A prompt with its versions."""
    row = get_object_or_404(Prompt, pk=pk)
    document = _KIND.read(row)
    return _render_page(request, row, _form_of(document, row), document["messages"])


@require_POST
@editor
def save(request: HttpRequest, pk: int) -> HttpResponse:
    """Save a prompt as a new version, add a message row, or update the preview."""
    row = get_object_or_404(Prompt, pk=pk)
    if row.read_only:
        add_managed_message(request, row)
        return redirect("prompt", pk)
    return _save_prompt(request, row)


@require_POST
@editor
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a version the active one."""
    row = get_object_or_404(Prompt, pk=pk)
    number = number_in(request.POST.get("number", ""), 9)
    if row.read_only:
        add_managed_message(request, row)
    elif number is not None and activate_version(row, number):
        messages.success(request, _("Version %(number)s is active.") % {"number": number})
    else:
        messages.error(request, _("There is no such version."))
    return redirect("prompt", pk)


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a prompt with its versions, after a confirmation."""
    row = get_object_or_404(Prompt, pk=pk)
    if row.read_only:
        add_managed_message(request, row)
        return redirect("prompt", pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[(reverse("prompts"), _("Prompts")), (reverse("prompt", args=[pk]), row.name)],
            title=_("Delete %(name)s") % {"name": row.name},
            consequence=_(
                "The prompt and all its versions will be deleted. "
                "Requests that name it will get an error."
            ),
            label=_("Delete prompt"),
        )
    row.delete()
    messages.success(request, _("%(name)s deleted.") % {"name": row.name})
    return redirect("prompts")


@require_POST
@editor
def from_playground(request: HttpRequest) -> HttpResponse:
    """Store the settings of the playground as a draft; the response has the URL of its form."""
    try:
        settings = msgspec.json.decode(request.body, type=dict[str, Any])
        draft = _draft_of(settings)
    except _PARSE_ERRORS:
        return JsonResponse({"error": _("These settings cannot be read.")}, status=400)
    request.session[_DRAFT] = draft
    return JsonResponse({"url": f"{reverse('prompt-new')}?draft=1"})


def _draft_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a prompt with the texts and parameters of the playground."""
    texts = [{"role": "system", "content": str(settings.get("system") or "")}]
    for message in settings.get("messages") or ():
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        text = "".join(str(part.get("text") or "") for part in parts)
        texts.append({"role": str(message["role"]), "content": text})
    params = settings.get("params") or {}
    columns = settings.get("columns") or [{}]
    return {
        "messages": [m for m in texts if m["content"] and m["role"] != "tool"],
        "parameters": {
            name: params[name] for name in Parameters.__struct_fields__ if name in params
        },
        "model": str(columns[0].get("model") or ""),
    }


def _form_of(document: Mapping[str, Any], row: Prompt | None = None) -> PromptForm:
    rows = len(document.get("messages") or ())
    return PromptForm(initial=initial_values(document), row=row, rows=rows)


def _save_prompt(request: HttpRequest, row: Prompt | None) -> HttpResponse:
    rows = row_count(request.POST)
    action = request.POST.get("action", "save")
    if action in {"add", "preview"}:
        form = PromptForm(initial=request.POST.dict(), row=row, rows=rows + (action == "add"))
        return _render_page(request, row, form, messages_in(request.POST, rows))
    form = PromptForm(request.POST, row=row, rows=rows)
    if form.is_valid():
        try:
            if row is None and _KIND.find(form.cleaned_data["name"]) is not None:
                raise Refused("name", _("There is already a prompt with this name."))
            saved: Prompt = _KIND.write(form.document(), row)
        except Refused as refused:
            _add_error(form, refused)
        else:
            request.session.pop(_DRAFT, None)
            text = _("Saved. Version %(number)s is active.") % {"number": saved.active_version}
            messages.success(request, text)
            return redirect("prompt", saved.pk)
    stored_prompt = None if row is None else Prompt.objects.get(pk=row.pk)
    return _render_page(request, stored_prompt, form, messages_in(request.POST, rows), status=422)


def _add_error(form: PromptForm, refusal: Refused) -> None:
    field = refusal.field.rpartition(".")[2]
    sentence = f"{capfirst(refusal.reason.rstrip('.'))}."
    form.add_error(field if field in form.fields else None, sentence)


def _render_page(
    request: HttpRequest,
    row: Prompt | None,
    form: PromptForm,
    shown_messages: list[dict[str, str]],
    *,
    status: int = 200,
) -> HttpResponse:
    typed = request.POST if request.method == "POST" else request.GET
    names = names_in(message["content"] for message in shown_messages)
    values = {name: typed.get(_VALUE + name, "") for name in names}
    # A variable without a value stays visible as a placeholder.
    preview_values = {name: value or f"{{{{{name}}}}}" for name, value in values.items()}
    context: dict[str, Any] = {
        "page": PAGE,
        "form": form,
        "row": row,
        "editor": is_editor(request.user) and not (row is not None and row.read_only),
        "values": [(name, _VALUE + name, value) for name, value in values.items()],
        "preview": [
            {**message, "content": render_text(message["content"], preview_values)}
            for message in shown_messages
        ],
        "models": Route.objects.filter(enabled=True, hidden=False).values_list("name", flat=True),
    }
    if row is not None:
        context |= _stored_context(request, row, values)
    return render(request, "console/prompts/edit.html", context, status=status)


def _stored_context(request: HttpRequest, row: Prompt, values: dict[str, str]) -> dict[str, Any]:
    document = _KIND.read(row)
    versions = list(PromptVersion.objects.of_prompt(row)[:_SHOWN_VERSIONS])
    query = {"stored_prompt": row.pk} | {_VALUE + n: v for n, v in values.items() if v}
    base = request.build_absolute_uri("/").rstrip("/")
    variables = names_in(message["content"] for message in document["messages"])
    return {
        "versions": versions,
        "comparison": _version_comparison(request, row, versions),
        "playground_url": f"{reverse('playground')}?{urlencode(query)}",
        "snippets": snippets(base, row.name, variables, document["model"]),
    }


def _version_comparison(
    request: HttpRequest, row: Prompt, versions: list[PromptVersion]
) -> dict[str, Any] | None:
    """The two versions that the query names, and their differences; None without both."""
    by_number = {str(version.number): version for version in versions}
    before = by_number.get(request.GET.get("from", ""))
    after = by_number.get(request.GET.get("to", str(row.active_version)))
    if before is None or after is None:
        return None
    lines: list[Line] = line_difference(_as_text(before), _as_text(after))
    return {"before": before.number, "after": after.number, "lines": lines}


def _as_text(version: PromptVersion) -> str:
    """A version as lines to compare."""
    lines = []
    for message in version.messages:
        lines += [f"{message['role']}:", *(f"  {n}" for n in message["content"].splitlines())]
    if version.model:
        lines.append(f"model: {version.model}")
    if version.parameters:
        lines.append(yaml.safe_dump(version.parameters, allow_unicode=True).rstrip())
    return "\n".join(lines)
