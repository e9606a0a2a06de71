"""The form of a provider. Its key is write-only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from console.dialects import title
from console.form_fields import CODE_INPUT
from console.pages.providers import credential_hints
from console.pages.providers.network_form import NetworkForm
from console.pages.providers.pairs_field import PairsField, mask_pairs
from gateway import store
from gateway.dialects import DIALECTS
from gateway.models import Provider
from gateway.providers.auth import AUTH_SCHEMES
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset
from gateway.providers.redact import MASK
from gateway.routing.snapshot import Provider as ProviderValue
from gateway.routing.snapshot import Timeouts
from gateway.store.documents.provider import field_of
from gateway.store.field_values import InvalidField

MODES = (
    ("stored", _("Enter a key")),
    ("environment", _("Read from environment")),
    ("none", _("No key")),
)
_TIMEOUT_LABELS = {
    "connect_s": _("Connect"),
    "first_byte_s": _("First byte"),
    "idle_s": _("Between bytes"),
    "total_s": _("Total"),
}
# Field of a document -> field of the form, if the names differ.
_FORM_FIELDS = {"credential": "key"}


class ProviderForm(NetworkForm):
    """A provider based on its preset: an empty field uses the preset's value."""

    mode = forms.ChoiceField(label=_("Key"), choices=MODES, widget=forms.RadioSelect)
    key = forms.CharField(
        label=_("API key"),
        required=False,
        max_length=8000,
        widget=forms.PasswordInput(attrs={**CODE_INPUT, "autocomplete": "new-password"}),
    )
    base_url = forms.CharField(
        label=_("Base URL"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={**CODE_INPUT, "inputmode": "url"}),
    )
    dialect = forms.ChoiceField(label=_("API format"), required=False)
    auth = forms.ChoiceField(label=_("Authentication"), required=False)
    passthrough = forms.ChoiceField(
        label=_("Passthrough"),
        required=False,
        choices=(
            ("", _("Preset default")),
            ("yes", _("Pass requests through unchanged")),
            ("no", _("Always translate")),
        ),
    )
    headers = PairsField(
        label=_("Headers"),
        separator=":",
        help_text=_("One per line, as Name: value. os.environ/NAME reads a variable."),
    )
    query = PairsField(
        label=_("Query parameters"), separator="=", help_text=_("One per line, as name=value.")
    )

    class Meta:
        model = Provider
        fields = (
            "name",
            "base_url",
            "dialect",
            "auth",
            "credential_env",
            "drop_params",
            "client_credential",
        )
        labels = {
            "name": _("Name"),
            "credential_env": _("Variable"),
            "drop_params": _("Drop unsupported parameters"),
            "client_credential": _("Send the client's own credential"),
        }
        widgets = {
            "name": forms.TextInput(attrs=CODE_INPUT),
            "credential_env": forms.TextInput(attrs=CODE_INPUT),
        }
        help_texts = {
            "name": _("Prefix in provider/model."),
            "drop_params": _(
                "Removes parameters that the model rejects from passthrough requests and reports "
                "them, such as temperature for reasoning models."
            ),
            "client_credential": _(
                "For clients that send the gateway key as x-dragoman-key: their Authorization or "
                "x-api-key goes to this provider instead of its credential."
            ),
        }

    def __init__(self, *args: Any, preset: Preset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.preset = preset
        row: Provider = self.instance
        row.preset = row.preset if row.pk else preset.name
        self._saved_pairs = {"headers": row.headers or {}, "query": row.query or {}}
        self._set_choices()
        for name, label in _TIMEOUT_LABELS.items():
            self.fields[name] = forms.FloatField(
                label=label,
                required=False,
                min_value=0.1,
                max_value=86_400,
                initial=row.timeouts.get(name) if isinstance(row.timeouts, dict) else None,
                widget=forms.NumberInput(
                    attrs={"step": "any", "placeholder": f"{getattr(Timeouts(), name):g}"}
                ),
            )
        self.initial = {**self.initial, **self._initial_values()}

    @property
    def shows_dialect(self) -> bool:
        """Whether the API format is one of the first fields: the preset is for any server."""
        return not self.preset.base_url and not self.preset.env

    def _set_choices(self) -> None:
        """Choices and placeholders that depend on the preset."""
        preset = self.preset
        dialect_choices = [(name, title(name)) for name in DIALECTS]
        preset_default = _("Preset default: %(label)s")
        self.fields["dialect"].choices = [  # type: ignore[attr-defined]
            ("", preset_default % {"label": title(preset.dialect)}),
            *dialect_choices,
        ]
        self.fields["auth"].choices = [  # type: ignore[attr-defined]
            ("", preset_default % {"label": credential_hints.AUTH_LABELS[preset.auth]}),
            *((name, credential_hints.AUTH_LABELS[name]) for name in AUTH_SCHEMES),
        ]
        self.fields["base_url"].required = not preset.base_url
        auth = self.instance.auth or preset.auth
        self.fields["base_url"].help_text = credential_hints.base_url_hint(preset)
        self.fields["key"].help_text = credential_hints.key_hint(auth)
        self.ambient_hint = credential_hints.ambient_hint(auth)
        if self.ambient_hint:
            modes = [(n, _("Machine credentials") if n == "none" else w) for n, w in MODES]
            self.fields["mode"].choices = modes  # type: ignore[attr-defined]
        example = preset.base_url or preset.url_example
        self.fields["base_url"].widget.attrs["placeholder"] = example
        # In htmx, a GET from inside a form sends no other fields.
        self.fields["credential_env"].widget.attrs |= {
            "hx-get": reverse("provider-variable"),
            "hx-trigger": "input changed delay:300ms",
            "hx-target": "#variable",
            "hx-swap": "innerHTML",
        }
        if self.instance.credential:
            self.fields["key"].widget.attrs["placeholder"] = _("Leave empty to keep the stored key")

    def _initial_values(self) -> dict[str, Any]:
        """Initial values of a saved provider, or proposals for a new one."""
        row: Provider = self.instance
        initial: dict[str, Any] = {
            "base_url": row.base_url or self.preset.base_url,
            "passthrough": "" if row.passthrough is None else "yes" if row.passthrough else "no",
            "headers": mask_pairs(row.headers),
            "query": mask_pairs(row.query),
        }
        if row.pk:
            key_mode = "stored" if row.credential else "none"
            return {**initial, "mode": "environment" if row.credential_env else key_mode}
        env = self.preset.env
        set_variable = next((name for name in env if variable_is_set(name)), "")
        mode = (
            "environment" if set_variable else "stored" if env or not self.preset.local else "none"
        )
        proposed = {
            "name": _free_name(self.preset.name),
            "mode": mode,
            "credential_env": set_variable or (env[0] if env else ""),
        }
        return {**initial, **proposed}

    def clean_base_url(self) -> str:
        """The URL; empty if it equals the preset's."""
        url = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        unfilled = credential_hints.url_placeholders(url) if url == self.preset.url_example else []
        if unfilled:
            raise forms.ValidationError(
                _("Replace %(placeholders)s with your own values."),
                params={"placeholders": ", ".join(unfilled)},
            )
        return "" if url == self.preset.base_url else url

    def _restore_masked_values(self, cleaned_data: dict[str, Any]) -> None:
        """Replace masked values by the saved ones, if the server is still the same."""
        recipient_changed = self.is_recipient_changed(cleaned_data)
        for field, saved in self._saved_pairs.items():
            entered_pairs: dict[str, str] = cleaned_data.get(field) or {}
            masked_names = [
                name for name, value in entered_pairs.items() if value == MASK and name in saved
            ]
            if masked_names and recipient_changed:
                message = _("The server has changed. Enter %s again to confirm sending it there.")
                self.add_error(field, message % ", ".join(masked_names))
            cleaned_data[field] = {**entered_pairs, **{name: saved[name] for name in masked_names}}

    def clean(self) -> dict[str, Any]:
        """Require a key if the mode needs one; a saved key goes to the saved server only."""
        cleaned_data = super().clean() or {}
        mode, key = cleaned_data.get("mode"), cleaned_data.get("key", "")
        has_variable = cleaned_data.get("credential_env") or "credential_env" in self.errors
        if mode == "environment" and not has_variable:
            self.add_error("credential_env", _("Enter the name of the variable."))
        if mode == "stored" and not key and "key" not in self.errors:
            self._check_stored_key(cleaned_data)
        self._restore_masked_values(cleaned_data)
        return cleaned_data

    def _check_stored_key(self, cleaned_data: dict[str, Any]) -> None:
        """Without a new key, the stored one must still go to the same server."""
        if not self.instance.credential:
            self.add_error("key", _("Enter a key, or choose another option."))
        elif self.is_recipient_changed(cleaned_data):
            self.add_error(
                "key",
                _("The server has changed. Enter the key again to confirm sending it there."),
            )

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self._apply_to_instance()
        if self.errors:
            return
        try:
            self.provider_value()
        except ValueError as error:
            message = error.message if isinstance(error, InvalidField) else str(error)
            document_field = field_of(error)
            field = _FORM_FIELDS.get(document_field, document_field)
            message = message[:1].upper() + message[1:]
            self.add_error(field if field in self.fields else None, message)

    def _apply_to_instance(self) -> None:
        """Set columns of the row that have no model field in this form."""
        row, cleaned_data = self.instance, self.cleaned_data
        row.passthrough = {"yes": True, "no": False}.get(cleaned_data.get("passthrough", ""))
        row.headers = cleaned_data.get("headers", {})
        self.set_network(row)
        # Null means the preset's own query, which an empty field does not change.
        row.query = cleaned_data.get("query") or (None if row.query is None else {})
        row.timeouts = {
            name: cleaned_data[name] for name in _TIMEOUT_LABELS if cleaned_data.get(name)
        }
        if cleaned_data.get("mode") != "environment":
            row.credential_env = ""
        if cleaned_data.get("mode") != "stored":
            row.credential = ""

    @property
    def entered_key(self) -> str | None:
        """The entered key, if the mode is to store one."""
        key = self.cleaned_data.get("key", "").strip()
        return key if self.cleaned_data.get("mode") == "stored" and key else None

    def provider_value(self) -> ProviderValue:
        """The provider as the gateway would call it. Raises ValueError."""
        return store.provider_value(self.instance, self.entered_key)

    def save(self, commit: bool = True) -> Provider:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row, and encrypt an entered key."""
        row: Provider = super().save(commit=commit)
        if self.entered_key is not None:
            store.set_credential(row, self.entered_key)
        return row


def variable_is_set(name: str) -> bool:
    """Whether a variable, or the file it names, contains a credential."""
    try:
        return bool(name) and bool(store.credential_of(Provider(credential_env=name)))
    except LookupError:
        return False


def preset_of(row: Provider) -> Preset:
    """The preset of a row; `custom` for an unknown one, so that it can be edited."""
    return PRESETS.get(row.preset) or PRESETS["custom"]


def _free_name(base: str) -> str:
    """The preset's name, with a number appended if it is in use."""
    used_names = set(Provider.objects.values_list("name", flat=True))
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(used_names) + 2))
    return next(name for name in names if name not in used_names)
