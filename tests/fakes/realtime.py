"""OpenAI's Realtime API on a socket, as strict as the service.

It transcribes a committed buffer if `session.update` has set a model for that. The user's text
selects the response: `audio` has audio deltas, `flood` FLOOD_MB megabytes, `fail` is an error event, `drop`
interrupts the connection, `silent` never responds, `end` closes with a code.
"""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

KEY = "sk-realtime-upstream-secret"
MODELS = ("gpt-realtime", "gpt-realtime-mini")
AUDIO = bytes(range(256)) * 8
FLOOD_MB = 128
USAGE = {
    "total_tokens": 1300,
    "input_tokens": 1000,
    "output_tokens": 300,
    "input_token_details": {
        "text_tokens": 400,
        "audio_tokens": 600,
        "cached_tokens": 200,
        "cached_tokens_details": {"text_tokens": 100, "audio_tokens": 100},
    },
    "output_token_details": {"text_tokens": 100, "audio_tokens": 200},
}
_CLIENT_EVENTS = frozenset(
    {
        "session.update",
        "input_audio_buffer.append",
        "input_audio_buffer.commit",
        "input_audio_buffer.clear",
        "output_audio_buffer.clear",
        "conversation.item.create",
        "conversation.item.retrieve",
        "conversation.item.truncate",
        "conversation.item.delete",
        "response.create",
        "response.cancel",
    }
)


@dataclass
class Session:
    """A recorded session, and how its client disconnected."""

    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    events: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None


class StrictRealtime:
    """The server, which runs in its own threads."""

    def __init__(self) -> None:
        self.path, self.model_param = "/v1/realtime", "model"
        self.sessions: list[Session] = []
        self.refused: list[int] = []
        # Megabytes of a `flood` that were sent.
        self.flooded = 0

    def __enter__(self) -> Self:
        self._server: Server = serve(
            self._serve, "127.0.0.1", 0, process_request=self._check, compression=None
        )
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        model = parse_qs(url.query).get(self.model_param, [])
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self._refuse(connection, 401, "Incorrect API key provided", "invalid_api_key")
        if url.path != self.path:
            return self._refuse(connection, 404, "Invalid URL", "not_found")
        if len(model) != 1:
            return self._refuse(connection, 400, "You must provide a model parameter", "missing")
        if model[0] not in MODELS:
            message = f"The model `{model[0]}` does not exist"
            return self._refuse(connection, 404, message, "model_not_found")
        return None

    def _refuse(
        self, connection: ServerConnection, status: int, message: str, code: str
    ) -> Response:
        self.refused.append(status)
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        response = connection.respond(HTTPStatus(status), json.dumps({"error": error}))
        response.headers["x-request-id"] = "req_upstream"
        return response

    def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        url = urlsplit(socket.request.path)
        headers = {name.lower(): value for name, value in socket.request.headers.raw_items()}
        session = Session(url.path, parse_qs(url.query), headers)
        self.sessions.append(session)
        model = session.query[self.model_param][0]
        transcriber = ""
        try:
            _send(socket, "session.created", session=_session(model))
            text = ""
            for message in socket:
                event = json.loads(message)
                session.events.append(event)
                if event.get("type") == "session.update":
                    transcriber = _transcriber(event["session"]) or transcriber
                if event.get("type") == "input_audio_buffer.commit" and transcriber:
                    _transcribe(socket, transcriber)
                text = self._handle(socket, event, model, text)
        except ConnectionClosed:
            pass
        finally:
            session.close_code = socket.close_code

    def _handle(
        self, socket: ServerConnection, event: dict[str, Any], model: str, text: str
    ) -> str:
        kind = event.get("type")
        if kind not in _CLIENT_EVENTS:
            _error(socket, f"Invalid value: '{kind}'.", "invalid_value", event, "type")
        elif kind == "session.update":
            if event["session"].get("model", model) != model:
                _error(socket, "The model cannot be changed.", "invalid_value", event, "model")
            else:
                updated = {**_session(model), "audio": event["session"].get("audio")}
                _send(socket, "session.updated", session=updated)
        elif kind == "conversation.item.create":
            text = event["item"]["content"][0]["text"]
            _send(socket, "conversation.item.added", item={**event["item"], "id": "item_1"})
        elif kind == "response.create":
            if "flood" in text:
                for _ in range(FLOOD_MB):
                    _send(socket, "response.output_audio.delta", delta="A" * 1_000_000)
                    self.flooded += 1
            _respond(socket, text)
        return text


def _respond(socket: ServerConnection, text: str) -> None:
    if "silent" in text:
        return
    if "drop" in text:
        socket.socket.close()
        return
    if "end" in text:
        socket.close(4001, "the session is over")
        return
    if "fail" in text:
        _error(socket, f"It failed with {KEY}", "server_error", {}, None)
        return
    _send(socket, "response.created", response={"id": "resp_1", "status": "in_progress"})
    ids = {"response_id": "resp_1", "item_id": "item_2", "output_index": 0, "content_index": 0}
    if "audio" in text:
        for start in range(0, len(AUDIO), 1024):
            delta = base64.b64encode(AUDIO[start : start + 1024]).decode()
            _send(socket, "response.output_audio.delta", delta=delta, **ids)
    else:
        for delta in ("Hello", " from", " Realtime."):
            _send(socket, "response.output_text.delta", delta=delta, **ids)
    done = {"object": "realtime.response", "id": "resp_1", "status": "completed", "usage": USAGE}
    _send(socket, "response.done", response=done)


def _transcriber(session: dict[str, Any]) -> str:
    audio_input = (session.get("audio") or {}).get("input") or {}
    return str((audio_input.get("transcription") or {}).get("model", ""))


def _transcribe(socket: ServerConnection, model: str) -> None:
    usage: dict[str, Any] = {"type": "duration", "seconds": 60}
    if model.startswith("gpt-4o"):
        details = {"audio_tokens": 1_000_000, "text_tokens": 0}
        usage = {
            "type": "tokens",
            "total_tokens": 1_000_010,
            "input_tokens": 1_000_000,
            "output_tokens": 10,
            "input_token_details": details,
        }
    _send(
        socket,
        "conversation.item.input_audio_transcription.completed",
        item_id="item_1",
        content_index=0,
        transcript="Hello.",
        usage=usage,
    )


def _session(model: str) -> dict[str, Any]:
    return {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": model}


def _send(socket: ServerConnection, event_type: str, **fields: Any) -> None:
    socket.send(json.dumps({"type": event_type, "event_id": "event_1", **fields}))


def _error(
    socket: ServerConnection, message: str, code: str, event: dict[str, Any], param: str | None
) -> None:
    error = {
        "type": "invalid_request_error",
        "code": code,
        "message": message,
        "param": param,
        "event_id": event.get("event_id"),
    }
    _send(socket, "error", error=error)
