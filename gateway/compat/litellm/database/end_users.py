"""Imports end users ("customers") that are blocked or have their own budget, limits or alias.

They become entries of the setting `end_users`. LiteLLM has a row for every end user that a request
named; rows without such settings need no entry here.
"""

from __future__ import annotations

from typing import Any

from gateway.compat.import_report import ImportReport
from gateway.compat.litellm.database.amounts import amounts_of
from gateway.compat.litellm.database.source import Row, Tables
from gateway.store.documents import OwnedElsewhere
from gateway.store.end_users import Entries, change_end_users
from gateway.store.key_values import non_null_fields
from gateway.store.options import MAX_END_USER_CHARS, MAX_END_USERS


def import_end_users(tables: Tables, report: ImportReport) -> None:
    """Add the entries of end users that have none yet."""
    budgets = tables.rows_by_key("BudgetTable", "budget_id")
    new_entries: Entries = {}
    for row in tables.rows_of("EndUserTable"):
        name = row["user_id"]
        entry = _end_user_entry(row, budgets.get(row.get("budget_id") or ""), report)
        if not entry:
            continue
        if not name or len(name) > MAX_END_USER_CHARS:
            reason = f"a name has 1 to {MAX_END_USER_CHARS} characters"
            report.count_skipped("end users", f"end user {name[:80]}", reason)
        else:
            new_entries[name] = entry
    if new_entries:
        _add_entries(new_entries, report)


def _end_user_entry(row: Row, shared_row: Row | None, report: ImportReport) -> dict[str, Any]:
    """Alias, limits and budget of an end user, as an entry of the setting."""
    limits, budget, admits_requests = amounts_of(
        row, shared_row, f"end user {row['user_id']}", report
    )
    entry = {
        "alias": (row.get("alias") or "").replace("\0", ""),
        "blocked": bool(row.get("blocked")) or not admits_requests,
        "limits": non_null_fields(limits),
        "budget": non_null_fields(budget),
    }
    return {name: value for name, value in entry.items() if value}


def _add_entries(new_entries: Entries, report: ImportReport) -> None:
    """Write the entries; if there are too many, blocked end users take precedence."""

    def change(entries: Entries) -> None:
        new_names = sorted(
            (name for name in new_entries if name not in entries),
            key=lambda name: not new_entries[name].get("blocked"),
        )
        free_entries = MAX_END_USERS - len(entries)
        for name in new_names[free_entries:]:
            reason = f"at most {MAX_END_USERS} end users can have their own limits or budget"
            report.count_skipped("end users", f"end user {name}", reason)
        entries.update({name: new_entries[name] for name in new_names[:free_entries]})
        report.count("end users", "added", len(new_names[:free_entries]))
        report.count("end users", "existing", len(new_entries) - len(new_names))

    try:
        change_end_users(change)
    except OwnedElsewhere as error:
        report.add_remark("end users", f"skipped: {error}")
