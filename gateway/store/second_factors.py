"""Second factors in the database, for a program without the extra `sso` that stored them.

Without django-allauth there are no models of its tables, which are therefore read by SQL. An
account with a second factor cannot sign in then, as the factor cannot be checked.
"""

from __future__ import annotations

from django.conf import settings
from django.db import connection

INSTALL = "pip install 'dragoman[sso]'"
_FACTORS = "mfa_authenticator"
# Tables of django-allauth with rows of a user, and the condition; each before the ones it names.
_ROWS_OF_USER = (
    (
        "socialaccount_socialtoken",
        "account_id IN (SELECT id FROM socialaccount_socialaccount WHERE user_id = %s)",
    ),
    ("socialaccount_socialaccount", "user_id = %s"),
    (
        "account_emailconfirmation",
        "email_address_id IN (SELECT id FROM account_emailaddress WHERE user_id = %s)",
    ),
    ("account_emailaddress", "user_id = %s"),
    (_FACTORS, "user_id = %s"),
)


def stored_kinds(user_id: int) -> list[str]:
    """Return the kinds of a user's second factors, read without django-allauth."""
    if not _existing_tables({_FACTORS}):
        return []
    query = f"SELECT type FROM {_FACTORS} WHERE user_id = %s ORDER BY type"  # noqa: S608 - constant
    with connection.cursor() as cursor:
        cursor.execute(query, [user_id])
        return [kind for (kind,) in cursor.fetchall()]


def remove_stored_factors(user_id: int) -> None:
    """Remove a user's second factors, without django-allauth."""
    _delete_rows(user_id, _ROWS_OF_USER[-1:])


def remove_stored_rows(user_id: int) -> None:
    """Remove all of a user's rows in django-allauth's tables, before the user's own."""
    _delete_rows(user_id, _ROWS_OF_USER)


def missing_package_warning() -> str:
    """Describe the accounts that cannot sign in because `sso` is missing; empty if there are none.

    With the extra installed, the database is not read.
    """
    if settings.SSO_INSTALLED or not _existing_tables({_FACTORS}):
        return ""
    query = (
        "SELECT COUNT(*) FROM auth_user WHERE is_active AND id IN "  # noqa: S608 - constant
        f"(SELECT user_id FROM {_FACTORS})"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        (count,) = cursor.fetchone()
    if not count:
        return ""
    accounts = "1 account has" if count == 1 else f"{count} accounts have"
    return (
        f"{accounts} a second factor, which cannot be checked because a package is not "
        f"installed, and cannot sign in to the console: {INSTALL}, and start again"
    )


def _delete_rows(user_id: int, conditions: tuple[tuple[str, str], ...]) -> None:
    existing_tables = _existing_tables({table for table, _ in conditions})
    with connection.cursor() as cursor:
        for table, condition in conditions:
            if table in existing_tables:
                cursor.execute(f"DELETE FROM {table} WHERE {condition}", [user_id])  # noqa: S608 - constants


def _existing_tables(names: set[str]) -> set[str]:
    return names & set(connection.introspection.table_names())
