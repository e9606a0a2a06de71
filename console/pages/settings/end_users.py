"""End-user limits: the defaults for each, and the settings of single ones."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from console.access import admin
from console.delete_confirmation import delete_confirmation
from console.numbers import number_in
from console.pages.settings.end_user_forms import EndUserForm, SingleEndUserForm, entry_of
from gateway import store
from gateway.models import EndUserHour
from gateway.models.limits import LIMITS
from gateway.routing.end_users import EndUser
from gateway.store.documents import OwnedElsewhere
from gateway.store.end_users import Entries, change_end_users

PAGE = "settings"
# Of the list.
PAGE_ROWS = 50
_MAX_PAGE_DIGITS = 5
_MAX_QUERY = 200
_SPANS = (
    ("day", gettext_lazy("per day")),
    ("week", gettext_lazy("per week")),
    ("month", gettext_lazy("per month")),
    ("total", gettext_lazy("in total")),
)


class Line(NamedTuple):
    """An end user in the list. `limits` are by column, as of a key; `spent` is in US dollars."""

    name: str
    alias: str
    blocked: bool
    budgets: list[tuple[Decimal, Promise]]
    limits: dict[str, int | None]
    spent: Decimal


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def end_users(request: HttpRequest) -> HttpResponse:
    """Limits and budgets of each end user, over all keys, and the list of single ones."""
    options = store.load_options()
    form = EndUserForm(_posted_fields(request), options=options)
    if form.is_valid():
        store.set_options(form.values())
        messages.success(request, _("Saved. Takes effect within a second."))
        return redirect("settings-end-users")
    query = request.GET.get("q", "").strip()[:_MAX_QUERY]
    entries = options.end_users
    names = sorted(name for name in entries if _matches_query(query, name, entries[name]))
    page = min(number_in(request.GET.get("page", ""), _MAX_PAGE_DIGITS) or 1, _page_count(names))
    shown_names = names[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    context = {
        "page": PAGE,
        "form": form,
        "lines": _end_user_lines(shown_names, entries),
        "count": len(entries),
        "query": query,
        "previous": _page_query(query, page - 1) if page > 1 else "",
        "next": _page_query(query, page + 1) if page < _page_count(names) else "",
        "owner": _owner_file(options),
    }
    status = 422 if form.is_bound else 200
    return render(request, "console/settings/end_users.html", context, status=status)


def _posted_fields(request: HttpRequest) -> Any:
    """The fields of a sent form, also if none is filled; None for other methods."""
    return request.POST if request.method == "POST" else None


def _matches_query(query: str, name: str, entry: EndUser) -> bool:
    return query.casefold() in f"{name}\n{entry.alias}".casefold()


def _page_count(names: list[str]) -> int:
    return max(-(-len(names) // PAGE_ROWS), 1)


def _page_query(query: str, page: int) -> str:
    parameters = {"q": query, "page": str(page)}
    return urlencode({name: value for name, value in parameters.items() if value})


def _end_user_lines(names: list[str], entries: dict[str, EndUser]) -> list[Line]:
    spend_by_end_user = EndUserHour.objects.of_end_users(names).spend_by_end_user(0, len(names))
    lines = []
    for name in names:
        entry = entries[name]
        amounts = [(getattr(entry.budget, f"{span}_usd"), label) for span, label in _SPANS]
        lines.append(
            Line(
                name=name,
                alias=entry.alias,
                blocked=entry.blocked,
                budgets=[(usd, label) for usd, label in amounts if usd is not None],
                limits={column: getattr(entry.limits, limit) for column, limit in LIMITS.items()},
                spent=spend_by_end_user.get(name, Decimal(0)),
            )
        )
    return lines


def _owner_file(options: Any) -> str:
    """The file that has the setting, which then cannot be changed here; empty if none has."""
    setting = options.values["end_users"]
    return "" if setting.editable else setting.ref


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def end_user_add(request: HttpRequest) -> HttpResponse:
    """Add limits or a budget of a single end user, or block it."""
    initial = {"name": request.GET.get("name", "")}
    form = SingleEndUserForm(_posted_fields(request), initial=initial)
    if form.is_valid():
        name = form.cleaned_data["name"]

        def add(entries: Entries) -> None:
            if name in entries:
                raise ValueError(_("This end user is in the list already."))
            entries[name] = entry_of(form.cleaned_data)

        if (problem := _save_change(add)) is None:
            messages.success(request, _("Saved. Takes effect within a second."))
            return redirect("settings-end-users")
        form.add_error("name", problem)
    return _form_page(request, form, "")


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def end_user_edit(request: HttpRequest) -> HttpResponse:
    """Change the limits and the budget of the end user `name`."""
    name = request.GET.get("name", "")
    options = store.load_options()
    entry = options.values["end_users"].value.get(name)
    if entry is None:
        raise Http404(_("This end user has no limits of its own."))
    form = SingleEndUserForm(_posted_fields(request), entry=entry)
    if form.is_valid():

        def change(entries: Entries) -> None:
            entries[name] = entry_of(form.cleaned_data)

        if (problem := _save_change(change)) is None:
            messages.success(request, _("Saved. Takes effect within a second."))
            return redirect(f"{reverse('settings-end-user')}?{urlencode({'name': name})}")
        form.add_error(None, problem)
    return _form_page(request, form, name, owner=_owner_file(options))


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def end_user_delete(request: HttpRequest) -> HttpResponse:
    """Delete the settings of an end user after a confirmation: the defaults apply to it again."""
    name = request.GET.get("name", "")
    if request.method != "POST":
        edit_url = f"{reverse('settings-end-user')}?{urlencode({'name': name})}"
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[
                (reverse("settings"), _("Settings")),
                (reverse("settings-end-users"), _("End-user limits")),
                (edit_url, name),
            ],
            title=_("Remove %(name)s") % {"name": name},
            consequence=_(
                "The default limits of end users then apply again. Its requests stay in the log."
            ),
            label=_("Remove"),
        )
    problem = _save_change(lambda entries: entries.pop(name, None))
    if problem is None:
        messages.success(request, _("%(name)s was removed from the list.") % {"name": name})
    else:
        messages.error(request, problem)
    return redirect("settings-end-users")


def _save_change(change: Any) -> str | None:
    """Change the setting; the reason if it cannot be changed."""
    try:
        change_end_users(change)
    except OwnedElsewhere as error:
        return error.reason
    except ValueError as error:
        return str(error)
    return None


def _form_page(
    request: HttpRequest, form: SingleEndUserForm, name: str, owner: str = ""
) -> HttpResponse:
    context: dict[str, Any] = {"page": PAGE, "form": form, "name": name, "owner": owner}
    if name:
        spend_by_end_user = EndUserHour.objects.of_end_users([name]).spend_by_end_user(0, 1)
        context |= {"spent": spend_by_end_user.get(name, Decimal(0)), "query": f"user:{name}"}
    status = 422 if form.is_bound else 200
    return render(request, "console/settings/end_user.html", context, status=status)
