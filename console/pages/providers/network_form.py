"""The network part of a provider's form: proxy and certificates."""

from __future__ import annotations

from copy import copy
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.form_fields import CODE_INPUT
from console.optimistic_lock import OptimisticLock
from gateway.models import Provider
from gateway.providers.network import mask_proxy, unmask_proxy
from gateway.store.documents.provider import is_new_recipient, recipient_of


def _pem_field(label: Any, block: str, help_text: Any) -> forms.CharField:
    placeholder = f"-----BEGIN {block}-----"
    widget = forms.Textarea(attrs={**CODE_INPUT, "rows": 3, "placeholder": placeholder})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


class NetworkForm(OptimisticLock, forms.ModelForm):  # type: ignore[type-arg]
    """Fields of a provider's connections. The client's key is write-only."""

    proxy = forms.CharField(
        label=_("Proxy"),
        required=False,
        max_length=2000,
        widget=forms.TextInput(attrs={**CODE_INPUT, "placeholder": "http://proxy:3128"}),
        help_text=_(
            "http://, https:// or socks5://, with user:password@ if needed. “direct” is no proxy; "
            "empty is the environment’s (HTTPS_PROXY, NO_PROXY)."
        ),
    )
    # Not a checkbox: a form without it must not switch verification off.
    ssl_verify = forms.ChoiceField(
        label=_("TLS certificate"),
        required=False,
        choices=(("", _("Verify")), ("no", _("Do not verify (insecure)"))),
    )
    ca_certificates = _pem_field(
        _("Trusted authorities"),
        "CERTIFICATE",
        _(
            "PEM text; trusted instead of the usual authorities. os.environ/NAME reads a variable, "
            "or the file that NAME_FILE names."
        ),
    )
    client_certificate = _pem_field(
        _("Client certificate"),
        "CERTIFICATE",
        _("PEM text with its chain, if the server requires one."),
    )
    client_key = _pem_field(
        _("Client key"),
        "PRIVATE KEY",
        _("PEM text, encrypted before it is stored and never shown."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: Provider = self.instance
        self._saved_recipient = recipient_of(row) if row.pk else None
        self._saved_proxy, self._saved_client_key = row.proxy, row.client_key
        if row.client_key:
            attrs = self.fields["client_key"].widget.attrs
            attrs["placeholder"] = _("Leave empty to keep the stored key")
        self.initial = {
            **self.initial,
            "proxy": mask_proxy(row.proxy),
            "ssl_verify": "" if row.ssl_verify else "no",
            "ca_certificates": row.ca_certificates,
            "client_certificate": row.client_certificate,
        }

    def clean_proxy(self) -> str:
        """The URL, with the stored password if it is masked."""
        return unmask_proxy(str(self.cleaned_data["proxy"]).strip(), self._saved_proxy)

    def clean_client_key(self) -> str:
        """The entered key, or the stored one while there is a certificate."""
        entered_key = str(self.cleaned_data["client_key"]).strip()
        return entered_key or (self._saved_client_key if self["client_certificate"].value() else "")

    def is_recipient_changed(self, cleaned_data: dict[str, Any]) -> bool:
        """Whether secrets that are stored would reach someone they were not entered for."""
        if self._saved_recipient is None:
            return False
        requested_provider = copy(self.instance)
        requested_provider.base_url = cleaned_data.get("base_url") or ""
        requested_provider.proxy = cleaned_data.get("proxy") or ""
        requested_provider.ca_certificates = cleaned_data.get("ca_certificates") or ""
        requested_provider.ssl_verify = cleaned_data.get("ssl_verify") != "no"
        return is_new_recipient(self._saved_recipient, recipient_of(requested_provider))

    def set_network(self, row: Provider) -> None:
        """Set the columns of the row."""
        for name in ("proxy", "ca_certificates", "client_certificate", "client_key"):
            setattr(row, name, self.cleaned_data.get(name, ""))
        row.ssl_verify = self.cleaned_data.get("ssl_verify") != "no"
