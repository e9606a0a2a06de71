"""The list of teams, the page of one, and the limits of routes, targets and providers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from console.access import admin, editor
from console.delete_confirmation import delete_confirmation
from console.htmx import render_page_or_part
from console.limit_fields import LimitFields
from console.list_search import filter_by_name
from console.numbers import number_in
from console.pages.keys.spend import global_gauges, provider_gauges, team_gauges, tightest
from console.pages.teams.forms import (
    MAX_LISTED_KEYS,
    AllLimitsForm,
    ProviderLimitsForm,
    RouteLimitsForm,
    TargetLimitsForm,
    TeamForm,
)
from gateway import store
from gateway.models import ApiKey, Provider, Route, Target, Team
from gateway.models.limits import LIMITS

PAGE = "teams"
PAGE_ROWS = 100


class Owner(NamedTuple):
    """A kind of row with limits: its model, its form, and its page in the sidebar."""

    model: type[Route | Provider | Target]
    form: type[LimitFields]
    page: str


OWNERS: dict[str, Owner] = {
    "route": Owner(Route, RouteLimitsForm, "routes"),
    "provider": Owner(Provider, ProviderLimitsForm, "providers"),
    "target": Owner(Target, TargetLimitsForm, "routes"),
}
# Kinds on the page of teams; targets are on the page of their route.
LISTED_KINDS = ("route", "provider")


@require_safe
@editor
def teams(request: HttpRequest) -> HttpResponse:
    """The teams that match the search in the URL with their spend, and all other limits."""
    now = timezone.now()
    text = request.GET.get("q", "").strip()[:100]
    selected = filter_by_name(Team.objects.with_member_count(), text)
    pages = Paginator(selected, PAGE_ROWS).get_page(request.GET.get("page"))
    rows: list[Any] = list(pages)
    gauges_by_team = team_gauges(rows, now)
    projects: list[Any] = list(Team.objects.with_member_count().filter(parent__in=rows))
    owner_pages = Paginator(_limit_owners(), PAGE_ROWS).get_page(request.GET.get("limits"))
    context = {
        "page": PAGE,
        "rows": [
            {
                "team": row,
                "gauge": tightest(gauges_by_team[row.pk]),
                "in_projects": sum(
                    project.members for project in projects if project.parent_id == row.pk
                ),
            }
            for row in rows
        ],
        "text": text,
        "pages": pages,
        "count": pages.paginator.count,
        "all": _global_limits(now),
        "owner_pages": owner_pages,
        "owners": _owner_views(owner_pages, now),
    }
    return render_page_or_part(
        request, "console/teams/page.html", "console/teams/_rows.html", context
    )


def _global_limits(now: datetime) -> dict[str, Any]:
    """Return the limits and the spend of all requests together, as a row."""
    options = store.load_options()
    limits = {name: getattr(options.limits, limit) for name, limit in LIMITS.items()}
    return {"limits": limits, "gauge": tightest(global_gauges(options.budget, now))}


def _limit_owners() -> list[tuple[str, Any]]:
    """Return all routes and providers, with their kind."""
    return [
        (kind, row) for kind in LISTED_KINDS for row in OWNERS[kind].model.objects.order_by("name")
    ]


def _owner_views(owners: Iterable[tuple[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return rows for routes and providers with their limits; providers also with their spend."""
    providers = [row for kind, row in owners if kind == "provider"]
    gauges_by_provider = provider_gauges(providers, now)
    return [
        {
            "kind": kind,
            "row": row,
            "gauge": tightest(gauges_by_provider[row.pk]) if kind == "provider" else None,
        }
        for kind, row in owners
    ]


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def add(request: HttpRequest) -> HttpResponse:
    """Create a team."""
    form = TeamForm(request.POST or None)
    if form.is_valid():
        team = form.save()
        messages.success(request, _("%(name)s created.") % {"name": team.name})
        return redirect("teams")
    return _render_page(request, form, None)


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One team: name, keys, budgets, limits."""
    row = get_object_or_404(Team, pk=pk)
    form = TeamForm(request.POST or None, instance=row)
    if form.is_valid():
        form.save()
        messages.success(request, _("Saved. Takes effect within a second."))
        return redirect("team-edit", pk=pk)
    return _render_page(request, form, get_object_or_404(Team, pk=pk))


@require_safe
@editor
def team_keys(request: HttpRequest) -> HttpResponse:
    """Part of the page of a team: keys in no team that match `q`; selected ones come first."""
    available_keys = ApiKey.objects.available_for_team(None)
    numbers = (number_in(pk) for pk in request.GET.getlist("members")[:MAX_LISTED_KEYS])
    selected = list(available_keys.filter(pk__in=[pk for pk in numbers if pk is not None]))
    matching_keys = available_keys.exclude(pk__in=[key.pk for key in selected])
    for word in request.GET.get("q", "")[:100].replace("\0", "").split():
        matching_keys = matching_keys.filter(Q(name__icontains=word) | Q(prefix__istartswith=word))
    rows = list(matching_keys[: MAX_LISTED_KEYS + 1])
    context = {
        "keys": [(key, key in selected) for key in (*selected, *rows[:MAX_LISTED_KEYS])],
        "empty": _("No keys match this search."),
        "has_more": len(rows) > MAX_LISTED_KEYS,
    }
    return render(request, "console/teams/_keys.html", context)


def _render_page(request: HttpRequest, form: TeamForm, team: Team | None) -> HttpResponse:
    context: dict[str, Any] = {"page": PAGE, "form": form, "team": team}
    if team is not None:
        context["gauges"] = team_gauges([team], timezone.now())[team.pk]
    status = 422 if request.method == "POST" else 200
    return render(request, "console/teams/edit.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a team after a confirmation; its keys and projects remain, without a team."""
    row = get_object_or_404(Team, pk=pk)
    if request.method != "POST":
        count = ApiKey.objects.of_team(pk).count()
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[(reverse("teams"), _("Teams")), (reverse("team-edit", args=[pk]), row.name)],
            title=_("Delete %(name)s") % {"name": row.name},
            consequence=ngettext(
                "%(count)d key keeps working, without the team's budgets, limits and guardrails.",
                "%(count)d keys keep working, without the team's budgets, limits and guardrails.",
                count,
            )
            % {"count": count},
            label=_("Delete team"),
        )
    ApiKey.objects.remove_all_from_team(pk)
    Team.objects.release(pk)
    row.delete()
    messages.success(request, _("%(name)s deleted. Its keys keep working.") % {"name": row})
    return redirect("teams")


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def limits(request: HttpRequest, kind: str, pk: int) -> HttpResponse:
    """The limits of a route, a target or a provider, for all callers."""
    owner = OWNERS.get(kind)
    if owner is None:
        raise Http404
    row: Any = get_object_or_404(owner.model, pk=pk)
    read_only = row.read_only
    form = owner.form(None if read_only else request.POST or None, instance=row)
    if request.method == "POST" and not read_only and form.is_valid():
        form.save()
        messages.success(request, _("Saved. Takes effect within a second."))
        return redirect("limits", kind=kind, pk=pk)
    status = 409 if read_only else 422
    context = {"page": owner.page, "form": form, "row": row, "kind": kind, "read_only": read_only}
    if kind == "route":
        context["targets"] = row.targets.select_related("model__provider", "route")
    return render(
        request,
        "console/teams/limits.html",
        context,
        status=status if request.method == "POST" else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def all_limits(request: HttpRequest) -> HttpResponse:
    """The limits and budgets of all requests together."""
    options = store.load_options()
    form = AllLimitsForm(request.POST or None, options=options)
    if request.method == "POST" and form.is_valid():
        store.set_options(form.values())
        messages.success(request, _("Saved. Takes effect within a second."))
        return redirect("all-limits")
    limit_options = [options.values[name] for name in ("limits", "budget")]
    context = {"page": PAGE, "form": form, "kind": "all", "row": _("all requests")}
    context["read_only"] = not any(option.editable for option in limit_options)
    context["ref"] = next((option.ref for option in limit_options if not option.editable), "")
    status = 422 if form.is_bound else 200
    return render(request, "console/teams/limits.html", context, status=status)
