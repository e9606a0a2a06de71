"""Template context of every console page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject

from console.access import is_admin
from console.nav import NAV, Entry
from console.setup_progress import pending
from gateway.models import ApiKey, Model, Provider, Route

THEMES = ("light", "dark")


def console(request: HttpRequest) -> dict[str, Any]:
    """Return `nav`, `theme`, `admin` and `first_run`; lazy, as only full pages query them."""
    return {
        "nav": SimpleLazyObject(lambda: _nav(request)),
        "theme": theme_of(request),
        "admin": SimpleLazyObject(lambda: is_admin(request.user)),
        "first_run": SimpleLazyObject(lambda: pending(request.user)),
    }


def theme_of(request: HttpRequest) -> str:
    """The selected theme; empty for the theme of the system."""
    theme = request.COOKIES.get("theme", "")
    return theme if theme in THEMES else ""


def _nav(request: HttpRequest) -> list[dict[str, Any]]:
    counts = {
        "providers": Provider.objects.count(),
        "models": Model.objects.count(),
        "routes": Route.objects.count(),
        "keys": ApiKey.objects.live().count(),
    }
    admin = is_admin(request.user)
    groups = [
        {
            "title": group.title,
            "entries": [
                {"entry": entry, "url": url, "count": counts.get(entry.page)}
                for entry in group.entries
                if (admin or not entry.admin) and (url := _url(entry))
            ],
        }
        for group in NAV
    ]
    return [group for group in groups if group["entries"]]


def _url(entry: Entry) -> str:
    try:
        return reverse(entry.page)
    except NoReverseMatch:
        return ""
