"""Replays a logged request, to the same route or another."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.access import may_read_bodies, viewer
from console.htmx import redirect_to
from console.pages.requests.log_search import find_request
from console.pages.requests.translation import verb_of
from console.playground import budget
from gateway import store
from gateway.api.runtime import lazy_runtime
from gateway.dialects import DIALECTS
from gateway.models import RequestLog
from gateway.relay.exchange.log_record import Bodies
from gateway.relay.run import playground_calls
from gateway.relay.runtime import Runtime

KEY_PREFIX = budget.REPLAY_KEY_PREFIX
# The user agent of a replay contains the id of its original.
_USER_AGENT = "replay of {}"
_REPLAY_PATTERN = re.compile(r"replay of ([A-Za-z0-9._\-]{1,64})")
_MAX_REPLAYS = 200
_WAIT_S = 4.0
_POLL_S = 0.1
# Users with a running replay in this process; the budget is checked before each.
_running_users: set[int] = set()
_FORWARDED_HEADERS = ("anthropic-version", "anthropic-beta", "openai-beta")


def original_of(row: RequestLog) -> RequestLog | None:
    """Return the request that this one replays."""
    match = _REPLAY_PATTERN.fullmatch(row.user_agent) if row.key_prefix == KEY_PREFIX else None
    if match is None:
        return None
    return RequestLog.objects.older_than_row(row.pk).by_id(match[1])


def replays_of(row: RequestLog) -> list[RequestLog]:
    """Return newer replays of this request, among the latest replays."""
    repeats = (
        RequestLog.objects.column_in("key_prefix", [KEY_PREFIX])
        .newer_than_row(row.pk)
        .newest(_MAX_REPLAYS)
    )
    return [replay for replay in repeats if replay.user_agent == _USER_AGENT.format(row.request_id)]


@viewer
@require_POST
async def request_replay(request: HttpRequest, request_id: str) -> HttpResponse:
    """Send the request again, then open the new row."""
    user = await request.auser()
    if not await sync_to_async(may_read_bodies)(user):
        raise PermissionDenied
    row, bodies = await sync_to_async(_load_request)(request_id)
    original_url = reverse("request", args=[row.pk])
    route = request.POST.get("route", "").strip()
    body = _replay_body(row, bodies, route)
    if body is None:
        message = _("This request cannot be replayed: its body is not stored completely.")
        await sync_to_async(messages.error)(request, message)
        return redirect_to(request, original_url)
    owner = user.pk or 0
    if owner in _running_users:
        await sync_to_async(messages.error)(request, _("One of your replays is still running."))
        return redirect_to(request, original_url)
    _running_users.add(owner)
    try:
        if await sync_to_async(budget.remaining_usd)(owner) <= 0:
            await sync_to_async(messages.error)(request, budget.budget_exceeded_message())
            return redirect_to(request, original_url)
        session = f"{budget.session_prefix(owner)}{KEY_PREFIX}"
        runtime = await lazy_runtime(request).get()
        replay_pk = await _send_replay(runtime, row, bodies, body, route, session)
    finally:
        _running_users.discard(owner)
    if replay_pk is None:
        message = _("Replayed. The new request will appear in the list shortly.")
        await sync_to_async(messages.info)(request, message)
        return redirect_to(request, reverse("requests"))
    return redirect_to(request, f"{reverse('request', args=[replay_pk])}?range=all")


async def _send_replay(
    runtime: Runtime,
    row: RequestLog,
    bodies: Bodies | None,
    body: bytes,
    route: str,
    session: str,
) -> int | None:
    """Replay the request on the user's budget; return its row, or None if not logged in time."""
    headers = {"user-agent": _USER_AGENT.format(row.request_id)}
    if bodies is not None:
        forwarded_headers = {
            n: v for n, v in bodies.client_headers.items() if n in _FORWARDED_HEADERS
        }
        headers = {**forwarded_headers, **headers}
    entry = await playground_calls.run_playground_call(
        runtime,
        dialect=row.client_dialect,
        body=body,
        caller=KEY_PREFIX,
        headers=headers,
        session=session,
        model=route or row.requested_model,
        stream=row.stream,
        endpoint=row.endpoint,
        verb=verb_of(row),
    )
    return await _wait_for_row(entry.id)


def _load_request(request_id: str) -> tuple[RequestLog, Bodies | None]:
    row = find_request(request_id)
    try:
        return row, store.load_bodies(row.pk)
    except ValueError:
        return row, None


def _replay_body(row: RequestLog, bodies: Bodies | None, route: str) -> bytes | None:
    """Return the client's body with the name of the selected route; None if it is incomplete."""
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


async def _wait_for_row(request_id: str) -> int | None:
    """Wait for the row of a request that has just ended; None after a timeout."""
    rows = RequestLog.objects.filter(request_id=request_id).values_list("pk", flat=True)
    for _attempt in range(int(_WAIT_S / _POLL_S)):
        pk = await rows.afirst()
        if pk is not None:
            return int(pk)
        await asyncio.sleep(_POLL_S)
    return None
