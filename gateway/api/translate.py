"""POST /api/translate: translates a request, a stream or an error into another dialect.

It runs the code of live traffic without calling a provider: for interactive use, for the
console's pages, and for golden cases.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from gateway.api.auth import Editor
from gateway.api.request_schema import RequestSchema
from gateway.api.resources import reply
from gateway.canon.errors import Error, GatewayError, invalid
from gateway.canon.media import sniff_bytes
from gateway.dialects import DIALECTS
from gateway.edge.endpoints import find_endpoint
from gateway.providers.catalog import resolve_preset
from gateway.relay.upstream.media_fetch import FetchedFile
from gateway.simulate import translate
from gateway.simulate.inputs import SimulationInputs

router = Router(tags=["translate"], auth=Editor())


class FileIn(RequestSchema):
    """Content of a URL, in base64."""

    media_type: str = ""
    data: str


class TranslateIn(RequestSchema):
    """One message to translate: exactly one of `request`, `stream` and `error`.

    `source` and `target` (`from`, `to`) are dialects or provider presets. A request
    goes from a client's dialect to a provider's, a stream and an error the other way.
    A `request` with a `status` is an error response of an upstream.
    `stored` are earlier responses by ID (`input`, `output`) that a request continues.
    `responses` are earlier unmodified responses of the provider: live requests store from
    them what the client cannot send back, such as reasoning signatures. `files` are the
    contents of URLs in the request, for providers that do not support URLs.
    """

    source: str = Field(alias="from")
    target: str = Field(alias="to")
    model: str = ""
    request: dict[str, Any] | None = None
    stream: list[Any] | None = None
    error: dict[str, Any] | None = None
    include_usage: bool = True
    stored: dict[str, Any] | None = None
    responses: list[Any] = []
    files: dict[str, FileIn] = {}


class RuntimeInputOut(Schema):
    """An input that only live requests have, and its position in the client's body."""

    field: str
    note: str


class TranslatedOut(Schema):
    """The translation; which fields are set depends on the input.

    Attributes:
        body, path, url, headers: of a request, and whether it is a `passthrough`.
        events: of a stream.
        status, headers, body: of an error.
        report: fields that could not be translated exactly.
        runtime_inputs: inputs that only live requests have: `field` and `note`.
    """

    body: Any = None
    path: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    passthrough: bool = False
    events: list[Any] = []
    status: int = 200
    report: list[dict[str, Any]] = []
    runtime_inputs: list[RuntimeInputOut] = []


class RefusalOut(Schema):
    """The error that the client of the example would get, in its dialect."""

    status: int


@router.post("/translate", response={200: TranslatedOut, 400: RefusalOut})
def translate_example(request: HttpRequest, payload: TranslateIn) -> HttpResponse:
    """Translate one example and report what could not be translated exactly."""
    try:
        return reply(200, _translate(payload))
    except GatewayError as failure:
        return error_response(payload, failure.error)


def _translate(payload: TranslateIn) -> dict[str, Any]:
    inputs = [name for name in ("request", "stream", "error") if getattr(payload, name) is not None]
    if len(inputs) != 1:
        raise invalid("set exactly one of request, stream and error", inputs[0] if inputs else None)
    error = payload.request if "status" in (payload.request or {}) else payload.error
    if payload.request is not None and error is None:
        body, headers = _split_request(payload.request)
        return translate.request(
            payload.source,
            payload.target,
            body,
            headers,
            payload.model,
            payload.stored,
            _simulation_inputs(payload),
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
        payload.source, payload.target, status, _string_headers(headers), error.get("body")
    )


def _simulation_inputs(payload: TranslateIn) -> SimulationInputs:
    """The stored responses and files of the payload. Raises GatewayError for invalid base64."""
    files = {}
    for url, file in payload.files.items():
        try:
            content = base64.b64decode(file.data, validate=True)
        except binascii.Error:
            raise invalid(f"files.{url[:200]}: data must be base64", "files") from None
        media_type = sniff_bytes(content) or file.media_type
        files[url] = FetchedFile(data=file.data, media_type=media_type, size=len(content))
    return SimulationInputs(
        responses=tuple(payload.responses), files=files, fetch_media=settings.FETCH_MEDIA
    )


def _split_request(request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers: the request is either a body, or an object with `body` and `headers`.

    A `path` next to them supplies model and stream for dialects that have these in the path.
    """
    body, headers = request.get("body"), request.get("headers") or {}
    if not isinstance(body, dict) or "messages" in request:
        return request, {}
    path = request.get("path")
    endpoint = find_endpoint(path.partition("?")[0]) if isinstance(path, str) else None
    if endpoint is not None and endpoint.model:
        body = {**body, "model": endpoint.model, "stream": endpoint.stream}
    return body, _string_headers(headers)


def _string_headers(headers: dict[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers.items()}


def error_response(payload: TranslateIn, error: Error) -> HttpResponse:
    """The error in the dialect of the example's client."""
    preset = resolve_preset(translate.without_verb(payload.source))
    dialect = DIALECTS.get(preset.dialect if preset else "", DIALECTS["openai_chat"])
    response = dialect.client.render_error(error, translate.REQUEST_ID)
    return reply(400, {**response.body, "status": response.status})
