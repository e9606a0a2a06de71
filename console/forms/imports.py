"""A LiteLLM file: uploaded or pasted, then kept sealed between preview and import."""

from __future__ import annotations

import zlib
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from gateway import litellm
from gateway.litellm.reader import MAX_BYTES
from gateway.litellm.upload import read_upload

# How long a preview may be looked at.
DRAFT_S = 3600


class ImportForm(forms.Form):
    """The file. Its keys are in it, so that no preview shows it again."""

    file = forms.FileField(
        label=_("File"),
        required=False,
        widget=forms.ClearableFileInput(attrs={"accept": ".yaml,.yml,.txt", "class": "input"}),
    )
    text = forms.CharField(
        label=_("Or its text"),
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
        """Read it: `config` and `text` are what it says, an error names the line."""
        found = super().clean() or {}
        if self.errors:
            return found
        upload = found.get("file")
        field = "file" if upload else "text"
        try:
            text = _decoded(upload) if upload else found["text"]
            if not text.strip():
                raise forms.ValidationError(_("Choose a file, or paste its text."))
            found["config"] = read_upload(text)
        except litellm.Mistake as mistake:
            self.add_error(field, str(mistake))
        except forms.ValidationError as error:
            self.add_error(field, error)
        else:
            found["text"] = text
        return found


def _decoded(upload: Any) -> str:
    if upload.size > MAX_BYTES:
        raise forms.ValidationError(_("The file is larger than 1 MB."))
    try:
        return str(upload.read().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise forms.ValidationError(_("The file is not UTF-8 text.")) from None


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def seal(text: str) -> str:
    """The text for a hidden field: nobody who sees the page's source reads it."""
    return _cipher().encrypt(zlib.compress(text.encode())).decode()


def unseal(draft: str) -> str | None:
    """The text again; None if the draft is too old or not ours."""
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(_cipher().decrypt(draft.encode(), ttl=DRAFT_S), MAX_BYTES * 4)
    except (InvalidToken, zlib.error, UnicodeEncodeError):
        return None
    return plain.decode()
