"""Maps a person's claims to permission to sign in, a role, a team and a username."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from gateway.canon.json_values import string_items
from gateway.config.oidc import OidcSettings
from gateway.roles import PERMISSIONS, Role

Claims = Mapping[str, Any]
_MAX_NAME = 140
# Characters that Django's usernames do not have.
_INVALID_CHARS = re.compile(r"[^\w.@+-]+")


class Denied(Exception):
    """The person may not sign in; the message is for them."""


def merge_claims(extra_data: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of the ID token and of the userinfo response, which may have more of them.

    Raises Denied if their subjects differ, as the specification demands (OpenID Connect Core
    5.3.2), or there is none, which would be the same account for everyone.
    """
    id_token, userinfo = extra_data.get("id_token") or {}, extra_data.get("userinfo") or {}
    if id_token and userinfo and id_token.get("sub") != userinfo.get("sub"):
        raise Denied(_("The identity provider returned claims of two different users."))
    claims = {**id_token, **userinfo}
    if claims.get("sub") is None:
        raise Denied(_("The identity provider returned no subject."))
    return claims


def groups_of(claims: Claims, oidc: OidcSettings) -> list[str]:
    """The person's groups; empty if the claim is missing."""
    value: Any = claims.get(oidc.groups_claim)
    if value is None:
        value = claims
        for name in oidc.groups_claim.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return [value]
    return string_items(value)


def role_for(claims: Claims, oidc: OidcSettings) -> Role:
    """The person's role by their groups. Raises Denied."""
    roles = {
        oidc.role_groups[group] for group in groups_of(claims, oidc) if group in oidc.role_groups
    }
    if roles:
        return max(roles, key=lambda role: len(PERMISSIONS[role]))
    if oidc.default_role is None:
        raise Denied(_("None of your groups has access. Ask an admin."))
    return oidc.default_role


def team_for(claims: Claims, oidc: OidcSettings) -> str:
    """The name of the team of the person's first group that has one; empty if none."""
    groups = groups_of(claims, oidc)
    return next((team for group, team in oidc.team_groups.items() if group in groups), "")


def check_domain(claims: Claims, oidc: OidcSettings) -> None:
    """Raises Denied for an email address of another domain, or one that is not verified."""
    if not oidc.domains:
        return
    email = claims.get("email")
    domain = email.rpartition("@")[2].lower() if isinstance(email, str) else ""
    # Amazon Cognito's userinfo response has its booleans as text.
    is_unverified = claims.get("email_verified") in (False, "false")
    if domain not in oidc.domains or is_unverified:
        raise Denied(_("Your email domain is not allowed to sign in."))


def username_for(claims: Claims) -> str:
    """A username from the claims; it may be taken already."""
    for name in ("preferred_username", "email", "name", "sub"):
        value = claims.get(name)
        if isinstance(value, str) and (
            text := _INVALID_CHARS.sub("-", value).strip("-")[:_MAX_NAME]
        ):
            return text
    raise Denied(_("The identity provider returned no name."))
