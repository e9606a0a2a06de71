"""Public links to runs: created and revoked by editors."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from console.access import editor
from console.models import PlaygroundRun, RunShare

PAGE = "playground"
# Days until a link expires; there are no links for ever.
EXPIRIES = {"1": gettext_lazy("1 day"), "7": gettext_lazy("7 days"), "30": gettext_lazy("30 days")}
_DEFAULT_EXPIRY = "7"
# Valid links of one person.
MAX_LINKS = 200


@require_http_methods(["GET", "HEAD", "POST"])
@editor
def share_links(request: HttpRequest) -> HttpResponse:
    """The links that are valid; with `run`, the form that creates one for it."""
    run = _find_run(request)
    if request.method != "POST":
        return _render_page(request, run)
    if run is None:
        raise Http404(_("This run does not exist."))
    days = request.POST.get("days", "")
    if run.ended_at is None:
        return _render_page(request, run, problem=_("Wait until the run has ended."))
    if days not in EXPIRIES:
        return _render_page(request, run, problem=_("Choose when the link expires."))
    if RunShare.objects.owned_by(request.user).valid().count() >= MAX_LINKS:
        return _render_page(
            request, run, problem=_("Revoke a link first: you have %d.") % MAX_LINKS
        )
    _row, token = RunShare.objects.create_link(
        run, request.user, int(days), with_prompt="prompt" in request.POST
    )
    url = request.build_absolute_uri(reverse("shared-run", args=[token]))
    return _render_page(request, run, url=url)


@require_POST
@editor
def share_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Revoke a link; it stops working immediately."""
    get_object_or_404(RunShare.objects.visible_to(request.user), pk=pk).delete()
    messages.success(request, _("The link was revoked."))
    return redirect("share-links")


def _find_run(request: HttpRequest) -> PlaygroundRun | None:
    """The run that the URL or the form names. Raises Http404 if the user may not see it."""
    text = request.POST.get("run", "") or request.GET.get("run", "")
    if not text:
        return None
    try:
        return PlaygroundRun.objects.visible_to(request.user).get(uuid=UUID(text))
    except (ValueError, PlaygroundRun.DoesNotExist):
        raise Http404(_("This run does not exist.")) from None


def _render_page(
    request: HttpRequest, run: PlaygroundRun | None, *, url: str = "", problem: str = ""
) -> HttpResponse:
    links = RunShare.objects.visible_to(request.user).valid().select_related("run", "owner")
    refused = request.POST if problem else None
    context: dict[str, Any] = {
        "page": PAGE,
        "run": run,
        "url": url,
        "problem": problem,
        "expiries": EXPIRIES.items(),
        "days": _DEFAULT_EXPIRY if refused is None else refused.get("days"),
        "with_prompt": refused is None or "prompt" in refused,
        "links": links.order_by("expires_at")[: MAX_LINKS * 2],
    }
    status = 422 if problem else 200
    response = render(request, "console/shares/page.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response
