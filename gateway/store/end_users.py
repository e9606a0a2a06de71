"""The setting `end_users`: limits and budgets of individual end users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction

from gateway.models import Setting
from gateway.store.documents import OwnedElsewhere
from gateway.store.options import load_options, set_options

# By name; each has the fields of `EndUser` that are set.
Entries = dict[str, dict[str, Any]]


def change_end_users(change: Callable[[Entries], None]) -> None:
    """Change the entries in place, in a transaction that locks the setting.

    Raises:
        OwnedElsewhere: a file has the setting.
        ValueError: an entry is not valid.
    """
    with transaction.atomic():
        list(Setting.objects.select_for_update().filter(name="end_users"))
        current_option = load_options().values["end_users"]
        entries: Entries = dict(current_option.value)
        change(entries)
        if not current_option.editable:
            raise OwnedElsewhere("", f"{current_option.ref} sets end_users: change it there")
        set_options({"end_users": entries})
