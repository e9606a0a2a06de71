"""`/console/playground`: runs, votes, history, presets, exports, code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
    require_safe,
)

from console.access import (
    is_editor,
    may_read_bodies,
    playground_user,
    set_required_access,
    sign_in_url,
)
from console.client_environment import KEY_VARIABLE
from console.dialects import CONSOLE_DIALECTS
from console.models import PlaygroundPreset, PlaygroundRun, Vote
from console.numbers import number_in
from console.pages.routes.yaml_text import line_difference
from console.playground import (
    budget,
    code,
    export,
    history,
    page_data,
    personal_keys,
    prefill,
    run_store,
    scoreboard,
)
from console.playground import run as active_runs
from console.playground.events import encode_event
from console.playground.image import THEMES, as_svg
from console.playground.plan import COLUMN_LETTERS, Column, Plan
from console.playground.plan_parser import parse
from console.playground.results import ColumnResponse
from console.playground.shared_view import shared_view
from console.playground.translation import translate_response
from console.playground.validation import Invalid, Json, is_storable
from gateway import store
from gateway.api.runtime import lazy_runtime, runtime_of
from gateway.canon.errors import GatewayError
from gateway.models import ApiKey, RequestLog
from gateway.roles import Permission, has_permission
from gateway.routing.snapshot import Snapshot
from gateway.store.thread import close_connection

MAX_RUNNING = 4
# Of a run.
MAX_NAME = 100
# Interval for polling a run of another process.
POLL_S = 0.5
_NO_KEY = gettext_lazy("You need an API key. Create one under My keys.")
_STREAM = "text/event-stream; charset=utf-8"
_close_connection = sync_to_async(close_connection)

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


# --- what all of them share ---------------------------------------------------------------


def json_view(permission: Permission) -> Callable[[View], View]:
    """Decorator of JSON views for users with a permission: errors are JSON, by field."""
    return lambda view: _with_json_errors(view, permission)


def _with_json_errors(view: View, permission: Permission) -> View:
    @wraps(view)
    async def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = await request.auser()
        if not user.is_authenticated:
            message = _("Your session has ended. Sign in to continue.")
            url = sign_in_url(request, by_script=True)
            return json_response({"errors": {"": message}, "sign_in": url}, 401)
        if not await sync_to_async(has_permission)(user, permission):
            message = _("Your role does not include this.")
            return json_response({"errors": {"": message}}, 403)
        try:
            return await view(request, user, *args, **kwargs)
        except Invalid as invalid:
            return json_response({"errors": invalid.errors}, 400)
        except GatewayError as failure:
            error = failure.error
            return json_response({"errors": {error.param or "": error.message}}, 400)
        except PlaygroundRun.DoesNotExist:
            return json_response({"errors": {"": _("This run does not exist.")}}, 404)
        except PlaygroundPreset.DoesNotExist:
            return json_response({"errors": {"": _("This preset does not exist.")}}, 404)

    return set_required_access(wrapper, permission)


def json_response(content: Any, status: int = 200) -> HttpResponse:
    """A JSON response that is not cached."""
    reply = HttpResponse(msgspec.json.encode(content), status=status)
    reply["Content-Type"] = "application/json"
    reply["Cache-Control"] = "no-store"
    return reply


def _read_json_body(request: HttpRequest) -> Any:
    """The JSON body. Images make it larger than Django's limit of forms."""
    content = request.read(settings.MAX_BODY_BYTES + 1)
    if len(content) > settings.MAX_BODY_BYTES:
        raise Invalid({"": _("The request is too large.")})
    try:
        body = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Invalid({"": _("The request is not valid JSON.")}) from None
    if not is_storable(body):
        raise Invalid({"": _("The request contains a NUL character or is nested too deeply.")})
    return body


def _read_json_object(request: HttpRequest) -> Json:
    body = _read_json_body(request)
    if not isinstance(body, dict):
        raise Invalid({"": _("Must be a JSON object.")})
    return body


async def _current_snapshot(request: HttpRequest) -> Snapshot:
    runtime = runtime_of(request)
    return (
        runtime.snapshot if runtime is not None else await sync_to_async(store.current_snapshot)()
    )


async def _find_run(user: Any, run: UUID) -> PlaygroundRun:
    runs = PlaygroundRun.objects.visible_to(user).select_related("owner")
    return await runs.aget(uuid=run)


async def _event_stream(frames: AsyncIterator[bytes]) -> StreamingHttpResponse:
    await _close_connection()  # the stream may last for minutes
    reply = StreamingHttpResponse(frames, content_type=_STREAM)
    # A buffering proxy would hold back the stream.
    reply["Cache-Control"], reply["X-Accel-Buffering"] = "no-store", "no"
    return reply


# --- the page ----------------------------------------------------------------------------


@require_safe
@playground_user
async def playground(request: HttpRequest) -> HttpResponse:
    """The page, with a run, a preset, a link or a logged request already in it."""
    snapshot = await _current_snapshot(request)
    return await sync_to_async(_render_page)(request, snapshot)


def _render_page(request: HttpRequest, snapshot: Snapshot) -> HttpResponse:
    presets = PlaygroundPreset.objects.owned_by(request.user).newest()
    run, settings_ = _requested_run(request), _requested_settings(request)
    models = page_data.list_models(snapshot)
    keys = (
        personal_keys.personal_keys(request.user)
        if personal_keys.needs_personal_key(request.user)
        else None
    )
    if keys is not None:
        models = personal_keys.with_usable_keys(models, snapshot, keys)
    content = {
        "models": models,
        "dialects": page_data.list_dialects(),
        "languages": page_data.list_languages(),
        "links_url": reverse("share-links") if is_editor(request.user) else "",
        "key_url": reverse("connect-key") if is_editor(request.user) else "",
        "requests": f"{reverse('requests' if keys is None else 'personal-requests')}/",
        "samples": page_data.sample_prompts(),
        "presets": [{"id": p.pk, "name": p.name, "version": p.version} for p in presets],
        "run": run,
        "settings": settings_,
        "notice": _page_notice(request, run, settings_) if keys != [] else _NO_KEY,
    }
    if keys is None:
        remaining_usd = float(budget.remaining_usd(request.user.pk or 0))
        content["budget"] = {"limit_usd": float(budget.limit_usd()), "remaining_usd": remaining_usd}
    context = {
        "page": "playground",
        "boot": content,
        "presets": page_data.presets_of(models),
        "personal_keys": keys,
        "may_view": keys is None,
        "may_save_prompts": is_editor(request.user),
    }
    return render(request, "console/playground/page.html", context)


def _requested_run(request: HttpRequest) -> Json | None:
    try:
        run = UUID(request.GET.get("run", ""))
        row = PlaygroundRun.objects.visible_to(request.user).get(uuid=run)
    except (ValueError, PlaygroundRun.DoesNotExist):
        return None
    return prefill.run_document(row)


def _page_notice(request: HttpRequest, run: Json | None, settings_: Json | None) -> str:
    """Why the page cannot display what its URL requests; empty if it can."""
    if request.GET.get("run") and run is None:
        return _(
            "This run does not exist, or you have no access to it. "
            "Runs can be opened by the person who made them and by admins."
        )
    if request.GET.get("request") and settings_ is None and not may_read_bodies(request.user):
        return _("You can see metadata only. Ask an admin for access to bodies.")
    if request.GET.get("request") and settings_ is None:
        return _("This request cannot be opened here: its body is not stored, or is not a chat.")
    if request.GET.get("preset") and settings_ is None:
        return _("This preset does not exist, or belongs to someone else.")
    if unsupported := (settings_ or {}).get("unsupported_settings"):
        return _("Not supported in the playground and omitted: %s.") % ", ".join(unsupported)
    return ""


def _requested_settings(request: HttpRequest) -> Json | None:
    query = request.GET
    if (row := prefill.logged_request(query.get("request", ""))) is not None:
        return prefill.from_log(row) if _may_read(request.user, row) else None
    if (preset_id := number_in(query.get("preset", ""))) is not None:
        presets = PlaygroundPreset.objects.owned_by(request.user)
        preset = presets.with_id(preset_id).first()
        return None if preset is None else preset.document
    prompt_id = number_in(query.get("stored_prompt", ""))
    if prompt_id is not None and has_permission(request.user, "view"):
        values = {name[6:]: query[name] for name in query if name.startswith("value.")}
        return prefill.from_stored_prompt(prompt_id, values)
    return prefill.from_query(query.get("models", ""), query.get("prompt", ""))


def _may_read(user: Any, row: RequestLog) -> bool:
    """Whether a user may see the bodies of a logged request: also if their own key made it."""
    return may_read_bodies(user) or ApiKey.objects.owns(user, row.key_id)


# --- runs --------------------------------------------------------------------------------


@require_POST
@json_view("playground")
async def runs(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Start a run; the response streams its events."""
    plan, document = await sync_to_async(read_plan)(request)
    return await _begin_run(request, user, plan, document)


def read_plan(request: HttpRequest) -> tuple[Plan, Json]:
    """Plan and its document. Runs in a thread, as images and schemas take time to validate."""
    document = _read_json_object(request)
    plan = parse(document)
    pk = document.get("logged_request")
    row = prefill.logged_request(str(pk)) if isinstance(pk, int) else None
    if row is not None and _may_read(request.user, row):
        plan = msgspec.structs.replace(plan, logged=prefill.logged_body(row))
    return plan, document


async def _begin_run(
    request: HttpRequest, user: Any, plan: Plan, document: Json
) -> HttpResponseBase:
    if active_runs.count_running_for(user.pk) >= MAX_RUNNING:
        message = _("%d of your runs are still in progress. Stop one first.") % MAX_RUNNING
        return json_response({"errors": {"": message}}, 429)
    with active_runs.count_starting(user.pk):
        key_id = await sync_to_async(personal_keys.key_of_run)(user, document)
        if key_id is None and await sync_to_async(budget.remaining_usd)(user.pk) <= 0:
            return json_response({"errors": {"budget": budget.budget_exceeded_message()}}, 429)
        runtime = await lazy_runtime(request).get()
        run = await sync_to_async(run_store.create_run)(runtime, user, plan, document, key_id)
        run.begin()
    return await _event_stream(run.stream())


@require_POST
@json_view("playground")
async def run_stop(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """Stop a column of a run, or all of it."""
    row = await _find_run(user, run)
    column = _read_json_object(request).get("col")
    if column is not None and column not in list(COLUMN_LETTERS):
        raise Invalid({"col": _("Must be a column from A to H.")})
    active_run = active_runs.active_run(str(row.uuid))
    if active_run is not None:
        active_run.stop(column)
    elif row.ended_at is None:
        await sync_to_async(PlaygroundRun.objects.request_stop)(run, column or "*")
    return json_response({"stopped": active_run is not None or row.ended_at is None})


@require_GET
@json_view("playground")
async def run_events(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """The events of a run after one, stored or live."""
    row = await _find_run(user, run)
    last_event = request.GET.get("after") or request.headers.get("Last-Event-ID") or "0"
    after = number_in(last_event) or 0
    active_run = active_runs.active_run(str(row.uuid))
    return await _event_stream(
        active_run.log.follow(after) if active_run is not None else _follow_stored(row, after)
    )


async def _follow_stored(row: PlaygroundRun, after: int) -> AsyncIterator[bytes]:
    """Yield the stored events; for a run of another process, once it has stored them.

    A run whose process has died ends with a `done` event marked `interrupted`.
    """
    while row.ended_at is None and not row.interrupted:
        yield b": running in another process\n\n"
        await asyncio.sleep(POLL_S)
        await row.arefresh_from_db()
        await _close_connection()
    frames = await sync_to_async(prefill.run_frames)(row)
    if row.ended_at is None:
        yield encode_event(after + 1, "done", {"id": str(row.uuid), "interrupted": True})
    yield b"".join(frames[after:])


@require_GET
@json_view("playground")
async def run_translation(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """A column of a run in another client dialect."""
    row = await _find_run(user, run)
    plan = await sync_to_async(run_store.plan_of)(row)
    column = run_store.select_column(plan, request.GET.get("col", ""))
    dialect = request.GET.get("dialect") or plan.dialect
    if dialect not in CONSOLE_DIALECTS:
        raise Invalid({"dialect": _("This dialect is not supported.")})
    results = await sync_to_async(run_store.results_of)(row)
    response = next(iter(results.of_column(column.id)), None)
    snapshot = await _current_snapshot(request)
    if not await sync_to_async(personal_keys.may_use_model)(user, snapshot, column.model):
        raise Invalid({"col": _("None of your keys may use this model.")})
    return json_response(
        await sync_to_async(_response_translation)(snapshot, dialect, column, response)
    )


def _response_translation(
    snapshot: Snapshot, dialect: str, column: Column, response: ColumnResponse | None
) -> Json:
    """The request and the response in both dialects; `sides` is HTML."""
    translated = translate_response(snapshot, dialect, column, response)
    html = render_to_string("console/translation/_sides.html", {"sides": translated["sides"]})
    return translated | {"sides": "".join(html)}


@require_GET
@json_view("playground")
async def run_code(request: HttpRequest, user: Any, run: UUID) -> HttpResponseBase:
    """Client code that repeats a column of a run."""
    row = await _find_run(user, run)
    plan = await sync_to_async(run_store.plan_of)(row)
    return _code_response(request, plan)


@require_POST
@json_view("playground")
async def code_of(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Client code for these settings, without a run."""
    plan, _document = await sync_to_async(read_plan)(request)
    return _code_response(request, plan)


def _code_response(request: HttpRequest, plan: Plan) -> HttpResponse:
    lang = request.GET.get("lang", "curl")
    if lang not in code.RENDERERS:
        raise Invalid({"lang": _("Must be one of %s.") % ", ".join(code.RENDERERS)})
    column = run_store.select_column(plan, request.GET.get("col", ""))
    base = f"{request.scheme}://{request.get_host()}"
    text = code.render_code(lang, base, plan.dialect, column)
    return json_response({"lang": lang, "code": text, "key": KEY_VARIABLE})


@require_http_methods(["GET", "PATCH", "DELETE"])
@json_view("playground")
async def run_one(
    request: HttpRequest, user: Any, run: UUID, form: str = "json"
) -> HttpResponseBase:
    """Export a run as a file, name it, or delete it."""
    row = await _find_run(user, run)
    if request.method == "PATCH":
        return await _rename_run(row, _read_json_object(request).get("name"))
    if form not in {"json", "csv", "md", "svg"}:
        raise Invalid({"form": _("Must be one of %s.") % "json, csv, md, svg"})
    if request.method == "DELETE":
        await row.adelete()
        return json_response({"deleted": str(run)})
    results = await sync_to_async(run_store.results_of)(row)
    if form == "svg":
        view = await sync_to_async(shared_view)(row, with_prompt=True)
        theme = request.GET.get("theme", "")
        svg = as_svg(view, theme if theme in THEMES else "light")
        reply = HttpResponse(svg, content_type="image/svg+xml")
    elif form == "csv":
        reply = HttpResponse(export.as_csv(results), content_type="text/csv; charset=utf-8")
    elif form == "md":
        text = export.as_markdown(row.title, results)
        reply = HttpResponse(text, content_type="text/markdown; charset=utf-8")
    else:
        data = export.as_json(prefill.run_document(row), results)
        reply = HttpResponse(data, content_type="application/json")
    reply["Cache-Control"] = "no-store"
    reply["Content-Disposition"] = f'attachment; filename="playground-{row.uuid}.{form}"'
    return reply


async def _rename_run(row: PlaygroundRun, name: Any) -> HttpResponse:
    """Give a run a name; an empty one removes it."""
    if not isinstance(name, str) or len(name.strip()) > MAX_NAME:
        raise Invalid({"name": _("Must have at most %d characters.") % MAX_NAME})
    row.name = " ".join(name.split())
    await row.asave(update_fields=["name"])
    return json_response({"id": str(row.uuid), "name": row.name})


@require_GET
@json_view("playground")
async def run_history(request: HttpRequest, user: Any) -> HttpResponseBase:
    """A page of the runs visible to a user, newest first."""
    before = number_in(request.GET.get("before", ""))
    text = request.GET.get("q", "")[:200].replace("\0", "")
    page = history.page(user, before, text)
    return json_response(await sync_to_async(page)())


# --- votes -------------------------------------------------------------------------------


@require_POST
@json_view("playground")
async def votes(request: HttpRequest, user: Any) -> HttpResponseBase:
    """Vote on a run; the response reveals the models."""
    return json_response(await sync_to_async(scoreboard.vote)(user, _read_json_object(request)))


@require_GET
@json_view("playground")
async def scores(request: HttpRequest, user: Any) -> HttpResponseBase:
    """The scoreboard of models by the votes visible to a user."""
    preset = request.GET.get("preset")
    ballots = Vote.objects.visible_to(user).for_preset(preset).order_by("pk")
    rows = await sync_to_async(lambda: scoreboard.table(ballots))()
    return json_response({"preset": preset, "rows": rows, "votes": await ballots.acount()})


# --- presets -----------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@json_view("playground")
async def presets(request: HttpRequest, user: Any) -> HttpResponseBase:
    """List a user's presets, or store a new version of one."""
    if request.method == "GET":
        rows_of_user = PlaygroundPreset.objects.owned_by(user).newest()
        rows = [{"id": p.pk, "name": p.name, "version": p.version} async for p in rows_of_user]
        return json_response({"presets": rows})
    body = _read_json_object(request)
    name, document = body.get("name"), body.get("document") or body.get("settings")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 100:
        raise Invalid({"name": _("Must have 1 to 100 characters.")})
    if not isinstance(document, dict):
        raise Invalid({"document": _("Must be a JSON object.")})
    saved = await sync_to_async(PlaygroundPreset.objects.save_version)(user, name.strip(), document)
    return json_response({"id": saved.pk, "name": saved.name, "version": saved.version}, 201)


@require_http_methods(["GET", "DELETE"])
@json_view("playground")
async def preset(request: HttpRequest, user: Any, pk: int) -> HttpResponseBase:
    """Read one preset, or delete all versions of its name."""
    presets = PlaygroundPreset.objects.owned_by(user)
    row = await presets.aget(pk=pk)
    if request.method == "GET":
        versions = [version async for version in presets.by_name(row.name).order_by("-version")]
        return json_response(prefill.preset_document(row, versions))
    await sync_to_async(lambda: presets.by_name(row.name).delete())()
    return json_response({"deleted": row.name})


@require_GET
@json_view("view")
async def system_prompts(request: HttpRequest, user: Any) -> HttpResponseBase:
    """The system prompts of stored prompts, for the composer."""
    return json_response({"prompts": await sync_to_async(prefill.system_prompts)()})


@require_safe
@playground_user
def preset_versions(request: HttpRequest, pk: int) -> HttpResponse:
    """The versions of a preset, and the differences between two of them."""
    presets = PlaygroundPreset.objects.owned_by(request.user)
    row = get_object_or_404(presets, pk=pk)
    versions = list(presets.by_name(row.name).order_by("-version"))
    by_number = {str(each.version): each for each in versions}
    after = by_number.get(request.GET.get("to", ""), versions[0])
    before = by_number.get(request.GET.get("from", ""), versions[min(1, len(versions) - 1)])
    context = {
        "page": "playground",
        "row": row,
        "versions": versions,
        "before": before.version,
        "after": after.version,
        "lines": line_difference(prefill.preset_text(before), prefill.preset_text(after)),
    }
    return render(request, "console/playground/preset.html", context)
