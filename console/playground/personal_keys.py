"""The personal keys that members run prompts with, as they have no playground budget."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from console.playground.validation import Invalid
from gateway.models import ApiKey
from gateway.roles import has_permission
from gateway.routing.snapshot import Snapshot, may_use

Json = dict[str, Any]


def needs_personal_key(user: Any) -> bool:
    """Whether a user's runs are charged to a personal key: true for members."""
    return not has_permission(user, "view")


def personal_keys(user: Any) -> list[ApiKey]:
    """The keys that a user may run prompts with, oldest first."""
    return [row for row in ApiKey.objects.owned_by(user).live() if not row.is_expired]


def key_of_run(user: Any, document: Json) -> int | None:
    """The row id of the key that a run uses; None for users with the playground's budget.

    Raises:
        Invalid: the user has no key, has several and names none, or names one that is not theirs.
    """
    if not needs_personal_key(user):
        return None
    ids = [row.pk for row in personal_keys(user)]
    if not ids:
        raise Invalid({"key": _("You need an API key. Create one under My keys.")})
    selected_key = document.get("key", ids[0] if len(ids) == 1 else None)
    if selected_key not in ids or isinstance(selected_key, bool):
        raise Invalid({"key": _("Select one of your keys.")})
    return int(selected_key)


def may_use_model(user: Any, snapshot: Snapshot, model: str) -> bool:
    """Whether a user may learn how requests for a model are sent; may query the database."""
    if not needs_personal_key(user):
        return True
    route = snapshot.route(model)
    keys = (snapshot.key_with_id(row.pk) for row in personal_keys(user))
    return route is not None and any(key is not None and may_use(key, route) for key in keys)


def with_usable_keys(models: list[Json], snapshot: Snapshot, rows: list[ApiKey]) -> list[Json]:
    """The models that at least one of these keys may call, with `keys`, the ids of those keys."""
    keys = [key for row in rows if (key := snapshot.key_with_id(row.pk)) is not None]
    usable = []
    for model in models:
        route = snapshot.route(model["id"])
        ids = [key.id for key in keys if route is not None and may_use(key, route)]
        if ids:
            usable.append({**model, "keys": ids})
    return usable
