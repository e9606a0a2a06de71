"""The list of teams, the page of one, and the limits of a route or a provider."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import admin
from console.forms.limits import LimitFields
from console.forms.teams import ProviderLimitsForm, RouteLimitsForm, TeamForm
from console.pages.keys.spend import team_gauges, tightest
from gateway.models import ApiKey, Provider, Route, Team

PAGE = "teams"


class Owner(NamedTuple):
    """What has limits of its own: its rows, their form, and the page they belong to."""

    model: type[Route | Provider]
    form: type[LimitFields]
    page: str


OWNERS: dict[str, Owner] = {
    "route": Owner(Route, RouteLimitsForm, "routes"),
    "provider": Owner(Provider, ProviderLimitsForm, "providers"),
}


@require_safe
@admin
def teams(request: HttpRequest) -> HttpResponse:
    """All teams, with what they have spent; below them what else has limits."""
    rows = list(Team.objects.with_member_count())
    spent = team_gauges(rows, timezone.now())
    context = {
        "page": PAGE,
        "rows": [{"team": row, "gauge": tightest(spent[row.pk])} for row in rows],
        "owners": [
            {"kind": kind, "row": row}
            for kind, owner in OWNERS.items()
            for row in owner.model.objects.order_by("name")
        ],
    }
    return render(request, "console/teams.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def add(request: HttpRequest) -> HttpResponse:
    """Make a team."""
    form = TeamForm(request.POST or None)
    if form.is_valid():
        made = form.save()
        messages.success(request, _("%(name)s is made.") % {"name": made.name})
        return redirect("teams")
    return _page(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One team: name, keys, budgets, limits."""
    row = get_object_or_404(Team, pk=pk)
    form = TeamForm(request.POST or None, instance=row)
    if form.is_valid():
        form.save()
        messages.success(request, _("Saved. It holds within a second."))
        return redirect("team-edit", pk=pk)
    return _page(request, form, get_object_or_404(Team, pk=pk))


def _page(request: HttpRequest, form: TeamForm, team: Team | None) -> HttpResponse:
    context: dict[str, Any] = {"page": PAGE, "form": form, "team": team}
    if team is not None:
        context["gauges"] = team_gauges([team], timezone.now())[team.pk]
    status = 422 if request.method == "POST" else 200
    return render(request, "console/team_edit.html", context, status=status)


@require_POST
@admin
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a team; its keys and projects stay, without a team."""
    row = get_object_or_404(Team, pk=pk)
    ApiKey.objects.leave(pk)
    Team.objects.release(pk)
    row.delete()
    messages.success(request, _("%(name)s is deleted. Its keys are still good.") % {"name": row})
    return redirect("teams")


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def limits(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """The limits of a route or a provider, whoever calls."""
    owner = OWNERS.get(kind)
    if owner is None:
        raise Http404
    row: Any = get_object_or_404(owner.model, pk=pk)
    fixed = row.fixed
    form = owner.form(None if fixed else request.POST or None, instance=row)
    if request.method == "POST" and not fixed and form.is_valid():
        form.save()
        messages.success(request, _("Saved. It holds within a second."))
        return redirect("limits", kind=kind, pk=pk)
    status = 409 if fixed else 422
    context = {"page": owner.page, "form": form, "row": row, "kind": kind, "fixed": fixed}
    return render(
        request, "console/limits.html", context, status=status if request.method == "POST" else 200
    )
