"""`Idempotency-Key`: a request that is repeated, as after a lost response, runs only once.

The response is stored for 24 hours under the key, the caller and the operation. It is encrypted
like provider credentials, as the response for a new API key contains the secret.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from gateway.api.failures import failure
from gateway.models import IdempotentResponse
from gateway.models.sealed import seal_for, unseal_for

_MAX_KEY_LENGTH = 255
# A request in progress for this long is assumed to have died with its process.
_STALE_AFTER = dt.timedelta(seconds=60)


def run_once(request: HttpRequest, operation: Callable[[], HttpResponse]) -> HttpResponse:
    """The response of `operation`, or the stored one if the request is a repetition."""
    key = request.headers.get("idempotency-key", "")
    if not key:
        return operation()
    if len(key) > _MAX_KEY_LENGTH:
        return failure(422, f"must have at most {_MAX_KEY_LENGTH} characters", "Idempotency-Key")
    IdempotentResponse.objects.past_retention().delete()
    digest, request_digest = _key_digest(request, key), hashlib.sha256(request.body).hexdigest()
    try:
        with transaction.atomic():
            row = IdempotentResponse.objects.create(
                key_digest=digest, request_digest=request_digest
            )
    except IntegrityError:
        return _replay_response(digest, request_digest, operation)
    return _run_and_store(row, operation)


def _key_digest(request: HttpRequest, key: str) -> str:
    auth = getattr(request, "auth", "")
    caller = auth if isinstance(auth, str) else f"user {getattr(auth, 'pk', '')}"
    # With the secret of a personal key, only that key's operations are allowed.
    if personal_key_id := getattr(request, "personal_key_id", None):
        caller = f"{caller} key {personal_key_id}"
    parts = (caller, request.method or "", request.get_full_path(), key)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _run_and_store(row: IdempotentResponse, operation: Callable[[], HttpResponse]) -> HttpResponse:
    """Run `operation`, and store its response unless it is a 5xx, so that a retry runs again."""
    try:
        response = operation()
    except BaseException:
        row.delete()
        raise
    if response.status_code >= 500:
        row.delete()
        return response
    row.status = response.status_code
    row.body = seal_for(_seal_context(row.key_digest), response.content.decode())
    row.save()
    return response


def _replay_response(
    digest: str, request_digest: str, operation: Callable[[], HttpResponse]
) -> HttpResponse:
    row = IdempotentResponse.objects.filter(key_digest=digest).first()
    if row is None:
        return operation()
    if row.request_digest != request_digest:
        return failure(422, "was already used for a different request", "Idempotency-Key")
    if row.status == 0:
        if row.created_at > timezone.now() - _STALE_AFTER:
            return failure(
                409, "the same request is still in progress; try again", "Idempotency-Key"
            )
        row.created_at = timezone.now()
        row.save()
        return _run_and_store(row, operation)
    body = unseal_for(_seal_context(digest), row.body)
    response = HttpResponse(body, status=row.status, content_type="application/json")
    response["Idempotency-Replayed"] = "true"
    return response


def _seal_context(digest: str) -> str:
    return f"answer:{digest}"
