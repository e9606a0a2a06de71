"""Reads fields of untrusted JSON and collects error messages by field."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

Json = dict[str, Any]


class Invalid(Exception):
    """Invalid input; `errors` has a message for each field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in errors.items()))
        self.errors = errors


class FieldErrors:
    """Error messages by the dotted path of the field; keeps the first of each field."""

    def __init__(self) -> None:
        self.messages: dict[str, str] = {}

    def add(self, field: str, message: str) -> None:
        """Add a message unless the field has one."""
        self.messages.setdefault(field, message)

    def raise_if_any(self) -> None:
        """Raise Invalid if there are errors."""
        if self.messages:
            raise Invalid(self.messages)

    def text(
        self, container: Json, name: str, parent_path: str, *, max_length: int = 1_000_000
    ) -> str:
        """Read a string; empty if missing."""
        value = container.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.add(join_path(parent_path, name), _("This must be text."))
            return ""
        if len(value) > max_length:
            self.add(
                join_path(parent_path, name),
                _("At most %(most)d characters.") % {"most": max_length},
            )
        return value

    def flag(self, container: Json, name: str, parent_path: str, *, default: bool) -> bool:
        """Read a boolean."""
        value = container.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.add(join_path(parent_path, name), _("This must be true or false."))
            return default
        return value

    def number(
        self, container: Json, name: str, parent_path: str, *, minimum: float, maximum: float
    ) -> float | None:
        """Read a number within bounds; None if missing."""
        value = container.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add(join_path(parent_path, name), _("This must be a number."))
            return None
        if not minimum <= value <= maximum:
            message = _("From %(least)g to %(most)g.") % {"least": minimum, "most": maximum}
            self.add(join_path(parent_path, name), message)
            return None
        return value

    def integer(
        self, container: Json, name: str, parent_path: str, *, minimum: int, maximum: int
    ) -> int | None:
        """Read an integer within bounds; None if missing."""
        value = self.number(container, name, parent_path, minimum=minimum, maximum=maximum)
        if value is None:
            return None
        if int(value) != value:
            self.add(join_path(parent_path, name), _("This must be a whole number."))
            return None
        return int(value)

    def mapping(self, container: Json, name: str, parent_path: str) -> Json | None:
        """Read an object; None if missing."""
        value = container.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.add(join_path(parent_path, name), _("This must be a JSON object."))
            return None
        return value

    def objects(
        self, container: Json, name: str, parent_path: str, *, max_count: int
    ) -> list[tuple[str, Json]]:
        """Read a list of objects, each with its path; empty if missing."""
        value = container.get(name)
        path = join_path(parent_path, name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.add(path, _("This must be a list."))
            return []
        if len(value) > max_count:
            self.add(path, _("At most %(most)d of them.") % {"most": max_count})
            return []
        for number, item in enumerate(value):
            if not isinstance(item, dict):
                self.add(f"{path}.{number}", _("This must be a JSON object."))
        return [(f"{path}.{n}", item) for n, item in enumerate(value) if isinstance(item, dict)]


def join_path(parent_path: str, name: str) -> str:
    """Dotted path of a field."""
    return f"{parent_path}.{name}" if parent_path else name


MAX_DEPTH = 60


def is_storable(value: Any, depth: int = 0) -> bool:
    """Whether every database can store the value: no NUL, and at most MAX_DEPTH levels."""
    if depth > MAX_DEPTH:
        return False
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, list):
        return all(is_storable(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return all("\0" not in k and is_storable(v, depth + 1) for k, v in value.items())
    return True
