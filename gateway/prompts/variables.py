"""`{{variable}}` in stored prompts and in evaluations, replaced by values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Variables = Mapping[str, Any]
# Without its white space the name would take cubic time on many spaces.
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


class MissingVariable(Exception):
    """A text uses a variable that has no value; `name` is the variable."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the variable {name} is missing")
        self.name = name


def render_text(text: str, variables: Variables) -> str:
    """The text with its placeholders replaced. Raises MissingVariable.

    A value that is not text is inserted as JSON. Values are not rendered again.
    """

    def replace(match: re.Match[str]) -> str:
        name = match[1].strip()
        if name not in variables:
            raise MissingVariable(name)
        return variable_text(variables[name])

    return _PLACEHOLDER.sub(replace, text)


def render_value(value: Any, variables: Variables) -> Any:
    """A JSON value with the placeholders in all its texts replaced. Raises MissingVariable."""
    if isinstance(value, str):
        return render_text(value, variables)
    if isinstance(value, list):
        return [render_value(item, variables) for item in value]
    if isinstance(value, dict):
        return {key: render_value(item, variables) for key, item in value.items()}
    return value


def names_in(texts: Iterable[str]) -> list[str]:
    """The variables that the texts use, in order of first use."""
    names = (name.strip() for text in texts for name in _PLACEHOLDER.findall(text))
    return list(dict.fromkeys(names))


def variable_text(value: Any) -> str:
    """A variable's value as text: texts unchanged, other values as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
