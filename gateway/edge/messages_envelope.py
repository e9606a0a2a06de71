"""Anthropic Messages as Vertex AI's `rawPredict` and Amazon Bedrock's `InvokeModel` have them.

The path has the model, and the body the values of the headers `anthropic-version` and
`anthropic-beta`. The framing `invoke` is that of Bedrock: the path also says whether to stream,
each event of a stream is a base64 text in an event of AWS, and errors are those of Bedrock.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from gateway.canon.errors import Error, invalid
from gateway.canon.events import Failed
from gateway.dialects import DIALECTS
from gateway.dialects.base import ErrorReply, ResponseContext
from gateway.dialects.shared.claude import parse_betas
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
        fields["stream"] = msgspec.Raw(msgspec.json.encode(exchange.stream))
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


class InvokeStream:
    """Sends a response to the client, its server-sent events as events of AWS."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._decoder: Decoder | None = None

    async def send(self, message: dict[str, Any]) -> None:
        """Send an ASGI message."""
        if message["type"] == "http.response.start":
            if (b"content-type", _CONTENT_TYPE) in message["headers"]:
                self._decoder = Decoder()
        elif self._decoder is not None:
            frames = self._decoder.feed(message["body"])
            if not message["more_body"]:
                frames += self._decoder.close()
            message = {**message, "body": b"".join(map(_encode_frame, frames))}
        await self._send(message)


def _encode_frame(frame: Frame) -> bytes:
    if frame.event == "error":
        error = _MESSAGES.provider.parse_error(200, {}, frame.data)
        context = ResponseContext(id="", created=0, model="")
        return _BEDROCK.client.stream_renderer(context).feed(Failed(error))
    chunk = msgspec.json.encode({"bytes": base64.b64encode(frame.data).decode()})
    return eventstream.encode(chunk, "chunk")
