"""The sidebar: one row per page."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Entry(NamedTuple):
    """A page in the sidebar: its URL's name, title, icon, and whether only admins have it."""

    page: str
    title: Promise
    icon: str
    admin: bool = False


class Group(NamedTuple):
    """Entries under a heading; the first group has none."""

    title: Promise | str
    entries: tuple[Entry, ...]


NAV: tuple[Group, ...] = (
    Group(
        "",
        (
            Entry("overview", _("Overview"), "layout-dashboard"),
            Entry("playground", _("Playground"), "flask-conical"),
            Entry("evaluate", _("Evaluate"), "check-check"),
            Entry("requests", _("Requests"), "scroll-text"),
        ),
    ),
    Group(
        _("Gateway"),
        (
            Entry("providers", _("Providers"), "plug"),
            Entry("models", _("Models"), "boxes"),
            Entry("routes", _("Routes"), "waypoints"),
            Entry("keys", _("API keys"), "key-round"),
        ),
    ),
    Group(
        _("Insight"),
        (
            Entry("usage", _("Usage"), "chart-column"),
            Entry("cost", _("Cost"), "file-spreadsheet"),
            Entry("health", _("Health"), "activity"),
        ),
    ),
    Group(
        _("Admin"),
        (
            Entry("users", _("Users"), "users", admin=True),
            Entry("teams", _("Teams"), "coins", admin=True),
            Entry("alerts", _("Alerts"), "triangle-alert", admin=True),
            Entry("changes", _("Changes"), "history", admin=True),
            Entry("settings", _("Settings"), "settings", admin=True),
        ),
    ),
)
