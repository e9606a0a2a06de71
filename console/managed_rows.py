"""Rows that a configuration file or the environment manages: pages do not change them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from gateway.models import RegistryRow


def add_managed_message(request: HttpRequest, row: RegistryRow) -> None:
    """Tell the user where to change the row, on the next page."""
    text = _("%(name)s is managed by %(source)s; change it there.")
    messages.error(request, text % {"name": row, "source": row.managed_by})
