"""What a provider of a preset needs, told beside the fields: its key, its base URL.

By the kind of credential and by the words in capitals in the example of the base URL; a
new preset of a known kind needs nothing here.
"""

from __future__ import annotations

import re

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.providers.auth import AMBIENT
from gateway.providers.profile import Preset

# A kind of credential -> what to enter as the key.
KEYS: dict[str, Promise] = {
    "sigv4": gettext_lazy(
        "A Bedrock API key, or an AWS key as ID:SECRET (with :SESSION for a temporary one)."
    ),
    "google": gettext_lazy(
        "A service account's JSON, the path of its file, or a ready access token."
    ),
    "entra": gettext_lazy(
        "A ready token, or JSON with tenant_id, client_id and client_secret of an app."
    ),
}
# The same kind -> what is used where no key is given.
_MACHINE: dict[str, Promise] = {
    "sigv4": gettext_lazy("What AWS's chain finds: environment, profile, container, instance."),
    "google": gettext_lazy("Google's default credentials of this machine."),
}
# A kind of credential -> how it is sent.
SENT: dict[str, str | Promise] = {
    "bearer": "Authorization: Bearer",
    "x-api-key": "x-api-key",
    "api-key": "api-key",
    "x-goog-api-key": "x-goog-api-key",
    "google": gettext_lazy("Google access token"),
    "entra": gettext_lazy("Microsoft Entra access token"),
    "sigv4": gettext_lazy("AWS signature, or Bearer for a Bedrock API key"),
    "none": gettext_lazy("not at all"),
}
_BLANKS: dict[str, Promise] = {
    "RES": gettext_lazy("the name of your resource"),
    "ACCOUNT": gettext_lazy("your account's id"),
    "WORKSPACE": gettext_lazy("your workspace's name"),
    "PROJECT": gettext_lazy("your project's id"),
    "P": gettext_lazy("your project's id"),
}
_BLANK = re.compile(r"(?<=[/.])[A-Z]+(?=[/.]|$)")
_REGION = re.compile(r"\b(?:us|eu)-(?:[a-z]+-\d|[a-z]+\d)\b")


def blanks(url: str) -> list[str]:
    """The words of a base URL that stand for something of the operator's own."""
    found = dict.fromkeys(word for word in _BLANK.findall(url) if word in _BLANKS)
    return list(found)


def of_url(preset: Preset) -> str:
    """What to put into the base URL; empty where the preset's own is right for everybody."""
    example = preset.base_url or preset.url_example
    told = [f"{word}: {_BLANKS[word]}" for word in blanks(example)]
    region = _REGION.search(example)
    if region is not None:
        told.append(_("%(region)s: your region") % {"region": region.group()})
    return "; ".join(told) + "." if told else ""


def of_key(auth: str) -> str:
    """What to enter as the key; empty where it is just a key."""
    return str(KEYS.get(auth, ""))


def of_machine(auth: str) -> str:
    """What is used without a key; empty where that is nothing."""
    return str(_MACHINE[auth]) if auth in AMBIENT else ""
