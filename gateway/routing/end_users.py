"""End users: the headers that name them, and the owners of their limits."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from gateway.routing.limits import Budget, Limits

# Headers of this gateway, of LiteLLM and of Open WebUI that name the end user.
END_USER_HEADERS = (
    "x-dragoman-end-user",
    "x-litellm-end-user-id",
    "x-litellm-customer-id",
    "x-openwebui-user-id",
    "x-openwebui-user-email",
)
MAX_HEADERS = 20
# Of the owners of end users' limits.
OWNER_PREFIX = "end_user:"
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"})


class EndUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits and budget of one end user, which replace the defaults of all end users.

    Attributes:
        alias: a name for people.
        blocked: whether all requests are rejected.
        limits: counted over all keys; without any, the defaults of all end users apply.
        budget: likewise.
    """

    alias: str = ""
    blocked: bool = False
    limits: Limits = Limits()
    budget: Budget = Budget()


# The only limit of a blocked end user; no other limit can be 0.
BLOCKED = Limits(requests_per_day=0)


def limits_of(end_user: EndUser | None, limits: Limits, budget: Budget) -> tuple[Limits, Budget]:
    """The limits and the budget of an end user; `limits` and `budget` are the defaults."""
    if end_user is None:
        return limits, budget
    if end_user.blocked:
        return BLOCKED, Budget()
    return (
        end_user.limits if end_user.limits != Limits() else limits,
        end_user.budget if end_user.budget != Budget() else budget,
    )


def end_user_owner(end_user: str, key_id: int = 0) -> str:
    """The owner of an end user's rules, for one key or (0) for all keys together."""
    digest = hashlib.sha256(end_user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    owner = f"{OWNER_PREFIX}{digest}"
    return f"{owner}/key:{key_id}" if key_id else owner


def parse_header_names(value: Any) -> tuple[str, ...]:
    """Names of headers in lower case. Raises ValueError for anything else."""
    if not isinstance(value, list | tuple) or len(value) > MAX_HEADERS:
        raise ValueError(f"must be a list of at most {MAX_HEADERS} names of headers")
    for name in value:
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"`{str(name)[:80]}` is not the name of a header")
        if name.lower() in _SECRET_HEADERS:
            raise ValueError(f"`{name}` contains a credential")
    return tuple(dict.fromkeys(name.lower() for name in value))
