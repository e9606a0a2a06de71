"""The page that asks before a row is deleted, or something else that cannot be undone."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise


def delete_confirmation(
    request: HttpRequest,
    page: str,
    *,
    crumbs: Sequence[tuple[str, str | Promise]],
    title: str,
    consequence: str,
    label: str,
    row_version: str = "",
    icon_name: str = "trash-2",
) -> HttpResponse:
    """Render the question; its form posts to the URL of the question.

    `crumbs` are the URLs and names of the pages above; the last one is where Cancel leads.
    `row_version` is submitted with the form, so that the view notices a change in between.
    """
    context = {
        "page": page,
        "crumbs": crumbs,
        "title": title,
        "consequence": consequence,
        "label": label,
        "cancel_url": crumbs[-1][0],
        "row_version": row_version,
        "icon_name": icon_name,
    }
    return render(request, "console/components/delete.html", context)
