"""The form of a stored prompt: its messages as rows, and default parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.form_fields import CODE_INPUT
from console.numbers import number_in
from console.optimistic_lock import ValuesLock
from gateway.models import Change, Prompt
from gateway.prompts.prompt import MAX_MESSAGES
from gateway.store.documents import KINDS

ROLES = (("system", _("System")), ("user", _("User")), ("assistant", _("Assistant")))
_COPIED_FIELDS = ("name", "description", "model", "temperature", "top_p", "max_tokens")
_PARAMETERS = ("temperature", "top_p", "max_tokens")


class PromptForm(ValuesLock, forms.Form):
    """A prompt: a stored one, `row`, or a new one. Messages without content are left out."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("Requests refer to it. It cannot be changed later."),
        widget=forms.TextInput(attrs=CODE_INPUT),
    )
    description = forms.CharField(label=_("Description"), max_length=300, required=False)
    model = forms.CharField(
        label=_("Model"),
        max_length=200,
        required=False,
        help_text=_("Used for requests without a model."),
        widget=forms.TextInput(attrs={**CODE_INPUT, "list": "prompt-models"}),
    )
    temperature = forms.FloatField(label=_("Temperature"), required=False, min_value=0, max_value=2)
    top_p = forms.FloatField(label=_("Top p"), required=False, min_value=0, max_value=1)
    max_tokens = forms.IntegerField(label=_("Max output tokens"), required=False, min_value=1)
    stop = forms.CharField(
        label=_("Stop sequences"),
        required=False,
        strip=False,
        help_text=_("One per line."),
        widget=forms.Textarea(attrs={**CODE_INPUT, "rows": 2, "class": "mono"}),
    )

    def __init__(self, *args: Any, row: Prompt | None = None, rows: int = 1, **kwargs: Any) -> None:
        self.row = row
        self.locked_values = None if row is None else KINDS["prompts"].read(row)
        super().__init__(*args, **kwargs)
        self.row_count = min(max(rows, 1), MAX_MESSAGES)
        if row is not None:
            self.fields["name"].widget.attrs["readonly"] = True
            self.fields["name"].help_text = ""
        for index in range(self.row_count):
            self.fields[f"role-{index}"] = forms.ChoiceField(
                label=_("Role"), choices=ROLES, initial="system" if index == 0 else "user"
            )
            self.fields[f"content-{index}"] = forms.CharField(
                label=_("Content"),
                required=False,
                strip=False,
                max_length=200_000,
                widget=forms.Textarea(attrs={"rows": 5}),
            )

    def last_editor(self) -> str:
        """The actor of the prompt's last change in the audit log."""
        change = Change.objects.of_row("prompt", self.row.pk).first() if self.row else None
        return change.actor if change else ""

    @property
    def message_rows(self) -> list[tuple[Any, Any]]:
        """The bound fields for role and content of each message."""
        return [(self[f"role-{n}"], self[f"content-{n}"]) for n in range(self.row_count)]

    def clean(self) -> dict[str, Any]:
        """Require a message with content."""
        values = self.cleaned_data
        if not messages_in(values, self.row_count) and "content-0" in values:
            self.add_error("content-0", _("Write a message."))
        return values

    def document(self) -> dict[str, Any]:
        """The document of a valid form."""
        values = self.cleaned_data
        parameters = {n: values[n] for n in _PARAMETERS if values[n] is not None}
        stop = [line for line in values["stop"].splitlines() if line]
        return {
            "name": values["name"],
            "description": values["description"],
            "model": values["model"],
            "messages": messages_in(values, self.row_count),
            "parameters": parameters | ({"stop": stop} if stop else {}),
        }


def row_count(typed: Mapping[str, Any]) -> int:
    """The number of message rows in submitted data."""
    number = number_in(str(typed.get("rows", "")))
    return 1 if number is None else min(number, MAX_MESSAGES)


def messages_in(values: Mapping[str, Any], rows: int) -> list[dict[str, str]]:
    """The messages of the rows that have content."""
    return [
        {"role": str(values.get(f"role-{n}", "user")), "content": text.replace("\r\n", "\n")}
        for n in range(rows)
        if (text := str(values.get(f"content-{n}", ""))).strip()
    ]


def initial_values(document: Mapping[str, Any]) -> dict[str, Any]:
    """Initial values of the form for a document."""
    parameters = document.get("parameters") or {}
    values: dict[str, Any] = {n: document.get(n, parameters.get(n)) for n in _COPIED_FIELDS}
    values["stop"] = "\n".join(parameters.get("stop") or ())
    for n, message in enumerate(document.get("messages") or ()):
        values[f"role-{n}"], values[f"content-{n}"] = message["role"], message["content"]
    return values
