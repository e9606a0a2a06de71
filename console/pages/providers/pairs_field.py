"""A field of names and values, one pair per line."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from gateway.providers.auth import VARIABLE_PREFIX
from gateway.providers.redact import MASK, is_secret_name, scrub

MAX_CHARS = 8000


class PairsField(forms.CharField):
    """Lines such as `Name: value` as a dictionary."""

    def __init__(self, *, separator: str, **kwargs: Any) -> None:
        self.separator = separator
        attrs = {"rows": 3, "spellcheck": "false"}
        super().__init__(
            required=False, max_length=MAX_CHARS, widget=forms.Textarea(attrs=attrs), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        """A dictionary as lines; entered text is unchanged."""
        if not isinstance(value, dict):
            return value
        gap = " " if self.separator == ":" else ""
        return "\n".join(f"{name}{self.separator}{gap}{text}" for name, text in value.items())

    def to_python(self, value: Any) -> Any:
        """The pairs. Raises ValidationError for a line without a separator."""
        pairs: dict[str, str] = {}
        for line in str(super().to_python(value) or "").splitlines():
            if not line.strip():
                continue
            name, separator, text = line.partition(self.separator)
            if not separator or not name.strip():
                raise forms.ValidationError(
                    _("“%(line)s” has no “%(separator)s”."),
                    params={"line": line.strip()[:60], "separator": self.separator},
                )
            pairs[name.strip()] = text.strip()
        return pairs

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the pairs differ from the initial ones."""
        return bool((initial or {}) != self.to_python(data))


def mask_pairs(pairs: Any) -> dict[str, str]:
    """The pairs with possible secrets as `***`; a reference to a variable is no secret."""
    if not isinstance(pairs, dict):
        return {}
    return {str(name): _mask_value(str(name), str(text)) for name, text in pairs.items()}


def _mask_value(name: str, text: str) -> str:
    if text.startswith(VARIABLE_PREFIX):
        return text
    return MASK if is_secret_name(name) or scrub(text) != text else text
