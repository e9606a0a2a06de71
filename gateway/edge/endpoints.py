"""Path -> what it is: the visible table of what the gateway serves.

Every path also works without `/v1` and below `/anthropic` (clients append their
own prefix to a base URL that already has one).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import msgspec

Action = Literal["generate", "count_tokens", "models", "model", "hello", "sink"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What one path does. `arg` is the part of the path after a prefix, if any."""

    name: str
    action: Action
    dialect: str
    methods: tuple[str, ...]
    arg: str = ""


_GET = ("GET", "HEAD")
_POST = ("POST",)
ENDPOINTS: dict[str, Endpoint] = {
    "chat/completions": Endpoint(
        name="/v1/chat/completions", action="generate", dialect="openai_chat", methods=_POST
    ),
    "messages": Endpoint(
        name="/v1/messages", action="generate", dialect="anthropic_messages", methods=_POST
    ),
    "messages/count_tokens": Endpoint(
        name="/v1/messages/count_tokens",
        action="count_tokens",
        dialect="anthropic_messages",
        methods=_POST,
    ),
    "models": Endpoint(name="/v1/models", action="models", dialect="openai_chat", methods=_GET),
    # Claude Code asks this before its first turn and sends its telemetry there.
    "api/hello": Endpoint(
        name="/api/hello", action="hello", dialect="anthropic_messages", methods=_GET
    ),
    "api/event_logging/batch": Endpoint(
        name="/api/event_logging/batch",
        action="sink",
        dialect="anthropic_messages",
        methods=_POST,
    ),
    # The bare base URL: answered so that a connection test by a client succeeds.
    "": Endpoint(name="/v1", action="hello", dialect="openai_chat", methods=_GET),
}
_MODEL = Endpoint(name="/v1/models/{id}", action="model", dialect="openai_chat", methods=_GET)
_PREFIX = re.compile(r"^/(?:anthropic(?:/|$))?(?:v1(?:/|$))?")

# What is the edge's and not Django's. Everything else is the console's.
_EDGE = re.compile(
    r"/(?:(?:anthropic|v1)(?:/.*)?"
    r"|(?:chat/completions|messages|messages/count_tokens|models|models/.+)/?"
    r"|api/(?:hello|event_logging/batch)"
    r"|health(?:/.*)?|metrics)",
    re.DOTALL,
)


@lru_cache(maxsize=1024)
def is_edge(path: str) -> bool:
    """Whether a path is the edge's to answer."""
    return _EDGE.fullmatch(path) is not None


@lru_cache(maxsize=1024)
def find(path: str) -> Endpoint | None:
    """The endpoint at a path, or None."""
    rest = _PREFIX.sub("", path, count=1).lstrip("/").rstrip("/")
    endpoint = ENDPOINTS.get(rest)
    if endpoint is not None:
        return endpoint
    if rest.startswith("models/"):
        return msgspec.structs.replace(_MODEL, arg=rest.removeprefix("models/"))
    return None


def dialect_of(path: str, headers: dict[str, str]) -> str:
    """Whose words an error at an unknown path is told in."""
    if path.startswith("/anthropic") or "anthropic-version" in headers or "/messages" in path:
        return "anthropic_messages"
    return "openai_chat"
