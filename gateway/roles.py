"""Roles of people and what each may do, for the console's views and the management API.

An admin has `is_staff`; the role of anyone else is in their `Account`, viewer without one.
Reading prompts and responses of others is a permission of its own, `MAY_READ_BODIES`, which
admins always have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Role = Literal["admin", "editor", "viewer", "member"]
# personal    create, rotate and revoke personal keys within the limits of the account; see their
#             requests
# playground  run prompts in the playground: with `view` within its budget per day, else with a
#             personal key
# view        see the console and the log, without credentials
# edit        change models, routes, prompts, keys, teams, prices and markups
# administer  change users, providers and their credentials, alerts and settings; import; see the
#             audit log
Permission = Literal["personal", "playground", "view", "edit", "administer"]

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    "admin": frozenset({"personal", "playground", "view", "edit", "administer"}),
    "editor": frozenset({"personal", "playground", "view", "edit"}),
    "viewer": frozenset({"playground", "view"}),
    "member": frozenset({"personal", "playground"}),
}
MAY_READ_BODIES = "gateway.view_requestbody"


def role_of(user: Any) -> Role | None:
    """The role of a signed-in user; None for anonymous and deactivated users."""
    if not (user.is_authenticated and user.is_active):
        return None
    if user.is_staff:
        return "admin"
    account = getattr(user, "account", None)
    role: Role = account.role if account is not None else "viewer"
    return role


def has_permission(user: Any, permission: Permission) -> bool:
    """Whether the user's role has the permission; may query the database for the account."""
    role = role_of(user)
    return role is not None and permission in PERMISSIONS[role]


def may_read_bodies(user: Any) -> bool:
    """Whether a user may read prompts and responses of others; queries the database."""
    role = role_of(user)
    if role == "admin":
        return True
    return role is not None and "view" in PERMISSIONS[role] and user.has_perm(MAY_READ_BODIES)


def may_rotate(user: Any, owner_id: int | None) -> bool:
    """Whether a user who may edit keys may get a new secret of one; `owner_id` is its owner.

    The secret of a key also reads its stored responses, files and batches; that of a personal key
    also reads the prompts and responses of its requests.
    """
    return owner_id == user.pk or may_read_bodies(user)
