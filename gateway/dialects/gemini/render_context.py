"""The state of rendering one request: its target, and the report."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.canon.naming import assign_tool_names
from gateway.canon.request import Request, ToolCall
from gateway.canon.traits import Traits
from gateway.dialects.gemini.names import NAME
from gateway.dialects.shared.render_context import BaseRenderContext

# More than other dialects take, so most names stay as they are.
_NAME_LIMIT = 128
_VALID_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_VALID_FIRST_CHARACTER = re.compile(r"[A-Za-z_]")
_INVALID_CHARACTERS = re.compile(r"[^A-Za-z0-9_.:-]")


class RenderContext(BaseRenderContext):
    """The request, the traits of its target, and the report as it grows.

    Attributes:
        same_dialect: whether the client uses this dialect too: what it omitted it omitted
            on purpose, and its own values have the same meaning here.
        sent_names: the client's tool names -> those sent.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.same_dialect = NAME in request.extra
        self.sent_names = _valid_tool_names(dict.fromkeys(_client_tool_names(request)))

    def sent_name(self, client_name: str) -> str:
        """The tool name to send."""
        return (
            self.sent_names.get(client_name) or _valid_tool_names({client_name: None})[client_name]
        )


def _client_tool_names(request: Request) -> Iterator[str]:
    """All tool names: of the declared tools and of calls in the history."""
    yield from (tool.name for tool in request.tools if tool.kind != "server")
    for turn in request.turns:
        yield from (part.name for part in turn.parts if isinstance(part, ToolCall))


def _valid_tool_names(names: dict[str, None]) -> dict[str, str]:
    """Each name -> the name to send: it begins with a letter or `_`, and is its own.

    Dots and colons are legal here, so a name that has them stays as it is.
    """
    sent_names = {name: name for name in names if _VALID_NAME.fullmatch(name)}
    used_names = set(sent_names)
    for name in names:
        if name in sent_names:
            continue
        valid_name = _INVALID_CHARACTERS.sub("_", name)
        valid_name = valid_name if _VALID_FIRST_CHARACTER.match(valid_name) else f"_{valid_name}"
        while (unique_name := _shorten_name(valid_name)) in used_names:
            valid_name += "_"
        used_names.add(unique_name)
        sent_names[name] = unique_name
    return sent_names


def _shorten_name(name: str) -> str:
    return name if len(name) <= _NAME_LIMIT else assign_tool_names([name], _NAME_LIMIT)[name]
