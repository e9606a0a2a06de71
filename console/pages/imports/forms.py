"""A LiteLLM file, uploaded or pasted, and encrypted between preview and import."""

from __future__ import annotations

import zlib
from typing import Any

from cryptography.fernet import InvalidToken
from django import forms
from django.utils.translation import gettext_lazy as _

from gateway.compat.litellm import config as litellm_config
from gateway.compat.litellm.config.reader import MAX_BYTES
from gateway.compat.litellm.config.upload import read_upload
from gateway.models.sealed import build_cipher

# Lifetime of a preview.
DRAFT_S = 3600


class ImportForm(forms.Form):
    """The file. It contains keys, so no preview displays it again."""

    file = forms.FileField(
        label=_("File"),
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".yaml,.yml,.txt", "class": "input"}),
    )
    text = forms.CharField(
        label=_("Or paste its contents"),
        required=False,
        max_length=MAX_BYTES,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "class": "input mono",
                "rows": 10,
                "spellcheck": "false",
                "wrap": "off",
                "placeholder": "model_list:\n  - model_name: fast\n    litellm_params:\n"
                "      model: openai/gpt-4.1-mini\n      api_key: os.environ/OPENAI_API_KEY",
            }
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Parse the file into `config` and `text`; an error names the line."""
        cleaned_data = super().clean() or {}
        if self.errors:
            return cleaned_data
        upload = cleaned_data.get("file")
        field = "file" if upload else "text"
        try:
            text = _decode_upload(upload) if upload else cleaned_data["text"]
            if not text.strip():
                raise forms.ValidationError(_("Choose a file or paste its contents."))
            cleaned_data["config"] = read_upload(text)
        except litellm_config.ConfigError as mistake:
            self.add_error(field, str(mistake))
        except forms.ValidationError as error:
            self.add_error(field, error)
        else:
            cleaned_data["text"] = text
        return cleaned_data


def _decode_upload(upload: Any) -> str:
    if upload.size > MAX_BYTES:
        raise forms.ValidationError(_("The file is larger than 1 MB."))
    try:
        return str(upload.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise forms.ValidationError(_("The file is not UTF-8 text.")) from None


def seal(text: str) -> str:
    """Encrypt the text for a hidden field, so that the page source does not reveal it."""
    return build_cipher().encrypt(zlib.compress(text.encode())).decode()


def unseal(draft: str) -> str | None:
    """Decrypt the text; None if the draft has expired or was not encrypted here."""
    try:
        inflater = zlib.decompressobj()
        text_bytes = inflater.decompress(
            build_cipher().decrypt(draft.encode(), ttl=DRAFT_S), MAX_BYTES * 4
        )
    except (InvalidToken, zlib.error, UnicodeEncodeError):
        return None
    return text_bytes.decode()
