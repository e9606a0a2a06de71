"""`/console/playground`: runs, matrices, votes, history, presets, exports, code."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
    require_safe,
)

from console.access import is_admin, may_read_bodies, sign_in_url, viewer
from console.dialects import OFFERED
from console.models import PlaygroundPreset, PlaygroundRun, Vote
from console.playground import boot, budget, code, export, history, keeper, scoreboard, share
from console.playground import run as runs_at_work
from console.playground.columns import LETTERS, Plan
from console.playground.document import parse, parse_matrix
from console.playground.events import encoded
from console.playground.reading import Invalid, Json, storable
from console.playground.translation import translated
from gateway import store
from gateway.canon.errors import GatewayError
from gateway.relay import runtime
from gateway.routing.snapshot import Snapshot

MOST_RUNNING = 4
# For a run that another process has at work; one that began long ago died with its process.
WAIT_S, WAITS = 0.5, 240
LOST_AFTER = dt.timedelta(minutes=30)
_STREAM = "text/event-stream; charset=utf-8"

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


# --- what all of them share ---------------------------------------------------------------


def answering(view: View) -> View:
    """For signed-in users of scripts: refusals are JSON, by field."""

    @wraps(view)
    async def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = await request.auser()
        if not user.is_authenticated:
            words = _("Your session has ended. Sign in, and you come back here.")
            return _json({"errors": {"": words}, "sign_in": sign_in_url(request)}, 401)
        try:
            return await view(request, user, *args, **kwargs)
        except Invalid as invalid:
            return _json({"errors": invalid.errors}, 400)
        except GatewayError as failure:
            error = failure.error
            return _json({"errors": {error.param or "": error.message}}, 400)
        except PlaygroundRun.DoesNotExist:
            return _json({"errors": {"": _("There is no such run.")}}, 404)
        except PlaygroundPreset.DoesNotExist:
            return _json({"errors": {"": _("There is no such preset.")}}, 404)

    return answered


def _json(content: Any, status: int = 200) -> HttpResponse:
    reply = HttpResponse(msgspec.json.encode(content), status=status)
    reply["Content-Type"] = "application/json"
    reply["Cache-Control"] = "no-store"
    return reply


def _body(request: HttpRequest) -> Any:
    """The JSON that was sent. Pictures make it larger than Django's limit of forms."""
    raw = request.read(settings.MAX_BODY_BYTES + 1)
    if len(raw) > settings.MAX_BODY_BYTES:
        raise Invalid({"": _("This is too large to be sent.")})
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Invalid({"": _("This is not valid JSON.")}) from None
    if not storable(body):
        raise Invalid({"": _("This holds a NUL character or is nested too deeply.")})
    return body


def _object(request: HttpRequest) -> Json:
    body = _body(request)
    if not isinstance(body, dict):
        raise Invalid({"": _("This must be a JSON object.")})
    return body


async def _snapshot() -> Snapshot:
    live = runtime.current()
    return live.snapshot if live is not None else await sync_to_async(store.load_snapshot)()


async def _row(user: Any, run: UUID) -> PlaygroundRun:
    found = PlaygroundRun.objects.visible_to(user).select_related("owner")
    return await found.aget(uuid=run)


async def _stream(frames: AsyncIterator[bytes]) -> StreamingHttpResponse:
    reply = StreamingHttpResponse(frames, content_type=_STREAM)
    # A proxy that gathers what it passes on would undo the whole page.
    reply["Cache-Control"], reply["X-Accel-Buffering"] = "no-store", "no"
    return reply


# --- the page ----------------------------------------------------------------------------


@require_safe
@viewer
async def playground(request: HttpRequest) -> HttpResponse:
    """The page, with a run, a preset, a link or a logged request already in it."""
    snapshot = await _snapshot()
    return await sync_to_async(_page)(request, snapshot)


def _page(request: HttpRequest, snapshot: Snapshot) -> HttpResponse:
    presets = PlaygroundPreset.objects.owned_by(request.user).newest()
    content = {
        "models": boot.models(snapshot),
        "dialects": boot.dialects(),
        "languages": boot.languages(),
        "key_url": reverse("connect-key") if is_admin(request.user) else "",
        "samples": boot.samples(),
        "presets": [{"id": p.pk, "name": p.name, "version": p.version} for p in presets],
        "run": _asked_run(request),
        "settings": _asked_settings(request),
        "budget": {"limit_usd": float(budget.limit_usd()), "left_usd": _left(request)},
    }
    return render(request, "console/playground.html", {"page": "playground", "boot": content})


def _left(request: HttpRequest) -> float:
    return float(budget.left_usd(request.user.pk or 0))


def _asked_run(request: HttpRequest) -> Json | None:
    try:
        run = UUID(request.GET.get("run", ""))
        found = PlaygroundRun.objects.visible_to(request.user).get(uuid=run)
    except (ValueError, PlaygroundRun.DoesNotExist):
        return None
    return share.run_document(found)


def _asked_settings(request: HttpRequest) -> Json | None:
    asked = request.GET
    if asked.get("request") and may_read_bodies(request.user):
        return share.from_log(asked["request"])
    if asked.get("preset", "").isdigit():
        own = PlaygroundPreset.objects.owned_by(request.user)
        preset = own.numbered(int(asked["preset"])).first()
        return None if preset is None else preset.document
    return share.from_query(asked.get("models", ""), asked.get("prompt", ""))


# --- runs --------------------------------------------------------------------------------


@require_POST
@answering
async def runs(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Begin a run; the answer is the stream of its events."""
    return await _begin(user, *await sync_to_async(_planned)(request, parse))


@require_POST
@answering
async def run_matrix(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Begin a matrix; the answer is the stream of its events."""
    return await _begin(user, *await sync_to_async(_planned)(request, parse_matrix))


def _planned(request: HttpRequest, read: Callable[[Any], Plan]) -> tuple[Plan, Json]:
    """The plan and its document; in a thread, as pictures and schemas take their time."""
    document = _object(request)
    return read(document), document


async def _begin(user: Any, plan: Plan, document: Json) -> HttpResponseBase:
    if runs_at_work.running_for(user.pk) >= MOST_RUNNING:
        words = _("%d of your runs are still at work. Stop one first.") % MOST_RUNNING
        return _json({"errors": {"": words}}, 429)
    if await sync_to_async(budget.left_usd)(user.pk) <= 0:
        return _json({"errors": {"budget": budget.spent_words()}}, 429)
    run = await sync_to_async(keeper.begin)(user, plan, document)
    return await _stream(run.stream())


@require_POST
@answering
async def run_stop(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """Stop a column of a run, or all of it."""
    row = await _row(user, run)
    column = _object(request).get("col")
    if column is not None and column not in list(LETTERS):
        raise Invalid({"col": _("Columns are called A to H.")})
    live = runs_at_work.running(str(row.uuid))
    if live is not None:
        live.stop(column)
    elif row.ended is None:
        await sync_to_async(PlaygroundRun.objects.add_stop)(run, column or "*")
    return _json({"stopped": live is not None or row.ended is None})


@require_GET
@answering
async def run_events(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """The events of a run after one, stored or as they come."""
    row = await _row(user, run)
    asked = request.GET.get("after") or request.headers.get("Last-Event-ID") or "0"
    after = int(asked) if asked.isdigit() else 0
    live = runs_at_work.running(str(row.uuid))
    return await _stream(live.log.follow(after) if live is not None else _stored(row, after))


async def _stored(row: PlaygroundRun, after: int) -> AsyncIterator[bytes]:
    """The kept events; if another process has the run at work, once it has kept them."""
    for _waited in range(WAITS):
        if row.ended is not None or timezone.now() - row.created > LOST_AFTER:
            break
        yield b": at work elsewhere\n\n"
        await asyncio.sleep(WAIT_S)
        await row.arefresh_from_db()
    frames = await sync_to_async(share.run_frames)(row)
    if not frames:
        yield encoded(after + 1, "done", {"id": str(row.uuid), "lost": True})
    yield b"".join(frames[after:])


@require_GET
@answering
async def run_translation(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """A column of a run in the words of another client dialect."""
    row = await _row(user, run)
    plan = await sync_to_async(keeper.plan_of)(row)
    column, case = keeper.chosen(plan, request.GET.get("col", ""), request.GET.get("case", ""))
    dialect = request.GET.get("dialect") or plan.dialect
    if dialect not in OFFERED:
        raise Invalid({"dialect": _("This dialect is not spoken here.")})
    takes = await sync_to_async(keeper.takes_of)(row)
    take = next(iter(takes.of(column.id)), None)
    return _json(translated(await _snapshot(), dialect, column, case, take))


@require_GET
@answering
async def run_code(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """The code that asks what a column of a run asked."""
    row = await _row(user, run)
    plan = await sync_to_async(keeper.plan_of)(row)
    return _code(request, plan)


@require_POST
@answering
async def code_of(request: HttpRequest, user: Any) -> HttpResponseBase:
    """The code that asks what these settings ask, before any run."""
    plan, _document = await sync_to_async(_planned)(request, parse)
    return _code(request, plan)


def _code(request: HttpRequest, plan: Plan) -> HttpResponse:
    lang = request.GET.get("lang", "curl")
    if lang not in code.LANGS:
        raise Invalid({"lang": _("One of %s.") % ", ".join(code.LANGS)})
    column, case = keeper.chosen(plan, request.GET.get("col", ""), "")
    base = f"{request.scheme}://{request.get_host()}"
    text = code.written(lang, base, plan.dialect, column, case)
    return _json({"lang": lang, "code": text, "key": code.KEY})


@require_http_methods(["GET", "DELETE"])
@answering
async def run_one(
    request: HttpRequest, user: Any, run: UUID, form: str = "json"
) -> HttpResponseBase:
    """A run as a file to keep, or gone."""
    row = await _row(user, run)
    if form not in {"json", "csv", "md"}:
        raise Invalid({"form": _("One of %s.") % "json, csv, md"})
    if request.method == "DELETE":
        await row.adelete()
        return _json({"deleted": str(run)})
    takes = await sync_to_async(keeper.takes_of)(row)
    if form == "csv":
        reply = HttpResponse(export.as_csv(takes), content_type="text/csv; charset=utf-8")
    elif form == "md":
        text = export.as_markdown(row.title, takes)
        reply = HttpResponse(text, content_type="text/markdown; charset=utf-8")
    else:
        data = export.as_json(share.run_document(row), takes)
        reply = HttpResponse(data, content_type="application/json")
    reply["Cache-Control"] = "no-store"
    reply["Content-Disposition"] = f'attachment; filename="playground-{row.uuid}.{form}"'
    return reply


@require_GET
@answering
async def run_history(request: HttpRequest, user: Any) -> HttpResponseBase:
    """The runs that a person may see, newest first, a page at a time."""
    before = request.GET.get("before", "")
    page = history.page(user, int(before) if before.isdigit() else None)
    return _json(await sync_to_async(page)())


# --- votes -------------------------------------------------------------------------------


@require_POST
@answering
async def votes(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Vote on a run; the answer tells which model was which."""
    return _json(await sync_to_async(scoreboard.vote)(user, _object(request)))


@require_GET
@answering
async def scores(request: HttpRequest, user: Any) -> HttpResponseBase:
    """The models by the votes that a person may see."""
    preset = request.GET.get("preset")
    found = Vote.objects.visible_to(user).for_preset(preset).order_by("pk")
    rows = await sync_to_async(lambda: scoreboard.table(found))()
    return _json({"preset": preset, "rows": rows, "votes": await found.acount()})


# --- presets -----------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@answering
async def presets(request: HttpRequest, user: Any) -> HttpResponseBase:
    """A person's presets; or a new version of one."""
    if request.method == "GET":
        own = PlaygroundPreset.objects.owned_by(user).newest()
        rows = [{"id": p.pk, "name": p.name, "version": p.version} async for p in own]
        return _json({"presets": rows})
    body = _object(request)
    name, document = body.get("name"), body.get("document") or body.get("settings")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 100:
        raise Invalid({"name": _("A name of 1 to 100 characters.")})
    if not isinstance(document, dict):
        raise Invalid({"document": _("This must be a JSON object.")})
    kept = await sync_to_async(PlaygroundPreset.objects.keep)(user, name.strip(), document)
    return _json({"id": kept.pk, "name": kept.name, "version": kept.version}, 201)


@require_http_methods(["GET", "DELETE"])
@answering
async def preset(request: HttpRequest, user: Any, pk: int) -> HttpResponseBase:
    """One preset; or all versions of its name gone."""
    own = PlaygroundPreset.objects.owned_by(user)
    found = await own.aget(pk=pk)
    if request.method == "GET":
        versions = [version async for version in own.named(found.name).order_by("-version")]
        return _json(share.preset_document(found, versions))
    await sync_to_async(lambda: own.named(found.name).delete())()
    return _json({"deleted": found.name})
