"""Template context of every console page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from console.nav import NAV, Entry
from console.setup_progress import is_setup_pending
from gateway.models import ApiKey, Model, Provider, Route
from gateway.roles import has_permission, role_of

THEMES = ("light", "dark")
ROLE_LABELS = {
    "admin": _("Admin"),
    "editor": _("Editor"),
    "viewer": _("Viewer"),
    "member": _("Member"),
}


def console(request: HttpRequest) -> dict[str, Any]:
    """Return `nav`, `theme`, `first_run` and what the user may do; lazy: most parts need none."""
    user = request.user
    return {
        "nav": SimpleLazyObject(lambda: _nav_groups(request)),
        "theme": theme_of(request),
        "admin": SimpleLazyObject(lambda: has_permission(user, "administer")),
        "editor": SimpleLazyObject(lambda: has_permission(user, "edit")),
        "viewer": SimpleLazyObject(lambda: has_permission(user, "view")),
        "role_label": SimpleLazyObject(lambda: ROLE_LABELS.get(role_of(user) or "", "")),
        "first_run": SimpleLazyObject(lambda: is_setup_pending(user)),
    }


def theme_of(request: HttpRequest) -> str:
    """The selected theme; empty for the theme of the system."""
    theme = request.COOKIES.get("theme", "")
    return theme if theme in THEMES else ""


def _nav_groups(request: HttpRequest) -> list[dict[str, Any]]:
    if not has_permission(request.user, "view"):
        return _visible_groups(request, {})
    counts = {
        "providers": Provider.objects.count(),
        "models": Model.objects.count(),
        "routes": Route.objects.count(),
        "keys": ApiKey.objects.live().count(),
    }
    return _visible_groups(request, counts)


def parent_nav_entry(request: HttpRequest) -> Entry | None:
    """The sidebar's entry that a page is below; None if the user may not see it."""
    for group in NAV:
        for entry in group.entries:
            # The URL of the overview ends with a slash: all pages are below it.
            if (url := _entry_url(entry)) and request.path.startswith(f"{url}/"):
                return entry if has_permission(request.user, entry.permission) else None
    return None


def _visible_groups(request: HttpRequest, counts: dict[str, int]) -> list[dict[str, Any]]:
    groups = [
        {
            "title": group.title,
            "entries": [
                {"entry": entry, "url": url, "count": counts.get(entry.page)}
                for entry in group.entries
                if has_permission(request.user, entry.permission) and (url := _entry_url(entry))
            ],
        }
        for group in NAV
    ]
    return [group for group in groups if group["entries"]]


def _entry_url(entry: Entry) -> str:
    try:
        return reverse(entry.page)
    except NoReverseMatch:
        return ""
