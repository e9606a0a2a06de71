"""A field of names and values, one pair a line."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from gateway.providers.redact import MASK, SECRET_HEADERS, scrub

REFERENCE = "os.environ/"
MAX_CHARS = 8000
_TELLTALE = ("key", "token", "secret", "auth", "cookie", "password")


class PairsField(forms.CharField):
    """Lines such as `Name: value` as a dictionary."""

    def __init__(self, *, separator: str, **kwargs: Any) -> None:
        self.separator = separator
        attrs = {"rows": 3, "spellcheck": "false"}
        super().__init__(
            required=False, max_length=MAX_CHARS, widget=forms.Textarea(attrs=attrs), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        """A dictionary as lines; what was typed stays as it is."""
        if not isinstance(value, dict):
            return value
        gap = " " if self.separator == ":" else ""
        return "\n".join(f"{name}{self.separator}{gap}{text}" for name, text in value.items())

    def to_python(self, value: Any) -> Any:
        """The pairs. Raises ValidationError for a line without a separator."""
        found: dict[str, str] = {}
        for line in str(super().to_python(value) or "").splitlines():
            if not line.strip():
                continue
            name, separator, text = line.partition(self.separator)
            if not separator or not name.strip():
                raise forms.ValidationError(
                    _("“%(line)s” has no “%(mark)s”."),
                    params={"line": line.strip()[:60], "mark": self.separator},
                )
            found[name.strip()] = text.strip()
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the lines mean something else than before."""
        return bool((initial or {}) != self.to_python(data))


def hidden(pairs: Any) -> dict[str, str]:
    """The pairs with what may be a secret as `***`; a reference to a variable is none."""
    if not isinstance(pairs, dict):
        return {}
    return {str(name): _shown(str(name), str(text)) for name, text in pairs.items()}


def _shown(name: str, text: str) -> str:
    if text.startswith(REFERENCE):
        return text
    lower = name.lower()
    told = lower in SECRET_HEADERS or any(part in lower for part in _TELLTALE)
    return MASK if told or scrub(text) != text else text
