"""Teams by LiteLLM's identifiers: `team_id` is the name of a team, or the ID that it was given.

A user with a budget is a team of the user's own keys, as in the import of a database.
"""

from __future__ import annotations

from django.db.models import Q, QuerySet

from gateway.models import Team

TEAM, USER, ORGANIZATION = "LiteLLM team ", "LiteLLM user ", "LiteLLM organization "


def find(team_id: str, kind: str = TEAM) -> Team | None:
    """The team with this ID or name; a given ID takes precedence."""
    if not team_id or "\0" in team_id:
        return None
    matching_teams = Team.objects.select_related("parent").filter(
        Q(source_ref=f"{kind}{team_id}") | Q(name=team_id)
    )
    rows = sorted(matching_teams, key=lambda row: row.name == team_id)
    return rows[0] if rows else None


def id_of(team: Team) -> str:
    """The ID that a team was given, or else its name."""
    return team.source_ref.removeprefix(TEAM) if team.source_ref.startswith(TEAM) else team.name


def name_of(team_id: str) -> str:
    """The name of the team with this ID; an unknown one is returned unchanged."""
    team = find(team_id)
    return team.name if team is not None else team_id


def find_user(user_id: str) -> Team | None:
    """The team of a user's own keys."""
    return None if "\0" in user_id else Team.objects.filter(source_ref=USER + user_id).first()


def is_user(team: Team) -> bool:
    """Whether a team is that of a single user's own keys."""
    return team.source_ref.startswith(USER)


def name_of_user(user_id: str) -> str:
    """The name of the team of a user's own keys; empty if there is none."""
    team = find_user(user_id)
    return team.name if team is not None else ""


def teams() -> QuerySet[Team]:
    """Teams that are not of a single user."""
    rows = Team.objects.select_related("parent").order_by("name")
    return rows.exclude(source_ref__startswith=USER)


def users() -> QuerySet[Team]:
    """The teams of single users."""
    return Team.objects.filter(source_ref__startswith=USER).order_by("source_ref")
