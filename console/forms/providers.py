"""What may be set of a provider. Its key goes in and never comes out again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from console.dialects import title
from console.forms import needs
from console.forms.pairs import PairsField, hidden
from gateway import store
from gateway.dialects import DIALECTS
from gateway.models import Provider
from gateway.providers.auth import AUTH
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Preset
from gateway.routing.snapshot import Provider as ProviderValue
from gateway.routing.snapshot import Timeouts

MODES = (
    ("stored", _("Enter a key")),
    ("environment", _("Read from environment")),
    ("none", _("No key")),
)
_TIMES = {
    "connect_s": _("Connect"),
    "first_byte_s": _("First byte"),
    "idle_s": _("Between bytes"),
    "total_s": _("In all"),
}
# Where a refusal by the store belongs, by how its words begin.
_PLACES = (
    ("the base URL", "base_url"),
    ("it has no base URL", "base_url"),
    ("its name", "name"),
    ("headers", "headers"),
    ("query", "query"),
    ("the credential", "key"),
)
_PLAIN = {"spellcheck": "false", "autocapitalize": "none", "autocomplete": "off"}


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    """A provider on top of its preset: what is empty is as the preset says."""

    mode = forms.ChoiceField(label=_("Key"), choices=MODES, widget=forms.RadioSelect)
    key = forms.CharField(
        label=_("API key"),
        required=False,
        max_length=8000,
        widget=forms.PasswordInput(attrs={**_PLAIN, "autocomplete": "new-password"}),
    )
    base_url = forms.CharField(
        label=_("Base URL"),
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={**_PLAIN, "inputmode": "url"}),
    )
    dialect = forms.ChoiceField(label=_("API style"), required=False)
    auth = forms.ChoiceField(label=_("Key is sent as"), required=False)
    passthrough = forms.ChoiceField(
        label=_("Clients of the same API"),
        required=False,
        choices=(
            ("", _("As the preset says")),
            ("yes", _("Pass through untouched")),
            ("no", _("Always translate")),
        ),
    )
    headers = PairsField(
        label=_("Headers"),
        separator=":",
        help_text=_("One a line, Name: value. A value os.environ/NAME is looked up."),
    )
    query = PairsField(
        label=_("Query parameters"), separator="=", help_text=_("One a line, name=value.")
    )

    class Meta:
        model = Provider
        fields = ("name", "base_url", "dialect", "auth", "credential_env", "drop_params")
        labels = {
            "name": _("Name"),
            "credential_env": _("Variable"),
            "drop_params": _("Drop parameters it does not know"),
        }
        widgets = {
            "name": forms.TextInput(attrs=_PLAIN),
            "credential_env": forms.TextInput(attrs=_PLAIN),
        }
        help_texts = {
            "name": _("Stands before the slash in provider/model."),
        }

    def __init__(self, *args: Any, preset: Preset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.preset = preset
        row: Provider = self.instance
        row.preset = row.preset if row.pk else preset.name
        self._was = _origin(_url(row, preset)) if row.credential else None
        self._choices()
        for name, label in _TIMES.items():
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
        self.initial = {**self.initial, **self._first()}

    def _choices(self) -> None:
        """Choices and placeholders that depend on the preset."""
        preset = self.preset
        styles = [(name, title(name)) for name in DIALECTS]
        as_preset = _("As the preset: %(what)s")
        self.fields["dialect"].choices = [  # type: ignore[attr-defined]
            ("", as_preset % {"what": title(preset.dialect)}),
            *styles,
        ]
        self.fields["auth"].choices = [  # type: ignore[attr-defined]
            ("", as_preset % {"what": needs.SENT[preset.auth]}),
            *((name, needs.SENT[name]) for name in AUTH),
        ]
        self.fields["base_url"].required = not preset.base_url
        auth = self.instance.auth or preset.auth
        self.fields["base_url"].help_text = needs.of_url(preset)
        self.fields["key"].help_text = needs.of_key(auth)
        self.machine = needs.of_machine(auth)
        if self.machine:
            modes = [(n, _("The machine's own") if n == "none" else w) for n, w in MODES]
            self.fields["mode"].choices = modes  # type: ignore[attr-defined]
        example = preset.base_url or preset.url_example
        self.fields["base_url"].widget.attrs["placeholder"] = example
        # Only this field is sent along: in htmx a GET from inside a form takes no others.
        self.fields["credential_env"].widget.attrs |= {
            "hx-get": reverse("provider-variable"),
            "hx-trigger": "input changed delay:300ms",
            "hx-target": "#variable",
            "hx-swap": "innerHTML",
        }
        if self.instance.credential:
            self.fields["key"].widget.attrs["placeholder"] = _("Leave empty to keep the stored key")

    def _first(self) -> dict[str, Any]:
        """What the form shows of a row, or proposes for a new one."""
        row: Provider = self.instance
        found: dict[str, Any] = {
            "base_url": row.base_url or self.preset.base_url,
            "passthrough": "" if row.passthrough is None else "yes" if row.passthrough else "no",
            "headers": hidden(row.headers),
            "query": row.query or {},
        }
        if row.pk:
            stored = "stored" if row.credential else "none"
            return {**found, "mode": "environment" if row.credential_env else stored}
        env = self.preset.env
        ready = next((name for name in env if variable_is_set(name)), "")
        mode = "environment" if ready else "stored" if env or not self.preset.local else "none"
        proposed = {
            "name": _free_name(self.preset.name),
            "mode": mode,
            "credential_env": ready or (env[0] if env else ""),
        }
        return {**found, **proposed}

    def clean_base_url(self) -> str:
        """The URL; the preset's own is kept as "as the preset"."""
        url = str(self.cleaned_data["base_url"]).strip().rstrip("/")
        left = needs.blanks(url) if url == self.preset.url_example else []
        if left:
            raise forms.ValidationError(
                _("Put your own in place of %(words)s."), params={"words": ", ".join(left)}
            )
        return "" if url == self.preset.base_url else url

    def clean_headers(self) -> dict[str, str]:
        """The headers; a value that was shown as hidden is the one that was there."""
        found: dict[str, str] = self.cleaned_data["headers"]
        shown = hidden(self.instance.headers)
        return {
            name: self.instance.headers[name] if shown.get(name) == value else value
            for name, value in found.items()
        }

    def clean(self) -> dict[str, Any]:
        """A key where one is wanted, and one that goes only where it was meant for."""
        found = super().clean() or {}
        mode, key = found.get("mode"), found.get("key", "")
        named = found.get("credential_env") or "credential_env" in self.errors
        if mode == "environment" and not named:
            self.add_error("credential_env", _("Name the variable."))
        if mode == "stored" and not key and "key" not in self.errors:
            self._keep_key(found)
        return found

    def _keep_key(self, found: dict[str, Any]) -> None:
        """No new key was entered: the stored one must still go to the same server."""
        if not self.instance.credential:
            self.add_error("key", _("Enter the key, or choose another way."))
        elif _origin(found.get("base_url") or self.preset.base_url) != self._was:
            self.add_error(
                "key",
                _("The server is another one now. Enter the key again, so it is meant for it."),
            )

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self._fill()
        if self.errors:
            return
        try:
            self.value()
        except ValueError as error:
            words = str(error)
            place = next((field for start, field in _PLACES if words.startswith(start)), None)
            self.add_error(place, words[:1].upper() + words[1:])

    def _fill(self) -> None:
        """The fields of the row that are no fields of the model as they stand."""
        row, given = self.instance, self.cleaned_data
        row.passthrough = {"yes": True, "no": False}.get(given.get("passthrough", ""))
        row.headers = given.get("headers", {})
        # Null is the preset's own query, which an empty field leaves alone.
        row.query = given.get("query") or (None if row.query is None else {})
        row.timeouts = {name: given[name] for name in _TIMES if given.get(name)}
        if given.get("mode") != "environment":
            row.credential_env = ""
        if given.get("mode") != "stored":
            row.credential = ""

    @property
    def entered(self) -> str | None:
        """The key that was typed, if it is to be used."""
        key = self.cleaned_data.get("key", "").strip()
        return key if self.cleaned_data.get("mode") == "stored" and key else None

    def value(self) -> ProviderValue:
        """The provider as it would be called. Raises ValueError."""
        return store.provider_value(self.instance, self.entered)

    def save(self, commit: bool = True) -> Provider:  # noqa: FBT001, FBT002 - Django's signature
        """Write the row, and seal a key that was entered."""
        row: Provider = super().save(commit=commit)
        if self.entered is not None:
            store.set_credential(row, self.entered)
        return row


def variable_is_set(name: str) -> bool:
    """Whether a variable, or the file it names, holds a credential now."""
    try:
        return bool(name) and bool(store.credential_of(Provider(credential_env=name)))
    except LookupError:
        return False


def preset_of(row: Provider) -> Preset:
    """The preset of a row; that of an unknown one is `custom`, so that it can be mended."""
    return PRESETS.get(row.preset) or PRESETS["custom"]


def _url(row: Provider, preset: Preset) -> str:
    return row.base_url or preset.base_url


def _origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ("", url)
    return (parts.scheme, parts.netloc.lower())


def _free_name(base: str) -> str:
    """The preset's name, or it with a number behind."""
    taken = set(Provider.objects.values_list("name", flat=True))
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
