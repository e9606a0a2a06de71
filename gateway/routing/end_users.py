"""End users: the headers that name them, and the owners of their limits."""

from __future__ import annotations

import hashlib
import re
from typing import Any

# Headers of this gateway, of LiteLLM and of Open WebUI that name the end user.
END_USER_HEADERS = (
    "x-dragoman-end-user",
    "x-litellm-end-user-id",
    "x-litellm-customer-id",
    "x-openwebui-user-id",
    "x-openwebui-user-email",
)
MAX_HEADERS = 20
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"})


def end_user_owner(end_user: str, key_id: int = 0) -> str:
    """The owner of an end user's rules, for one key or (0) for all keys together."""
    digest = hashlib.sha256(end_user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"end_user:{digest}/key:{key_id}" if key_id else f"end_user:{digest}"


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
