"""POST /api/translate: what a request, a stream or an error becomes in another dialect.

The same code as live traffic, without a call: for a person who wants to know, for
the console's pages, and for golden cases.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from gateway.api.resources import reply
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.dialects import DIALECTS
from gateway.edge.endpoints import find
from gateway.providers.catalog import resolve
from gateway.relay import translate

router = Router(tags=["translate"])


class TranslateIn(Schema):
    """One thing to translate: exactly one of `request`, `stream`, `error`.

    `source` and `target` (`from`, `to`) are dialects or provider presets. A request
    goes from a client's dialect to a provider's, a stream and an error the other way.
    A `request` with a `status` is an error: the answer that an upstream gave.
    `stored` are earlier answers by id (`input`, `output`) that a request goes on from.
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    model: str = ""
    request: dict[str, Any] | None = None
    stream: list[Any] | None = None
    error: dict[str, Any] | None = None
    include_usage: bool = True
    stored: dict[str, Any] | None = None


class TranslatedOut(Schema):
    """What it becomes; which of these there are depends on what was given.

    Attributes:
        body, path, url, headers: of a request, and whether it is a `passthrough`.
        events: of a stream.
        status, headers, body: of an error.
        report: what could not be carried exactly.
    """

    body: Any = None
    path: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    passthrough: bool = False
    events: list[Any] = []
    status: int = 200
    report: list[dict[str, Any]] = []


class RefusalOut(Schema):
    """The error that the client of the example would be given, in its dialect."""

    status: int


@router.post("/translate", response={200: TranslatedOut, 400: RefusalOut})
def translate_example(request: HttpRequest, payload: TranslateIn) -> HttpResponse:
    """Translate one example and say what could not be carried exactly."""
    try:
        return reply(200, _translated(payload))
    except GatewayError as failure:
        return failed(payload, failure.error)


def _translated(payload: TranslateIn) -> dict[str, Any]:
    given = [name for name in ("request", "stream", "error") if getattr(payload, name) is not None]
    if len(given) != 1:
        raise invalid("give exactly one of request, stream and error", given[0] if given else None)
    error = payload.request if "status" in (payload.request or {}) else payload.error
    if payload.request is not None and error is None:
        body, headers = _parts(payload.request)
        return translate.request(
            payload.source, payload.target, body, headers, payload.model, payload.stored
        )
    if payload.stream is not None:
        return translate.stream(
            payload.source,
            payload.target,
            payload.stream,
            payload.model,
            include_usage=payload.include_usage,
        )
    error = error or {}
    status, headers = error.get("status"), error.get("headers") or {}
    if not isinstance(status, int) or not isinstance(headers, dict):
        raise invalid("error needs a status (a whole number) and headers (an object)", "error")
    return translate.error(
        payload.source, payload.target, status, _strings(headers), error.get("body")
    )


def _parts(request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers: the request is a body, or an object that holds both.

    A `path` beside them tells model and stream where a dialect has them there.
    """
    body, headers = request.get("body"), request.get("headers") or {}
    if not isinstance(body, dict) or "messages" in request:
        return request, {}
    path = request.get("path")
    endpoint = find(path.partition("?")[0]) if isinstance(path, str) else None
    if endpoint is not None and endpoint.model:
        body = {**body, "model": endpoint.model, "stream": endpoint.stream}
    return body, _strings(headers)


def _strings(headers: dict[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers.items()}


def failed(payload: TranslateIn, error: Error) -> HttpResponse:
    """The error as the client of the example would see it."""
    preset = resolve(translate.without_verb(payload.source))
    dialect = DIALECTS.get(preset.dialect if preset else "", DIALECTS["openai_chat"])
    said = dialect.client.render_error(error, translate.REQUEST_ID)
    return reply(400, {**said.body, "status": said.status})
