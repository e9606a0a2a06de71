"""Reads fields of untrusted JSON, and collects what is wrong by field."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

Json = dict[str, Any]


class Invalid(Exception):
    """The input is refused; `errors` has words for each field at fault."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {words}" for field, words in errors.items()))
        self.errors = errors


class Errors:
    """What is wrong so far, by the dotted path of the field; the first word on each counts."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def add(self, field: str, words: str) -> None:
        """One more fault."""
        self.found.setdefault(field, words)

    def check(self) -> None:
        """Raise Invalid if there is any."""
        if self.found:
            raise Invalid(self.found)

    def text(self, holder: Json, name: str, at: str, *, most: int = 1_000_000) -> str:
        """A string; empty if it is not there."""
        value = holder.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.add(joined(at, name), _("This must be text."))
            return ""
        if len(value) > most:
            self.add(joined(at, name), _("At most %(most)d characters.") % {"most": most})
        return value

    def flag(self, holder: Json, name: str, at: str, *, default: bool) -> bool:
        """A yes or no."""
        value = holder.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.add(joined(at, name), _("This must be true or false."))
            return default
        return value

    def number(
        self, holder: Json, name: str, at: str, *, least: float, most: float
    ) -> float | None:
        """A number within bounds; None if it is not there."""
        value = holder.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add(joined(at, name), _("This must be a number."))
            return None
        if not least <= value <= most:
            words = _("From %(least)g to %(most)g.") % {"least": least, "most": most}
            self.add(joined(at, name), words)
            return None
        return value

    def whole(self, holder: Json, name: str, at: str, *, least: int, most: int) -> int | None:
        """A whole number within bounds; None if it is not there."""
        value = self.number(holder, name, at, least=least, most=most)
        if value is None:
            return None
        if int(value) != value:
            self.add(joined(at, name), _("This must be a whole number."))
            return None
        return int(value)

    def mapping(self, holder: Json, name: str, at: str) -> Json | None:
        """An object; None if it is not there."""
        value = holder.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.add(joined(at, name), _("This must be a JSON object."))
            return None
        return value

    def objects(self, holder: Json, name: str, at: str, *, most: int) -> list[tuple[str, Json]]:
        """A list of objects, each with its path; empty if it is not there."""
        value = holder.get(name)
        path = joined(at, name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.add(path, _("This must be a list."))
            return []
        if len(value) > most:
            self.add(path, _("At most %(most)d of them.") % {"most": most})
            return []
        for number, item in enumerate(value):
            if not isinstance(item, dict):
                self.add(f"{path}.{number}", _("This must be a JSON object."))
        return [(f"{path}.{n}", item) for n, item in enumerate(value) if isinstance(item, dict)]


def joined(at: str, name: str) -> str:
    """The dotted path of a field."""
    return f"{at}.{name}" if at else name


DEEPEST = 60


def storable(value: Any, depth: int = 0) -> bool:
    """Whether every database can keep it: no NUL in a text, and not nested without bounds."""
    if depth > DEEPEST:
        return False
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, list):
        return all(storable(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return all("\0" not in k and storable(v, depth + 1) for k, v in value.items())
    return True
