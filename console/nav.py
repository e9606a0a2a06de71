"""The sidebar: one row per page."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.roles import Permission


class Entry(NamedTuple):
    """A page in the sidebar: its URL's name, title, icon, and the permission it needs."""

    page: str
    title: Promise
    icon: str
    permission: Permission = "view"


class Group(NamedTuple):
    """Entries under a heading; the first group has none."""

    title: Promise | str
    entries: tuple[Entry, ...]


NAV: tuple[Group, ...] = (
    Group(
        "",
        (
            Entry("overview", _("Overview"), "layout-dashboard"),
            Entry("playground", _("Playground"), "flask-conical", "playground"),
            Entry("evaluate", _("Evaluate"), "check-check"),
            Entry("prompts", _("Prompts"), "message-square"),
            Entry("requests", _("Requests"), "scroll-text"),
            Entry("traces", _("Traces"), "git-merge"),
        ),
    ),
    Group(
        _("Personal"),
        (
            Entry("personal-keys", _("My keys"), "key-round", "personal"),
            Entry("personal-requests", _("My requests"), "scroll-text", "personal"),
            Entry("personal-traces", _("My traces"), "git-merge", "personal"),
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
            Entry("users", _("Users"), "users", "administer"),
            Entry("teams", _("Teams"), "coins", "edit"),
            Entry("guardrails", _("Guardrails"), "shield", "administer"),
            Entry("alerts", _("Alerts"), "triangle-alert", "administer"),
            Entry("changes", _("Audit log"), "history", "administer"),
            Entry("settings", _("Settings"), "settings", "administer"),
        ),
    ),
)
