"""Scores of logged requests over the API: read by viewers, given by editors and key owners.

A client scores its own requests with the gateway key that sent them.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from ninja.errors import HttpError

from gateway import store
from gateway.api.auth import Admin, Reader, token_of
from gateway.api.failures import failure
from gateway.api.idempotency import run_once
from gateway.api.pages import MAX_ID, page
from gateway.api.request_schema import RequestSchema
from gateway.api.requests import ScoreOut
from gateway.api.resources import reply
from gateway.api.runtime import runtime_of
from gateway.models import ApiKey, RequestLog, RequestScore
from gateway.models.score import FEEDBACK
from gateway.roles import has_permission

router = Router(tags=["scores"])
_MAX_AUTHOR = 150
_NOT_FOUND = "there is no such request in the log"
# Scores that a gateway key may send in a minute, per process.
KEY_SCORES_PER_MINUTE = 120


class Scorer(Admin):
    """Allows admins, editors, and members for requests of their own keys."""

    permission = "personal"
    reason = "only admins, editors and owners of the request's key may score it"


@dataclass(frozen=True, slots=True)
class KeyCaller:
    """A client that authenticated with a gateway key."""

    key_id: int
    name: str

    @property
    def pk(self) -> str:
        """Identify the caller among users in idempotency keys."""
        return f"key {self.key_id}"


class ScorerOrKey(Scorer):
    """Allows what `Scorer` allows, and a gateway key for its own requests."""

    def __call__(self, request: HttpRequest) -> Any | None:
        """The user, the name of an admin credential, or a KeyCaller; None (401) without any."""
        caller = super().__call__(request)
        if caller is not None or not (token := token_of(request)):
            return caller
        runtime = runtime_of(request)
        snapshot = store.current_snapshot() if runtime is None else runtime.snapshot
        key = store.find_key(snapshot, token)
        if key is None or (key.expires_at is not None and key.expires_at <= time.time()):
            return None
        return KeyCaller(key.id, key.name)


class ScoreIn(RequestSchema):
    """A score: `value` from 0 to 1, `comment`, or both.

    An earlier score of the same name and author is replaced. `scored_by` names the author, such as
    an end user of an application; only the admin key and gateway keys may set it. Authors named by
    a gateway key are stored as `key NAME: AUTHOR`, so that they are told apart from users.
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
        raise HttpError(404, _NOT_FOUND)
    return page(list(RequestScore.objects.of_requests([row.pk])), cursor, limit)


@router.post("/requests/{request_id}/scores", auth=ScorerOrKey(), response={201: ScoreOut})
def create_score(request: HttpRequest, request_id: str, payload: ScoreIn) -> HttpResponse:
    """Score a request, or comment on it; with a gateway key, a request that this key has sent.

    The log has a request a moment after its response: a 404 with `Retry-After` may be too early.
    """
    caller = request.auth  # type: ignore[attr-defined]
    if isinstance(caller, KeyCaller) and (wait_s := _seconds_to_wait(caller)):
        response = failure(429, f"a key may send {KEY_SCORES_PER_MINUTE} scores per minute")
        response["Retry-After"] = str(wait_s)
        return response
    return run_once(request, lambda: _create_score(request, request_id, payload))


def _create_score(request: HttpRequest, request_id: str, payload: ScoreIn) -> HttpResponse:
    caller: Any = request.auth  # type: ignore[attr-defined]
    row = RequestLog.objects.by_id(request_id)
    if row is None or not _may_score(caller, row):
        response = failure(404, _NOT_FOUND)
        response["Retry-After"] = "1"
        return response
    author = author_of(request)
    if payload.scored_by and isinstance(caller, KeyCaller):
        author = f"{author}: {payload.scored_by}"
    elif payload.scored_by and payload.scored_by != author:
        if not isinstance(caller, str):
            return failure(403, "only keys may score for others", "scored_by")
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
    row = _find_scorable_request(request, request_id)
    score = RequestScore.objects.of_requests([row.pk]).filter(pk=min(number, MAX_ID)).first()
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
    if isinstance(caller, KeyCaller):
        # No user name contains a space.
        return f"key {caller.name}"
    return caller if isinstance(caller, str) else str(caller.get_username())


def _find_scorable_request(request: HttpRequest, request_id: str) -> RequestLog:
    """The request, if the caller may score it. Raises HttpError."""
    row = RequestLog.objects.by_id(request_id)
    if row is None or not _may_score(request.auth, row):  # type: ignore[attr-defined]
        raise HttpError(404, _NOT_FOUND)
    return row


def _may_score(caller: Any, row: RequestLog) -> bool:
    if isinstance(caller, KeyCaller):
        return row.key_id == caller.key_id
    if isinstance(caller, str) or has_permission(caller, "edit"):
        return True
    return ApiKey.objects.owns(caller, row.key_id)


def _seconds_to_wait(caller: KeyCaller) -> int:
    """Count one score of a key: 0, or the seconds until its next minute if it has no more."""
    minute, second = divmod(time.time(), 60)
    name = f"key-scores:{caller.key_id}:{int(minute)}"
    cache.add(name, 0, timeout=120)
    try:
        count = cache.incr(name)
    except ValueError:  # evicted between the two calls
        return 0
    return 0 if count <= KEY_SCORES_PER_MINUTE else max(1, math.ceil(60 - second))
