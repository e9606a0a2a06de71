"""What to check after a provider refused a connection test, or the list of its models."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from console.pages.providers.credential_hints import url_placeholders
from gateway.dialects import DIALECTS
from gateway.providers.catalog import PRESETS
from gateway.routing.snapshot import Provider

# Documentation of providers often shows the URL of an endpoint, which is then entered as base URL.
_ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/v1/messages", "/messages")


def failure_hint(provider: Provider, status: int | None, *, model: str = "") -> str:
    """What to check, by the HTTP status of a failure; empty if that is unknown.

    `model` is the one that was called, if the models were not listed. Status 200 is a failure if
    the response is something else than expected, such as a website.
    """
    if status in {401, 403}:
        return _("Check the key and its permissions.")
    if status not in {200, 404, 405}:
        return ""
    if status != 200 and (path := _appended_path(provider)):
        text = _(
            "Remove %(path)s from the base URL: the gateway appends the path of each endpoint."
        )
        return text % {"path": path}
    if status == 404 and model:
        return _("Leave the model empty to list the models of the provider.")
    if path := _missing_path(provider):
        return _("Check the base URL. It usually ends in %(path)s.") % {"path": path}
    return _("Check the base URL.")


def _appended_path(provider: Provider) -> str:
    """The end of the base URL that the gateway appends itself, such as the version; or empty."""
    path = DIALECTS[provider.dialect].provider.path("", stream=False, verb="generate")
    first_segment = "/" + path.split("/")[1]
    ends = (end for end in (*_ENDPOINTS, first_segment) if provider.base_url.endswith(end))
    return next(ends, "")


def _missing_path(provider: Provider) -> str:
    """The path of the preset's base URL if the provider's has none; otherwise empty."""
    preset = PRESETS.get(provider.preset)
    example = (preset.base_url or preset.url_example) if preset else ""
    if urlsplit(provider.base_url).path.strip("/") or url_placeholders(example):
        return ""
    return urlsplit(example).path.rstrip("/")
