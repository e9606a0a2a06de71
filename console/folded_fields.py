"""Forms that show a few fields and fold the others under "Advanced"."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms

# Initial values that are no reason to open the fold; an unticked box is another one.
_DEFAULTS: tuple[Any, ...] = (None, "", "all", [])


class FoldedFields(forms.BaseForm):
    """A form whose fields, except `FIRST_FIELDS`, are folded."""

    FIRST_FIELDS: ClassVar[frozenset[str]] = frozenset()

    @property
    def opens_advanced(self) -> bool:
        """Whether a folded field has an error, or a value other than its default."""
        folded_names = [
            name
            for name, field in self.fields.items()
            if name not in self.FIRST_FIELDS and not field.widget.is_hidden
        ]
        return any(name in self.errors or self._has_value(name) for name in folded_names)

    def _has_value(self, name: str) -> bool:
        field = self.fields[name]
        value = self.get_initial_for_field(field, name)
        return value is not False and value not in (*_DEFAULTS, field.initial)
