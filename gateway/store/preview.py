"""The first words of the last user prompt of a request, which lists of requests display.

Stored with the bodies: it is deleted with them, and never read without permission to read them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.relay.exchange.log_record import Bodies

MAX_CHARS = 200
# Characters of a prompt that are read; whitespace in it is collapsed.
_READ_CHARS = 2000
# Words that fill a line, with a space after each. More are not split.
_MAX_WORDS = MAX_CHARS // 2
# Claude Code adds reminders to the user's message as text parts of their own.
_REMINDER = "<system-reminder>"


class _Body(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    contents: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    role: str = "user"
    content: Any = None
    parts: Any = None


_body_decoder = msgspec.json.Decoder(_Body)
_prompt_decoder = msgspec.json.Decoder(str | list[msgspec.Raw])
_item_decoder = msgspec.json.Decoder(str | _Message)


def preview(bodies: Bodies) -> str:
    """The last user prompt on one line, at most MAX_CHARS; empty if it cannot be read."""
    if not bodies.client_request:
        return ""
    try:
        body = _body_decoder.decode(bodies.client_request)
        text = (
            _last_prompt(body.messages)
            or _last_prompt(body.input)
            or _last_prompt(body.contents)
            or _last_prompt(body.prompt)
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    line = " ".join(text[:_READ_CHARS].replace("\0", " ").split(None, _MAX_WORDS))
    if len(line) > MAX_CHARS:
        line = f"{line[: MAX_CHARS - 1]}…"
    return line.encode("utf-8", "replace").decode()


def _last_prompt(raw: msgspec.Raw) -> str:
    if not raw:
        return ""
    value = _prompt_decoder.decode(raw)
    if isinstance(value, str):
        return value
    for item in reversed(value):
        try:
            message = _item_decoder.decode(item)
        except msgspec.MsgspecError:  # token ids, or an item without a role
            continue
        if isinstance(message, str):
            return message
        if message.role == "user" and (text := _message_text(message)):
            return text
    return ""


def _message_text(message: _Message) -> str:
    content = message.parts if message.content is None else message.content
    if isinstance(content, str):
        return content
    texts: list[str] = [
        part["text"]
        for part in (content if isinstance(content, list) else [])
        if isinstance(part, dict) and isinstance(part.get("text"), str) and part["text"].strip()
    ]
    typed_texts = [text for text in texts if not text.lstrip().startswith(_REMINDER)]
    return (typed_texts or texts or [""])[-1]
