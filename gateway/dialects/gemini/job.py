"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.canon.naming import tool_names
from gateway.canon.request import Request, ToolCall
from gateway.canon.traits import Traits
from gateway.dialects.gemini.names import NAME
from gateway.dialects.job import BaseJob

# More than other dialects take, so most names stay as they are.
_NAME_LIMIT = 128
_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_FIRST = re.compile(r"[A-Za-z_]")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.:-]")


class Job(BaseJob):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        native: whether the client speaks this dialect too: what it left out it left out
            on purpose, and its own values mean here what they meant there.
        names: the client's tool names -> those sent.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.native = NAME in request.extra
        self.names = _legal(dict.fromkeys(_names(request)))

    def name(self, client_name: str) -> str:
        """The tool name to send."""
        return self.names.get(client_name) or _legal({client_name: None})[client_name]


def _names(request: Request) -> Iterator[str]:
    """All tool names: those on offer, and those of calls to tools no longer offered."""
    yield from (tool.name for tool in request.tools if tool.kind != "server")
    for turn in request.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))


def _legal(names: dict[str, None]) -> dict[str, str]:
    """Each name -> the name to send: it begins with a letter or `_`, and is its own.

    Dots and colons are legal here, so a name that has them stays as it is.
    """
    sent = {name: name for name in names if _LEGAL.fullmatch(name)}
    taken = set(sent)
    for name in names:
        if name in sent:
            continue
        plain = _ILLEGAL.sub("_", name)
        plain = plain if _FIRST.match(plain) else f"_{plain}"
        while (made := _short(plain)) in taken:
            plain += "_"
        taken.add(made)
        sent[name] = made
    return sent


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LIMIT else tool_names([name], _NAME_LIMIT)[name]
