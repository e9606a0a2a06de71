"""Export of the rows of a search as JSON lines or CSV, streamed, without bodies."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    HttpRequest,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseForbidden,
    StreamingHttpResponse,
)
from django.views.decorators.http import require_safe

from console.access import may_read_bodies, viewer
from console.pages.requests.listing import search_of, state_of
from console.pages.requests.log_search import walk
from console.pages.requests.query import Search
from gateway.csv_cells import csv_line
from gateway.models import RequestLog, RequestScore

MAX_ROWS = 100_000
BUDGET_S = 60.0
_CHUNK_ROWS = 500
_OMITTED_COLUMNS = {"client_ip", "target_id", "key_id"}
FIELDS = tuple(
    field.attname
    for field in RequestLog._meta.concrete_fields
    if field.attname not in _OMITTED_COLUMNS
)
_NESTED_COLUMNS = {"attempts", "adaptations"}
# With this ID, a key of the same team can read the response.
_COLUMNS_OF_BODY_READERS = {"response_id"}
_NO_GRANT = "Searching the text of requests needs the permission to read bodies.\n"


@viewer
@require_safe
def requests_export(request: HttpRequest, kind: str) -> HttpResponseBase:
    """The list as a file, with the fields of its rows but without bodies."""
    writer = {"jsonl": _jsonl_lines, "csv": _csv_lines}.get(kind)
    if writer is None:
        return HttpResponseBadRequest()
    search = search_of(state_of(request), request.user)
    if search.text_refused:
        return HttpResponseForbidden(_NO_GRANT, content_type="text/plain; charset=utf-8")
    fields = FIELDS
    if not may_read_bodies(request.user):
        fields = tuple(name for name in FIELDS if name not in _COLUMNS_OF_BODY_READERS)
    rows = _export_rows(search, fields)
    types = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
    parts: Any = writer(rows, fields)
    if isinstance(request, ASGIRequest):
        parts = _iterate_async(parts)
    response = StreamingHttpResponse(parts, content_type=types[kind])
    response["Content-Disposition"] = f'attachment; filename="requests.{kind}"'
    return response


async def _iterate_async(parts: Iterator[Any]) -> AsyncIterator[bytes]:
    """Yield chunks produced in a thread: Django would otherwise collect a sync iterator first."""

    def next_chunk() -> bytes:
        chunk = islice(parts, _CHUNK_ROWS)
        return b"".join(p if isinstance(p, bytes) else p.encode() for p in chunk)

    while data := await sync_to_async(next_chunk)():
        yield data


def _export_rows(search: Search, fields: tuple[str, ...]) -> Iterator[Any]:
    until = time.monotonic() + BUDGET_S
    remaining_rows = MAX_ROWS
    values: Any = RequestLog.objects.values_list(*fields, named=True)
    if search.id:
        yield from values.with_any_id(search.id).newest(remaining_rows)
        return
    for rows, _ in walk(search, None, values):
        yield from rows[:remaining_rows]
        remaining_rows -= len(rows)
        if remaining_rows <= 0 or time.monotonic() > until:
            return


def _with_scores(rows: Iterable[Any]) -> Iterator[tuple[Any, list[RequestScore]]]:
    """Yield each row with its scores, which are loaded for many rows at once."""
    row_iterator = iter(rows)
    while chunk := list(islice(row_iterator, _CHUNK_ROWS)):
        scores = RequestScore.objects.by_request(row.id for row in chunk)
        for row in chunk:
            yield row, scores.get(row.id, [])


def _jsonl_lines(rows: Iterable[Any], _fields: tuple[str, ...]) -> Iterator[bytes]:
    for row, scores in _with_scores(rows):
        item = {**row._asdict(), "scores": [score.as_dict() for score in scores]}
        yield msgspec.json.encode(item) + b"\n"


def _csv_lines(rows: Iterable[Any], fields: tuple[str, ...]) -> Iterator[str]:
    names = [name for name in fields if name not in _NESTED_COLUMNS]
    yield csv_line([*names, "scores", "comments"])
    for row, scores in _with_scores(rows):
        values = [f"{score.name}={score.value:g}" for score in scores if score.value is not None]
        comments = [f"{score.scored_by}: {score.comment}" for score in scores if score.comment]
        cells = [*(getattr(row, name) for name in names), "; ".join(values), "\n".join(comments)]
        yield csv_line(cells)
