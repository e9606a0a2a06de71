"""The forms of a guardrail: its settings by type, and the text to try it on."""

from __future__ import annotations

from typing import Any

import msgspec
from django import forms
from django.utils.translation import gettext_lazy as _

from console.form_fields import CODE_INPUT
from console.guardrail_labels import PII_LABELS
from console.optimistic_lock import OptimisticLock
from gateway.guardrails.guardrail import CANNOT_MASK
from gateway.guardrails.patterns import PII
from gateway.guardrails.settings import parse_settings, settings_json
from gateway.models import Guardrail, Provider
from gateway.providers.auth import VARIABLE_PREFIX
from gateway.store.field_values import InvalidField
from gateway.store.guardrails import guardrail_value

# Fields of each type, in the order of the form.
FIELDS_BY_KIND = {
    "patterns": ("pii", "patterns"),
    "moderation": ("provider", "model", "categories", "threshold"),
    "presidio": ("url", "language", "spacy_model", "entities", "min_score", "credential"),
    "litellm": ("url", "parameters", "credential"),
    "portkey": ("url", "metadata", "credential"),
}


def _line_field(label: Any, help_text: Any = "", **options: Any) -> forms.CharField:
    options = {"required": False, "max_length": 2000, **options}
    return forms.CharField(
        label=label, help_text=help_text, widget=forms.TextInput(attrs=CODE_INPUT), **options
    )


def _lines_field(label: Any, help_text: Any) -> forms.CharField:
    widget = forms.Textarea(attrs={**CODE_INPUT, "rows": 4, "class": "mono"})
    return forms.CharField(
        label=label, help_text=help_text, widget=widget, required=False, max_length=60_000
    )


class GuardrailForm(OptimisticLock, forms.ModelForm):  # type: ignore[type-arg]
    """A guardrail of one type. The stored credential is never displayed; empty keeps it."""

    pii = forms.MultipleChoiceField(
        label=_("Personal data and secrets"),
        choices=[(name, PII_LABELS[name]) for name in PII],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    patterns = _lines_field(
        _("Custom patterns"), _("One per line: a name, a colon, a regular expression.")
    )
    provider = forms.ChoiceField(label=_("Provider"), required=False)
    model = _line_field(_("Model"))
    categories = _line_field(_("Categories"), _("Comma-separated. Leave empty for all."))
    threshold = forms.FloatField(
        label=_("Minimum score"),
        required=False,
        min_value=0.0,
        max_value=1.0,
        help_text=_("0 to 1. Leave empty to use the provider's own verdict."),
    )
    url = _line_field(_("URL"))
    language = _line_field(_("Language"), max_length=10)
    spacy_model = _line_field(
        _("spaCy model"),
        _(
            "Without a URL: an installed package, such as en_core_web_sm. Leave empty to use "
            "patterns only."
        ),
        max_length=100,
    )
    entities = _line_field(
        _("Entities"), _("Comma-separated, such as PERSON, LOCATION. Leave empty for all.")
    )
    min_score = forms.FloatField(
        label=_("Minimum score"), required=False, min_value=0.0, max_value=1.0
    )
    parameters = _lines_field(_("Parameters"), _("A JSON object that is passed on to the service."))
    metadata = _lines_field(_("Metadata"), _("A JSON object that is passed on to the webhook."))
    credential = _line_field(_("Credential"), _("os.environ/NAME reads that environment variable."))

    class Meta:
        model = Guardrail
        fields = (
            *("name", "action", "check_requests", "check_responses", "everywhere"),
            *("on_error", "timeout_s", "position", "enabled"),
        )

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.kind_fields = FIELDS_BY_KIND[kind]
        for name in {n for names in FIELDS_BY_KIND.values() for n in names} - {*self.kind_fields}:
            del self.fields[name]
        labels = {
            "name": _("Name"),
            "action": _("Action"),
            "check_requests": _("Check requests"),
            "check_responses": _("Check responses"),
            "everywhere": _("Apply to all requests"),
            "on_error": _("On error"),
            "timeout_s": _("Timeout (s)"),
            "position": _("Position"),
            "enabled": _("Enabled"),
        }
        for name, label in labels.items():
            self.fields[name].label = label
        self.fields["everywhere"].help_text = _("Otherwise attach it to routes, keys and teams.")
        self.fields["position"].help_text = _("Guardrails run in this order, then by name.")
        if kind in CANNOT_MASK:
            self.fields["action"].choices = [  # type: ignore[attr-defined]
                choice for choice in Guardrail.Action.choices if choice[0] != "mask"
            ]
        if kind == "patterns":
            del self.fields["timeout_s"]
        for name in {"url", "provider"} & {*self.kind_fields}:
            self.fields[name].required = kind != "presidio"
        if kind == "presidio":
            self.fields["url"].help_text = _(
                "Leave empty to use Presidio's library on this machine."
            )
        if self.instance.pk:
            self.fields["name"].disabled = True
            self.fields["name"].help_text = _("Routes and keys refer to it by its name.")
        self._stored_credential = self.instance.credential
        self._stored_url = (self.instance.settings or {}).get("url")
        self._set_initial_values(self.instance.settings or {})

    def _set_initial_values(self, settings: dict[str, Any]) -> None:
        """Set the initial values of the fields of this type."""
        defaults = {"model": "omni-moderation-latest", "language": "en", "min_score": 0.5}
        for name in self.kind_fields:
            value = settings.get(name, defaults.get(name))
            if name == "patterns":
                value = "\n".join(f"{item['name']}: {item['pattern']}" for item in value or ())
            elif name in {"categories", "entities"}:
                value = ", ".join(value or ())
            elif name in {"parameters", "metadata"}:
                value = msgspec.json.format(msgspec.json.encode(value or {})).decode()
            elif name == "credential":
                stored_credential = self._stored_credential
                value = stored_credential if stored_credential.startswith(VARIABLE_PREFIX) else ""
                if stored_credential and not value:
                    self.fields[name].help_text = _("Leave empty to keep the stored one.")
            self.initial[name] = value
        if "provider" in self.fields:
            names = Provider.objects.live().values_list("name", flat=True)
            choices = [("", "—"), *((name, name) for name in sorted(names))]
            self.fields["provider"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Check the settings of the type, and that the guardrail can run."""
        values = super().clean() or {}
        if self.errors:
            return values
        row = self.instance
        row.kind = self.kind
        for name in self.Meta.fields:
            if name in values:
                setattr(row, name, values[name])
        try:
            row.settings = settings_json(parse_settings(self.kind, self._read_settings(values)))
            row.credential = self._clean_credential(values)
            guardrail_value(row)
        except InvalidField as error:
            self.add_error(error.field if error.field in self.fields else None, error.message)
        except ValueError as error:
            field, _colon, message = (
                str(error).removeprefix("settings").lstrip(".: ").partition(": ")
            )
            known = field in self.fields and message
            self.add_error(field if known else None, message if known else str(error))
        return values

    def _read_settings(self, values: dict[str, Any]) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for name in self.kind_fields:
            value = values.get(name)
            if name == "patterns":
                settings[name] = _parse_patterns(value or "")
            elif name in {"categories", "entities"}:
                settings[name] = [item.strip() for item in (value or "").split(",") if item.strip()]
            elif name in {"parameters", "metadata"}:
                settings[name] = _parse_object(name, value or "{}")
            elif name != "credential" and value not in (None, ""):
                settings[name] = value
        return settings

    def _clean_credential(self, values: dict[str, Any]) -> str:
        entered_credential = str(values.get("credential") or "").strip()
        stored = str(self._stored_credential)
        if entered_credential or not stored or "credential" not in self.kind_fields:
            return entered_credential
        if stored.startswith(VARIABLE_PREFIX):
            return ""  # the reference was displayed, and has been removed
        if self.instance.settings.get("url") != self._stored_url:
            message = str(_("Enter it again: the URL has changed."))
            raise InvalidField("credential", message)
        return stored


def _parse_patterns(text: str) -> list[dict[str, str]]:
    patterns = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, pattern = line.partition(":")
        if not colon or not name.strip() or not pattern.strip():
            message = _("enter a name, a colon and a regular expression in each line")
            raise ValueError(f"settings.patterns: {message}")
        patterns.append({"name": name.strip(), "pattern": pattern.strip()})
    return patterns


def _parse_object(name: str, text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise ValueError(f"settings.{name}: {_('enter a JSON object')}") from None


class TrialForm(forms.Form):
    """A text to try a guardrail on."""

    text = forms.CharField(
        label=_("Text"), max_length=20_000, widget=forms.Textarea(attrs={"rows": 4})
    )


class GuardrailChoiceField(forms.MultipleChoiceField):
    """The guardrails that a row is attached to."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Guardrails"),
            required=False,
            widget=forms.CheckboxSelectMultiple,
            choices=guardrail_choices,
        )


def guardrail_choices() -> list[tuple[str, str]]:
    """Guardrails that can be attached: names and labels."""
    return [(row.name, row.name) for row in Guardrail.objects.in_order()]
