"""Sign-in through an OpenID Connect provider: `DRAGOMAN_OIDC_*`, checked at the start."""

from __future__ import annotations

import json
from typing import NamedTuple, cast, get_args
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from gateway.config import environment as env
from gateway.roles import Role

_ROLES: tuple[Role, ...] = get_args(Role)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EXAMPLE = '{"cn=ml,ou=groups,dc=example": "editor"}'


class OidcSettings(NamedTuple):
    """One OpenID Connect provider, and what its claims mean here.

    Attributes:
        name: shown on the sign-in page.
        groups_claim: the claim with a person's groups; `a.b` is field `b` of claim `a`.
        role_groups: group -> role; the role with the most permissions wins.
        team_groups: group -> name of the team that the person's own keys join.
        default_role: the role of people in none of `role_groups`; None refuses them.
        domains: email domains that may sign in; empty for all.
        create_users: whether people without an account get one.
        password_login: whether accounts can also sign in by password.
    """

    issuer: str
    client_id: str
    client_secret: str
    name: str
    scopes: tuple[str, ...]
    groups_claim: str
    role_groups: dict[str, Role]
    team_groups: dict[str, str]
    default_role: Role | None
    domains: tuple[str, ...]
    create_users: bool
    password_login: bool


def read_oidc_settings() -> OidcSettings | None:
    """Read the variables; None without an issuer. Raises ImproperlyConfigured."""
    issuer = env.text("DRAGOMAN_OIDC_ISSUER").strip()
    if not issuer:
        return None
    env.require_extra("DRAGOMAN_OIDC_ISSUER", "allauth", "sso")
    parts = urlsplit(issuer)
    if not (parts.hostname and not parts.query and not parts.fragment) or not (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    ):
        raise ImproperlyConfigured(
            "DRAGOMAN_OIDC_ISSUER must be an https URL such as https://login.example.com/realms/a"
        )
    client_id = env.text("DRAGOMAN_OIDC_CLIENT_ID").strip()
    client_secret = env.text("DRAGOMAN_OIDC_CLIENT_SECRET").strip()
    for name, value in (("CLIENT_ID", client_id), ("CLIENT_SECRET", client_secret)):
        if not value:
            raise ImproperlyConfigured(
                f"DRAGOMAN_OIDC_{name} is required with DRAGOMAN_OIDC_ISSUER"
            )
    role_groups = _parse_pairs("DRAGOMAN_OIDC_ROLE_GROUPS")
    for group, role in role_groups.items():
        _check_role("DRAGOMAN_OIDC_ROLE_GROUPS", role, f" for {group!r}")
    default_role = env.text("DRAGOMAN_OIDC_DEFAULT_ROLE", "member").strip().lower()
    if default_role != "none":
        _check_role("DRAGOMAN_OIDC_DEFAULT_ROLE", default_role, " or none")
    elif not role_groups:
        raise ImproperlyConfigured(
            "DRAGOMAN_OIDC_DEFAULT_ROLE=none needs DRAGOMAN_OIDC_ROLE_GROUPS: no one could sign in"
        )
    return OidcSettings(
        issuer=issuer.rstrip("/"),
        client_id=client_id,
        client_secret=client_secret,
        name=env.text("DRAGOMAN_OIDC_NAME", "single sign-on").strip(),
        scopes=tuple(env.text("DRAGOMAN_OIDC_SCOPES", "openid profile email").split()),
        groups_claim=env.text("DRAGOMAN_OIDC_GROUPS_CLAIM", "groups").strip(),
        role_groups=cast("dict[str, Role]", role_groups),
        team_groups=_parse_pairs("DRAGOMAN_OIDC_TEAM_GROUPS"),
        default_role=None if default_role == "none" else cast("Role", default_role),
        domains=tuple(name.lower().lstrip("@") for name in env.names("DRAGOMAN_OIDC_DOMAINS")),
        create_users=env.boolean("DRAGOMAN_OIDC_CREATE_USERS", default=True),
        password_login=env.boolean("DRAGOMAN_PASSWORD_LOGIN", default=True),
    )


def _parse_pairs(variable: str) -> dict[str, str]:
    """Parse `group=value,group=value`, or a JSON object, whose names may contain commas.

    Groups of the list may contain `=`, as in LDAP names.
    """
    if env.text(variable).lstrip().startswith("{"):
        return _json_pairs(variable)
    pairs = {}
    for item in env.names(variable):
        group, equals, value = item.rpartition("=")
        if not (equals and group.strip() and value.strip()):
            raise ImproperlyConfigured(
                f"{variable} must be a list such as engineers=editor,staff=member, not {item!r}; "
                f"group names with commas need {_EXAMPLE}"
            )
        pairs[group.strip()] = value.strip()
    return pairs


def _json_pairs(variable: str) -> dict[str, str]:
    try:
        items = json.loads(env.text(variable), object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise ImproperlyConfigured(
            f"{variable} begins with {{ but is not JSON such as {_EXAMPLE}: {error}"
        ) from None
    pairs: dict[str, str] = {}
    for group, value in items:
        if not (isinstance(value, str) and group.strip() and value.strip()):
            raise ImproperlyConfigured(
                f"{variable} must map names of groups to names, such as {_EXAMPLE}, "
                f"which is wrong at {group!r}"
            )
        if group.strip() in pairs:
            raise ImproperlyConfigured(f"{variable} contains the group {group.strip()!r} twice")
        pairs[group.strip()] = value.strip()
    return pairs


def _check_role(variable: str, role: str, source: str) -> None:
    if role not in _ROLES:
        names = ", ".join(_ROLES)
        raise ImproperlyConfigured(f"{variable}{source}: {role!r} is not one of {names}")
