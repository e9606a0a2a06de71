"""Anthropic Messages as Vertex AI's `rawPredict` and Amazon Bedrock's `InvokeModel` have them.

The path has the model, and the body the values of the headers `anthropic-version` and
`anthropic-beta`. The framing `invoke` is that of Bedrock: the path also says whether to stream,
each event of a stream is a base64 text in an event of AWS, and errors are those of Bedrock.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Any

import msgspec

from gateway.canon.errors import Error, invalid
from gateway.canon.events import Failed
from gateway.canon.json_values import to_raw
from gateway.dialects import DIALECTS
from gateway.dialects.base import ErrorReply, ResponseContext
from gateway.dialects.shared.claude import parse_betas
from gateway.dialects.shared.fields import object_or_empty
from gateway.framing import eventstream
from gateway.framing.formats import STREAM_FORMATS
from gateway.framing.sse import Decoder, Frame
from gateway.relay.exchange.call import Exchange, Send

VERSION, BETAS = "anthropic_version", "anthropic_beta"
# Other values, such as `bedrock-2023-05-31`, are versions of the envelope.
_API_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CONTENT_TYPE = STREAM_FORMATS["invoke"].content_type
_MESSAGES, _BEDROCK = DIALECTS["anthropic_messages"], DIALECTS["bedrock_converse"]


def unwrap(exchange: Exchange) -> None:
    """Turn the body into that of a Messages request. Raises GatewayError (400)."""
    fields = exchange.fields
    if VERSION not in fields:
        message = f"`{VERSION}` is required: of the bodies of InvokeModel, only that of Claude "
        raise invalid(f"{message}models (Messages) is accepted; for others, use Converse", VERSION)
    headers = dict(exchange.headers)
    version = _decode_field(fields.pop(VERSION), str, VERSION)
    if _API_VERSION.fullmatch(version):
        headers.setdefault("anthropic-version", version)
    if BETAS in fields:
        sent_betas = _decode_field(fields.pop(BETAS), list[str], BETAS)
        betas = dict.fromkeys(parse_betas({BETAS: sent_betas}, BETAS))
        if "anthropic-beta" in headers:
            betas = dict.fromkeys(headers["anthropic-beta"].split(",")) | betas
        headers["anthropic-beta"] = ",".join(betas)
    exchange.headers = headers
    if exchange.framing == "invoke":
        fields["stream"] = to_raw(exchange.stream)
    exchange.body = msgspec.json.encode(fields)


def _decode_field(raw: msgspec.Raw, field_type: Any, name: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=field_type)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        expected = "a string" if field_type is str else "an array of strings"
        raise invalid(f"{name} must be {expected}", name) from None


def render_invoke_error(error: Error, request_id: str) -> ErrorReply:
    """The error response of InvokeModel, with the message that clients of Messages recognize."""
    messages_error = _MESSAGES.client.render_error(error, request_id).body["error"]
    reply = _BEDROCK.client.render_error(error, request_id)
    return msgspec.structs.replace(reply, body={"message": messages_error["message"]})


_METRICS_FIELD = "amazon-bedrock-invocationMetrics"
# Fields of a message's usage -> their names in Bedrock's metrics.
_METRICS = {
    "input_tokens": "inputTokenCount",
    "output_tokens": "outputTokenCount",
    "cache_read_input_tokens": "cacheReadInputTokenCount",
    "cache_creation_input_tokens": "cacheWriteInputTokenCount",
}


class InvokeStream:
    """Sends a response to the client, its server-sent events as events of AWS.

    The last event of a message has the metrics that Bedrock adds to it.
    """

    def __init__(self, send: Send, started: float) -> None:
        self._send = send
        self._decoder: Decoder | None = None
        self._started = started
        self._first_byte_ms = 0
        self._tokens: dict[str, int] = {}

    async def send(self, message: dict[str, Any]) -> None:
        """Send an ASGI message."""
        if message["type"] == "http.response.start":
            if (b"content-type", _CONTENT_TYPE) in message["headers"]:
                self._decoder = Decoder()
        elif self._decoder is not None:
            frames = self._decoder.feed(message["body"])
            if not message["more_body"]:
                frames += self._decoder.close()
            message = {**message, "body": b"".join(map(self._encode_frame, frames))}
        await self._send(message)

    def _encode_frame(self, frame: Frame) -> bytes:
        if frame.event == "message_start":
            self._first_byte_ms = self._elapsed_ms()
            self._read_usage(_object_in(_decoded_object(frame), "message"))
        elif frame.event == "message_delta":
            self._read_usage(_decoded_object(frame))
        elif frame.event == "message_stop":
            data = msgspec.json.encode({**_decoded_object(frame), _METRICS_FIELD: self._metrics()})
            return _encode_frame(Frame(frame.event, data))
        return _encode_frame(frame)

    def _read_usage(self, holder: dict[str, Any]) -> None:
        for name, value in _object_in(holder, "usage").items():
            if name in _METRICS and type(value) is int:
                self._tokens[_METRICS[name]] = value

    def _metrics(self) -> dict[str, int]:
        counts = {"inputTokenCount": 0, "outputTokenCount": 0} | self._tokens
        return counts | {
            "invocationLatency": self._elapsed_ms(),
            "firstByteLatency": self._first_byte_ms,
        }

    def _elapsed_ms(self) -> int:
        return int((time.perf_counter() - self._started) * 1000)


def _decoded_object(frame: Frame) -> dict[str, Any]:
    """The JSON object in an event; empty for anything else."""
    try:
        value = msgspec.json.decode(frame.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return object_or_empty(value)


def _object_in(holder: dict[str, Any], name: str) -> dict[str, Any]:
    return object_or_empty(holder.get(name))


def _encode_frame(frame: Frame) -> bytes:
    if frame.event == "error":
        error = _MESSAGES.provider.parse_error(200, {}, frame.data)
        context = ResponseContext(id="", created=0, model="")
        return _BEDROCK.client.stream_renderer(context).feed(Failed(error))
    chunk = msgspec.json.encode({"bytes": base64.b64encode(frame.data).decode()})
    return eventstream.encode(chunk, "chunk")
