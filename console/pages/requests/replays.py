"""Sending a logged request once more, to the same route or another."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.access import may_read_bodies, viewer
from console.pages.requests.find import row_of
from console.pages.requests.translation import verb_of
from gateway import store
from gateway.dialects import DIALECTS
from gateway.models import RequestLog
from gateway.relay import inside
from gateway.relay.entry import Bodies

WHO = "replay"
# The log's user agent of a replay names its original.
_AGENT = "replay of {}"
_OF = re.compile(r"replay of ([A-Za-z0-9._\-]{1,64})")
_MOST_REPLAYS = 200
_WAIT_S = 4.0
_LOOK_S = 0.1
_KEPT_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")


def original_of(row: RequestLog) -> RequestLog | None:
    """The request that this one repeats."""
    match = _OF.fullmatch(row.user_agent) if row.key_prefix == WHO else None
    if match is None:
        return None
    return RequestLog.objects.identified(match[1]).before(row.pk).newest(1).first()


def replays_of(row: RequestLog) -> list[RequestLog]:
    """Newer repeats of this request, as far as the last replays go back."""
    repeats = RequestLog.objects.having("key_prefix", [WHO]).after(row.pk).newest(_MOST_REPLAYS)
    return [other for other in repeats if other.user_agent == _AGENT.format(row.request_id)]


@viewer
@require_POST
async def request_replay(request: HttpRequest, request_id: str) -> HttpResponse:
    """Ask again, then show the new row."""
    user = await request.auser()
    if not await sync_to_async(may_read_bodies)(user):
        raise PermissionDenied
    row, bodies = await sync_to_async(_load)(request_id)
    here = reverse("request", args=[row.pk])
    route = request.POST.get("route", "").strip()
    body = _body(row, bodies, route)
    if body is None:
        words = _("This request can not be sent again: its body is not stored whole.")
        await sync_to_async(messages.error)(request, words)
        return _to(request, here)
    headers = {"user-agent": _AGENT.format(row.request_id)}
    if bodies is not None:
        kept = {n: v for n, v in bodies.client_headers.items() if n in _KEPT_HEADERS}
        headers = {**kept, **headers}
    entry = await inside.ask(
        dialect=row.client_dialect,
        body=body,
        who=WHO,
        headers=headers,
        model=route or row.requested_model,
        stream=row.stream,
        endpoint=row.endpoint,
        verb=verb_of(row),
    )
    written = await _written(entry.id)
    if written is None:
        words = _("Sent again; the log is behind, so its row will appear in the list shortly.")
        await sync_to_async(messages.info)(request, words)
        return _to(request, reverse("requests"))
    return _to(request, f"{reverse('request', args=[written])}?range=all")


def _load(request_id: str) -> tuple[RequestLog, Bodies | None]:
    row = row_of(request_id)
    try:
        return row, store.load_bodies(row.pk)
    except ValueError:
        return row, None


def _body(row: RequestLog, bodies: Bodies | None, route: str) -> bytes | None:
    """The client's body with the name of the route to ask, if it can be sent."""
    if bodies is None or not bodies.client_request or row.client_dialect not in DIALECTS:
        return None
    if "client_request" in bodies.truncated:
        return None
    if not route or DIALECTS[row.client_dialect].model_in_path:
        return bodies.client_request
    try:
        fields: dict[str, Any] = msgspec.json.decode(bodies.client_request)
    except msgspec.MsgspecError:
        return None
    return msgspec.json.encode({**fields, "model": route})


async def _written(request_id: str) -> int | None:
    """The row of a request that has just ended, once the log's writer has it."""
    rows = RequestLog.objects.identified(request_id).values_list("pk", flat=True)
    for _again in range(int(_WAIT_S / _LOOK_S)):
        pk = await rows.afirst()
        if pk is not None:
            return int(pk)
        await asyncio.sleep(_LOOK_S)
    return None


def _to(request: HttpRequest, where: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": where})
    return HttpResponseRedirect(where)
