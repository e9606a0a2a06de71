"""Scores of logged requests over the API: read by viewers, given by editors and key owners."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from ninja.errors import HttpError

from gateway.api.auth import Admin, Reader
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import page
from gateway.api.requests import ScoreOut
from gateway.api.resources import reply
from gateway.models import ApiKey, RequestLog, RequestScore
from gateway.models.score import FEEDBACK
from gateway.roles import has_permission

router = Router(tags=["scores"])
_MAX_ID = 2**63 - 1
_MAX_AUTHOR = 150


class Scorer(Admin):
    """As Admin; also editors, and members for requests of their own keys."""

    permission = "own"
    why = "only admins, editors and owners of the request's key may score it"


class ScoreIn(Schema):
    """A score: `value` from 0 to 1, `comment`, or both.

    An earlier score of the same name and author is replaced. `scored_by` names the author, such as
    an end user of an application; only the admin key may set it.
    """

    name: str = FEEDBACK
    value: float | None = None
    comment: str = ""
    scored_by: str = ""


class ScorePage(Schema):
    """Scores of a request, oldest first, and the cursor of the next page; null at the end."""

    items: list[ScoreOut]
    next: int | None


@router.get("/requests/{request_id}/scores", auth=Reader(), response=ScorePage)
def list_scores(
    request: HttpRequest, request_id: str, cursor: int = 0, limit: int = 50
) -> dict[str, Any]:
    """The scores and comments of a request."""
    row = RequestLog.objects.by_id(request_id)
    if row is None:
        raise HttpError(404, "there is no such request in the log")
    return page(list(RequestScore.objects.of([row.pk])), cursor, limit)


@router.post("/requests/{request_id}/scores", auth=Scorer(), response={201: ScoreOut})
def create_score(request: HttpRequest, request_id: str, payload: ScoreIn) -> HttpResponse:
    """Score a request, or comment on it."""
    return run_once(request, lambda: _create(request, request_id, payload))


def _create(request: HttpRequest, request_id: str, payload: ScoreIn) -> HttpResponse:
    row = _scorable(request, request_id)
    author = author_of(request)
    if payload.scored_by and payload.scored_by != author:
        if not isinstance(request.auth, str):  # type: ignore[attr-defined]
            return failure(403, "only the admin key may score for others", "scored_by")
        author = payload.scored_by
    if len(author) > _MAX_AUTHOR:
        return failure(422, f"must have at most {_MAX_AUTHOR} characters", "scored_by")
    for name, text in (("scored_by", author), ("name", payload.name), ("comment", payload.comment)):
        if "\0" in text:
            return failure(422, "must not contain NUL characters", name)
    try:
        score = RequestScore.objects.save_score(
            row, author, name=payload.name, value=payload.value, comment=payload.comment.strip()
        )
    except ValidationError as error:
        name, problems = next(iter(error.message_dict.items()))
        return failure(422, problems[0], name)
    return reply(201, score.as_dict())


@router.delete("/requests/{request_id}/scores/{int:number}", auth=Scorer(), response={204: None})
def delete_score(request: HttpRequest, request_id: str, number: int) -> HttpResponse:
    """Delete a score: one's own, or as admin any."""
    row = _scorable(request, request_id)
    score = RequestScore.objects.of([row.pk]).filter(pk=min(number, _MAX_ID)).first()
    if score is None:
        return failure(404, "the request has no such score")
    caller = request.auth  # type: ignore[attr-defined]
    may_delete = isinstance(caller, str) or has_permission(caller, "administer")
    if not may_delete and score.scored_by != author_of(request):
        return failure(403, "only admins may delete scores of others")
    score.delete()
    return HttpResponse(status=204)


def author_of(request: HttpRequest) -> str:
    """The author of the caller's scores: the user name, or the name of the credential."""
    caller: Any = request.auth  # type: ignore[attr-defined]
    return caller if isinstance(caller, str) else str(caller.get_username())


def _scorable(request: HttpRequest, request_id: str) -> RequestLog:
    """The request, if the caller may score it. Raises HttpError."""
    row = RequestLog.objects.by_id(request_id)
    caller: Any = request.auth  # type: ignore[attr-defined]
    sees_all = isinstance(caller, str) or has_permission(caller, "edit")
    if row is None or not (sees_all or ApiKey.objects.owns(caller, row.key_id)):
        raise HttpError(404, "there is no such request in the log")
    return row
