"""Help texts of the provider form: which key and base URL to enter.

They depend on the kind of credential and on the placeholders in capitals in the example
of the base URL. A new preset with a supported kind of credential needs no entry here.
"""

from __future__ import annotations

import re

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.providers.auth import AMBIENT_CREDENTIAL_SCHEMES
from gateway.providers.profile import Preset

# A kind of credential -> what to enter as the key.
KEY_HINTS: dict[str, Promise] = {
    "sigv4": gettext_lazy(
        "A Bedrock API key, or an AWS key as ID:SECRET (add :SESSION for temporary credentials)."
    ),
    "google": gettext_lazy("Service account JSON, the path of its file, or an access token."),
    "entra": gettext_lazy(
        "An access token, or JSON with tenant_id, client_id and client_secret of an app."
    ),
}
# Kind of credential -> what is used if no key is entered.
_AMBIENT_HINTS: dict[str, Promise] = {
    "sigv4": gettext_lazy("The AWS credential chain: environment, profile, container, instance."),
    "google": gettext_lazy("Google application default credentials of this machine."),
}
# A kind of credential -> how it is sent.
AUTH_LABELS: dict[str, str | Promise] = {
    "bearer": "Authorization: Bearer",
    "x-api-key": "x-api-key",
    "api-key": "api-key",
    "x-goog-api-key": "x-goog-api-key",
    "google": gettext_lazy("Google access token"),
    "entra": gettext_lazy("Microsoft Entra access token"),
    "sigv4": gettext_lazy("AWS signature, or Bearer for a Bedrock API key"),
    "none": gettext_lazy("No authentication"),
}
_PLACEHOLDERS: dict[str, Promise] = {
    "RES": gettext_lazy("the name of your resource"),
    "ACCOUNT": gettext_lazy("your account's id"),
    "TENANT": gettext_lazy("your tenant's id"),
    "WORKSPACE": gettext_lazy("your workspace's name"),
    "PROJECT": gettext_lazy("your project's id"),
    "P": gettext_lazy("your project's id"),
}
_PLACEHOLDER_PATTERN = re.compile(r"(?<=[/.])[A-Z]+(?=[/.]|$)")
_REGION_PATTERN = re.compile(r"\b(?:us|eu)-(?:[a-z]+-\d|[a-z]+\d)\b")


def url_placeholders(url: str) -> list[str]:
    """Placeholders in a base URL that the operator must replace."""
    placeholders = dict.fromkeys(
        name for name in _PLACEHOLDER_PATTERN.findall(url) if name in _PLACEHOLDERS
    )
    return list(placeholders)


def base_url_hint(preset: Preset) -> str:
    """Hint for the base URL field; empty if the preset's URL suits everyone."""
    example = preset.base_url or preset.url_example
    hints = [f"{name}: {_PLACEHOLDERS[name]}" for name in url_placeholders(example)]
    region = _REGION_PATTERN.search(example)
    if region is not None:
        hints.append(_("%(region)s: your region") % {"region": region.group()})
    return "; ".join(hints) + "." if hints else ""


def key_hint(auth: str) -> str:
    """Hint for the key field; empty for a plain API key."""
    return str(KEY_HINTS.get(auth, ""))


def ambient_hint(auth: str) -> str:
    """Credentials used if no key is entered; empty if there are none."""
    return str(_AMBIENT_HINTS[auth]) if auth in AMBIENT_CREDENTIAL_SCHEMES else ""
