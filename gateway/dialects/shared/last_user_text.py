"""The last user text of a request, read without parsing the conversation before it.

Equal requests end with the same text in every dialect, so the response cache uses it to
rule out most misses early. Only unambiguous text is read: the text at the end of the
user's last message, exactly as in `Request.turns`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.canon.request import Request, Text
from gateway.dialects.base import LastUserText


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None


class _Message(msgspec.Struct):
    role: str | None = None
    type: str | None = None
    content: str | list[_Part] | None = None
    parts: list[_Part] | None = None
    images: list[msgspec.Raw] | None = None


_messages_decoder = msgspec.json.Decoder(str | list[msgspec.Raw])
_message_decoder = msgspec.json.Decoder(_Message)


def last_user_text_reader(field: str, kind: str | None) -> LastUserText:
    """A reader for the last user text in `field`, whose text parts have the type `kind`.

    The field is a list of messages, or one string.
    """

    def read_text(fields: Mapping[str, msgspec.Raw]) -> str:
        raw = fields.get(field)
        if raw is None:
            return ""
        try:
            messages = _messages_decoder.decode(raw)
            if isinstance(messages, str):
                return messages
            last_message = _message_decoder.decode(messages[-1])
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
            return ""
        if last_message.role != "user":
            return ""
        content = last_message.content
        if type(content) is str and last_message.type is None and last_message.images is None:
            return content  # the most common form
        return _last_text_part(last_message, kind)

    return read_text


def _last_text_part(message: _Message, kind: str | None) -> str:
    if message.type not in {None, "message"} or message.images:
        return ""
    content = message.parts if message.content is None else message.content
    if isinstance(content, str):
        return content
    if not content or content[-1].type != kind:
        return ""
    return content[-1].text or ""


def last_user_text(request: Request) -> str:
    """The last user text of a canonical request; empty if it ends otherwise."""
    if not request.turns or request.turns[-1].role != "user" or not request.turns[-1].parts:
        return ""
    last_part = request.turns[-1].parts[-1]
    return last_part.text if isinstance(last_part, Text) else ""
