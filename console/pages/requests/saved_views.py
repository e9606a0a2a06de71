"""Saved views of the Requests page: named searches."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from console.access import viewer
from console.delete_confirmation import delete_confirmation
from console.models import SavedView
from console.models.saved_view import MAX_VIEWS
from console.pages.requests.listing import state_of

MAX_NAME = 60


@require_POST
@viewer
def view_save(request: HttpRequest) -> HttpResponse:
    """Save the search in the URL under a name; replace a view of the same name."""
    query = state_of(request).address(cursor=None)
    return_url = f"{reverse('requests')}?{query}"
    name = " ".join(request.POST.get("name", "").replace("\0", "").split())
    if not 0 < len(name) <= MAX_NAME:
        messages.error(request, _("Enter a name of at most %d characters.") % MAX_NAME)
    elif SavedView.objects.save_view(request.user, name, query) is None:
        messages.error(request, _("You have %d views. Delete one first.") % MAX_VIEWS)
    else:
        messages.success(request, _("View %(name)s saved.") % {"name": name})
    return redirect(return_url)


@require_http_methods(["GET", "HEAD", "POST"])
@viewer
def view_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a view after a confirmation."""
    row = get_object_or_404(SavedView.objects.owned_by(request.user), pk=pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            "requests",
            crumbs=[(reverse("requests"), _("Requests"))],
            title=_("Delete %(name)s") % {"name": row.name},
            consequence=_("The saved search is deleted; requests are not."),
            label=_("Delete view"),
        )
    row.delete()
    messages.success(request, _("View %(name)s deleted.") % {"name": row.name})
    return redirect("requests")
