"""Calls whose arguments Vertex AI streams in fragments (`streamFunctionCallArguments`).

The first part of the call has its name, later ones have `partialArgs`: values by JSON path, with
strings split into fragments. The call is complete with the first part without `willContinue`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from gateway.canon.errors import bad_upstream
from gateway.canon.json_values import list_or_empty
from gateway.dialects.gemini.context import Json
from gateway.dialects.shared.fields import string_or_empty

_PATH_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,5})\]|\['([^']*)'\]|\["([^"]*)"\]""")
_VALUES = ("stringValue", "numberValue", "boolValue")
# The largest accepted index beyond the end of a list, which is filled with nulls.
_MAX_GAP = 1000


class PartialCalls:
    """Collects the fragments of a call; complete calls are returned at once."""

    def __init__(self) -> None:
        # The call that will continue: its first part, signature and arguments.
        self._open: tuple[Json, str, PartialArguments] | None = None

    def add(self, call: Json, signature_value: str) -> list[tuple[Json, str]]:
        """The calls that this part completes, each with its signature.

        Raises GatewayError for a call without a name.
        """
        complete_calls: list[tuple[Json, str]] = []
        if string_or_empty(call.get("name")):
            complete_calls = self.close()
            self._open = call, signature_value, PartialArguments(call.get("args"))
        if self._open is None:
            # An empty part may follow the last fragment of a call.
            if call:
                raise bad_upstream("the upstream sent a tool call without a name")
            return []
        self._open[2].add(call.get("partialArgs"))
        return complete_calls if call.get("willContinue") is True else complete_calls + self.close()

    def close(self) -> list[tuple[Json, str]]:
        """The open call, if there is one."""
        if self._open is None:
            return []
        (call, signature_value, arguments), self._open = self._open, None
        return [({**call, "args": arguments.value}, signature_value)]


class PartialArguments:
    """Collects the fragments of one call's arguments."""

    def __init__(self, args: Any) -> None:
        self.value: Json = dict(args) if isinstance(args, dict) else {}
        # Paths of strings that continue in a later fragment.
        self._unfinished_paths: set[str] = set()

    def add(self, fragments: Any) -> None:
        """Add the `partialArgs` of a part. Raises GatewayError for an invalid path."""
        for fragment in list_or_empty(fragments):
            if not isinstance(fragment, dict):
                raise _invalid_fragment()
            path = string_or_empty(fragment.get("jsonPath"))
            steps = _parse_path(path)
            holder: Any = self.value
            for step, next_step in pairwise(steps):
                holder = _value_at_step(holder, step, [] if isinstance(next_step, int) else {})
            value = next((fragment[name] for name in _VALUES if name in fragment), None)
            if isinstance(value, str) and path in self._unfinished_paths:
                value = string_or_empty(_value_at_step(holder, steps[-1], "")) + value
            _store_value(holder, steps[-1], value)
            if fragment.get("willContinue") is True:
                self._unfinished_paths.add(path)
            else:
                self._unfinished_paths.discard(path)


def _parse_path(path: str) -> list[str | int]:
    """The keys and indexes in a path such as `$.stops[0].city`."""
    steps: list[str | int] = []
    position = 1
    while match := _PATH_STEP.match(path, position):
        key, index, *quoted_keys = match.groups()
        steps.append(int(index) if index else key or quoted_keys[0] or quoted_keys[1] or "")
        position = match.end()
    if not steps or not path.startswith("$") or position != len(path):
        raise _invalid_fragment()
    return steps


def _value_at_step(holder: Any, step: str | int, default: Any) -> Any:
    """The value at a step, created as the default if there is none."""
    if isinstance(holder, dict) and isinstance(step, str):
        return holder.setdefault(step, default)
    if isinstance(holder, list) and isinstance(step, int) and step < len(holder) + _MAX_GAP:
        holder += [None] * (step + 1 - len(holder))
        if holder[step] is None:
            holder[step] = default
        return holder[step]
    raise _invalid_fragment()


def _store_value(holder: Any, step: str | int, value: Any) -> None:
    _value_at_step(holder, step, value)
    holder[step] = value


def _invalid_fragment() -> Exception:
    return bad_upstream("the upstream sent a fragment of a call's arguments without a valid path")
