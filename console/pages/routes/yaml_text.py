"""A route as YAML, to read and compare; routes contain no secrets."""

from __future__ import annotations

import difflib
from typing import Any, NamedTuple

import yaml

from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec, as_json

_DEFAULTS: dict[Any, dict[str, Any]] = {
    RouteSpec: as_json(RouteSpec(name="")),
    StepSpec: as_json(RouteSpec(name="", steps=(StepSpec(),)))["steps"][0],
    TargetSpec: as_json(
        RouteSpec(name="", steps=(StepSpec(targets=(TargetSpec(model=""),)),))
    )["steps"][0]["targets"][0],
}  # fmt: skip


class Line(NamedTuple):
    """A line of a diff: `add`, `drop`, `gap` or nothing, and its text."""

    kind: str
    text: str


def text(spec: RouteSpec) -> str:
    """Return the spec as YAML, without default values."""
    values = _without_defaults(as_json(spec), RouteSpec)
    values["steps"] = [_step_mapping(step) for step in as_json(spec)["steps"]]
    yaml_text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
    return yaml_text


def _step_mapping(step: dict[str, Any]) -> dict[str, Any]:
    fields = _without_defaults(step, StepSpec)
    targets = [_without_defaults(target, TargetSpec) for target in step["targets"]]
    return {**fields, "targets": targets}


def _without_defaults(fields: dict[str, Any], kind: type) -> dict[str, Any]:
    defaults = _DEFAULTS[kind]
    return {
        name: _only_differences(value, defaults.get(name))
        for name, value in fields.items()
        if value != defaults.get(name)
    }


def _only_differences(value: Any, default: Any) -> Any:
    """A value without its own defaults: limits list only the bounds that are set."""
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    return {
        name: setting
        for name, setting in value.items()
        if name not in default or setting != default[name]
    }


def difference(before: RouteSpec, after: RouteSpec) -> list[Line]:
    """Unified diff of two specs: changed lines, with context lines around them."""
    return line_difference(text(before), text(after))


def line_difference(before: str, after: str) -> list[Line]:
    """Unified diff of two texts: changed lines, with context lines around them."""
    old, new = before.splitlines(), after.splitlines()
    kinds = {"+": "add", "-": "drop", " ": "", "@": "gap"}
    diff_lines = list(difflib.unified_diff(old, new, n=3, lineterm=""))[2:]
    return [
        Line(kinds[line[0]], "" if line[0] == "@" else line[1:])
        for number, line in enumerate(diff_lines)
        # The first hunk needs no gap before it.
        if number or line[0] != "@"
    ]
