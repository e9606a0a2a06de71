"""Organizations, teams, projects and users with budgets become teams.

organization -> team; team -> team, or project of its organization
project -> project of its team
user with a budget or limits -> team of the user's keys that are in no team
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.database.amounts import has_amounts, set_amounts
from gateway.compat.litellm.database.models import describe_aliases
from gateway.compat.litellm.database.source import Row, Tables
from gateway.models import RowSource, Team

_MAX_NAME = 200


class Teams(msgspec.Struct, kw_only=True):
    """The teams of an import, by the identifiers of LiteLLM's rows."""

    teams: dict[str, Team] = {}
    projects: dict[str, Team] = {}
    organizations: dict[str, Team] = {}
    users: dict[str, Team] = {}
    names: set[str] = set()

    def of_key(self, key: Row) -> Team | None:
        """The team that a key joins."""
        project = self.projects.get(key.get("project_id") or "")
        team = self.teams.get(key.get("team_id") or "")
        if project is not None or team is not None:
            return project or team
        user = self.users.get(key.get("user_id") or "")
        return user or self.organizations.get(key.get("organization_id") or "")


def import_teams(tables: Tables, report: ImportReport) -> Teams:
    """Add the teams that do not exist yet; return all of them."""
    return _TeamImport(tables, report).run()


class _TeamImport:
    def __init__(self, tables: Tables, report: ImportReport) -> None:
        self._tables = tables
        self._report = report
        self._budgets = tables.rows_by_key("BudgetTable", "budget_id")
        self._aliases = {row["id"]: row.get("aliases") for row in tables.rows_of("ModelTable")}
        self._imported_teams = {
            row.source_ref: row
            for row in Team.objects.select_related("parent")
            if row.source_ref.startswith("LiteLLM ")
        }
        self._teams = Teams(names=set(Team.objects.values_list("name", flat=True)))

    def run(self) -> Teams:
        with_projects = {row.get("team_id") for row in self._tables.rows_of("ProjectTable")}
        for row in self._tables.rows_of("OrganizationTable"):
            ref = row["organization_id"]
            name = row.get("organization_alias") or ref
            self._teams.organizations[ref] = self._import_team("organization", ref, name, row)
        for row in self._tables.rows_of("TeamTable"):
            self._add_team(row, has_projects=row["team_id"] in with_projects)
        for row in self._tables.rows_of("ProjectTable"):
            ref = row["project_id"]
            parent = self._teams.teams.get(row.get("team_id") or "")
            name = row.get("project_alias") or ref
            self._teams.projects[ref] = self._import_team("project", ref, name, row, parent)
        for row in self._tables.rows_of("UserTable"):
            if has_amounts(row, None) and self._has_own_keys(row["user_id"]):
                name = f"user {row['user_id']}"
                self._teams.users[row["user_id"]] = self._import_team(
                    "user", row["user_id"], name, row
                )
        return self._teams

    def _add_team(self, row: Row, *, has_projects: bool) -> None:
        ref = row["team_id"]
        parent = self._teams.organizations.get(row.get("organization_id") or "")
        subject = f"team {row.get('team_alias') or ref}"
        if parent is not None and has_projects:
            self._report.add_remark(
                subject, "has projects, so its organization's budget and limits do not apply to it"
            )
            parent = None
        self._teams.teams[ref] = self._import_team(
            "team", ref, row.get("team_alias") or ref, row, parent
        )
        if remark := describe_aliases(self._aliases.get(row.get("model_id"))):
            self._report.add_remark(subject, remark)
        for column in ("router_settings", "policies", "object_permission_id"):
            if row.get(column):
                self._report.add_remark(subject, f"{column} is not imported")

    def _import_team(
        self, kind: str, ref: str, name: str, row: Row, parent: Team | None = None
    ) -> Team:
        source_ref = f"LiteLLM {kind} {ref}"[:300]
        subject = f"{kind} {name}"
        if (existing_team := self._imported_teams.get(source_ref)) is not None:
            self._report.count("teams", "existing")
            return existing_team
        team = Team(
            name=self._free_name(name, ref, subject),
            parent=parent,
            source=RowSource.DATABASE,
            source_ref=source_ref,
        )
        shared_budget = self._budgets.get(row.get("budget_id") or "")
        set_amounts(team, row, shared_budget, subject, self._report)
        team.save()
        self._report.count("teams", "added")
        return team

    def _free_name(self, name: str, ref: str, subject: str) -> str:
        """The name, or one with the identifier if another team has it."""
        base_name = name.replace("\0", "").strip()[:_MAX_NAME] or ref
        free_name, number = base_name, 8
        while free_name in self._teams.names:
            free_name, number = f"{base_name[: _MAX_NAME - 50]} ({ref[:number]})", number + 8
        if free_name != name:
            self._report.add_remark(subject, f"is named `{free_name}` here")
        self._teams.names.add(free_name)
        return free_name

    def _has_own_keys(self, user_id: str) -> bool:
        return any(
            key.get("user_id") == user_id and not key.get("team_id")
            for key in self._tables.rows_of("VerificationToken")
        )


def blocked_ids(tables: Tables) -> set[Any]:
    """The identifiers of teams and projects that are blocked."""
    teams = {row["team_id"] for row in tables.rows_of("TeamTable") if row.get("blocked")}
    projects = tables.rows_of("ProjectTable")
    return teams | {row["project_id"] for row in projects if row.get("blocked")}
