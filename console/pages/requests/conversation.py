"""The Conversation tab of a request, and the files in its messages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.access import may_read_bodies, signed_in
from console.pages.requests.canonical import LoggedRequest, request_of, response_of
from console.pages.requests.log_search import find_request
from console.pages.requests.messages import IMAGE_TYPES, conversation_of, stored_media
from gateway import store
from gateway.models import ApiKey, RequestLog
from gateway.relay.exchange.log_record import Bodies

_RESPONSE_PREFIX, _REQUEST_PREFIX = "resp_", "req_"
# Types that are sent as they are; anything else might be a page with scripts.
_SERVED_TYPES = (*IMAGE_TYPES, "application/pdf")


def conversation_context(row: RequestLog, bodies: Bodies | None) -> dict[str, Any]:
    """Template context of the tab; empty without bodies."""
    if bodies is None:
        return {}
    logged_request, logged_response = request_of(row, bodies), response_of(row, bodies)
    return {
        "logged_request": logged_request,
        "conversation": conversation_of(logged_request, logged_response, row.pk),
        "previous": _previous_request(logged_request),
        "cut_response": _is_response_truncated(bodies),
    }


def _is_response_truncated(bodies: Bodies) -> bool:
    """Whether the log has only the beginning of the response."""
    name = "upstream_response" if bodies.upstream_response else "client_response"
    return name in bodies.truncated


def _previous_request(logged_request: LoggedRequest) -> RequestLog | None:
    """The logged request whose response this one continues."""
    if not logged_request.continues.startswith(_RESPONSE_PREFIX):
        return None
    return RequestLog.objects.by_id(
        _REQUEST_PREFIX + logged_request.continues.removeprefix(_RESPONSE_PREFIX)
    )


@signed_in
@require_safe
def request_media(request: HttpRequest, request_id: str, number: int) -> HttpResponse:
    """An image, audio file or document of a request; anything unusual is a download."""
    row = find_request(request_id)
    if not (may_read_bodies(request.user) or ApiKey.objects.owns(request.user, row.key_id)):
        raise PermissionDenied
    try:
        bodies = store.load_bodies(row.pk)
    except ValueError:
        bodies = None
    if bodies is None:
        raise Http404(_("The bodies of this request are not stored."))
    media = stored_media(request_of(row, bodies), response_of(row, bodies), number)
    if media is None:
        raise Http404(_("This request has no such file."))
    is_served = media.media_type in _SERVED_TYPES or media.media_type.startswith("audio/")
    response = HttpResponse(
        media.content,
        content_type=media.media_type if is_served else "application/octet-stream",
    )
    is_download = not is_served or media.media_type == "application/pdf"
    disposition = "attachment" if is_download else "inline"
    response["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{quote(media.name)}"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, max-age=3600"
    return response
