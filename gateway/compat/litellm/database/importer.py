"""Adds the content of a LiteLLM database to the registry."""

from __future__ import annotations

import hashlib

import msgspec
from django.db import transaction

from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.database.end_users import import_end_users
from gateway.compat.litellm.database.keys import import_keys
from gateway.compat.litellm.database.models import import_models
from gateway.compat.litellm.database.sealed_values import SaltKey
from gateway.compat.litellm.database.source import UNIMPORTED_TABLES, Tables
from gateway.compat.litellm.database.teams import import_teams
from gateway.compat.litellm.database.usage import import_usage, report_spend_of_deleted_keys


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """The proxy's LITELLM_SALT_KEY and master key, empty if they are not known."""

    salt_key: str = ""
    master_key: str = ""

    def __repr__(self) -> str:
        return "Secrets(***)"

    @property
    def salt(self) -> SaltKey | None:
        """The key of encrypted values: as in LiteLLM, the master key if there is no salt key."""
        text = self.salt_key or self.master_key
        return SaltKey(text) if text else None

    @property
    def master_hash(self) -> str:
        """The hash of the master key, by which some versions store it among the keys."""
        return hashlib.sha256(self.master_key.encode()).hexdigest() if self.master_key else ""


def import_tables(tables: Tables, secrets: Secrets, *, dry_run: bool = False) -> ImportReport:
    """Add the rows that do not exist yet, in one transaction; a dry run is rolled back."""
    report = ImportReport()
    with transaction.atomic():
        import_models(tables, secrets.salt, report)
        teams = import_teams(tables, report)
        keys = import_keys(tables, teams, secrets.master_hash, report)
        import_end_users(tables, report)
        import_usage(tables, keys, report)
        report_spend_of_deleted_keys(tables, teams, report)
        _report_unimported_tables(tables, report)
        transaction.set_rollback(dry_run)
    return report


def _report_unimported_tables(tables: Tables, report: ImportReport) -> None:
    for table, subject in UNIMPORTED_TABLES.items():
        if number := tables.counts.get(table):
            report.add_remark(subject, f"not imported ({number} rows)")
    if users := len(tables.rows_of("UserTable")):
        report.add_remark(
            "",
            f"{users} users: keys keep the user_id as a label; accounts of the console are "
            "created there, or at the first single sign-on",
        )
    if members := [row for row in tables.rows_of("TeamMembership") if row.get("budget_id")]:
        report.add_remark(
            "", f"budgets of single members of a team are not imported ({len(members)} members)"
        )
