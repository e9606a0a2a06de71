"""The last words of a request, read without a parse of all that leads to them.

Whoever asks the same question ends with the same words, in whatever dialect: so they tell
most new questions from old ones at once. Only what can not be mistaken is read: the text
that a user's last message ends with, as `Request.turns` would have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from gateway.canon.request import Request, Text

# A request's outermost fields -> its last words; empty where they are not plain to see.
Ending = Callable[[Mapping[str, msgspec.Raw]], str]


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None


class _Message(msgspec.Struct):
    role: str | None = None
    type: str | None = None
    content: str | list[_Part] | None = None
    parts: list[_Part] | None = None
    images: list[msgspec.Raw] | None = None


_messages = msgspec.json.Decoder(str | list[msgspec.Raw])
_message = msgspec.json.Decoder(_Message)


def reader(field: str, kind: str | None) -> Ending:
    """What reads the last words of `field`, whose texts are parts of the type `kind`.

    The field is a list of messages, or one text.
    """

    def ending(fields: Mapping[str, msgspec.Raw]) -> str:
        raw = fields.get(field)
        if raw is None:
            return ""
        try:
            messages = _messages.decode(raw)
            if isinstance(messages, str):
                return messages
            last = _message.decode(messages[-1])
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
            return ""
        if last.role != "user":
            return ""
        content = last.content
        if type(content) is str and last.type is None and last.images is None:
            return content  # as most have it
        return _said(last, kind)

    return ending


def _said(message: _Message, kind: str | None) -> str:
    if message.type not in {None, "message"} or message.images:
        return ""
    said = message.parts if message.content is None else message.content
    if isinstance(said, str):
        return said
    if not said or said[-1].type != kind:
        return ""
    return said[-1].text or ""


def ending_of(request: Request) -> str:
    """The same of a canonical request."""
    if not request.turns or request.turns[-1].role != "user" or not request.turns[-1].parts:
        return ""
    last = request.turns[-1].parts[-1]
    return last.text if isinstance(last, Text) else ""
