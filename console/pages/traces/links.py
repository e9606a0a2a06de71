"""Names of the URLs to which pages of traces lead: of all traces, or of a person's own."""

from __future__ import annotations

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Links(NamedTuple):
    """The title of the pages, and names of URLs; `page` is the entry in the sidebar."""

    title: Promise
    page: str
    list: str
    trace: str
    span: str
    request: str


ALL = Links(_("Traces"), "traces", "traces", "trace", "trace-span", "request")
PERSONAL_LINKS = Links(
    _("My traces"),
    "personal-traces",
    "personal-traces",
    "personal-trace",
    "personal-trace-span",
    "personal-request",
)
