"""A light check of a request that passes through: types and roles, nothing more.

Passthrough must let new fields by, but a body that no upstream could mean is
refused here, by name, before anything is sent. One typed decode, no values kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from gateway.canon.errors import invalid

_PLACE = re.compile(r"^(?P<what>.*?) - at `\$\.?(?P<path>.*)`$", re.S)
_WORDS = (
    ("`null`", "null"),
    ("`object`", "an object"),
    ("`array`", "a list"),
    ("`str`", "a string"),
    ("`int`", "a whole number"),
    ("`float`", "a number"),
    ("`bool`", "true or false"),
)


def checker(outline: type[msgspec.Struct]) -> Callable[[bytes], None]:
    """A function that raises GatewayError naming the first field that can not be meant."""
    decoder = msgspec.json.Decoder(outline)

    def check(body: bytes) -> None:
        try:
            decoder.decode(body)
        except RecursionError:
            raise invalid("the request body is nested too deeply") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            path, message = said(str(error))
            raise invalid(message, path) from None

    return check


def said(error: str) -> tuple[str | None, str]:
    """The field's path and a sentence for a person, from msgspec's words."""
    match = _PLACE.match(error)
    what, path = (match["what"], match["path"]) if match else (error, "")
    for word, plain in _WORDS:
        what = what.replace(word, plain)
    missing = re.match(r"Object missing required field `(.*)`", what)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return path, f"{path} is required"
    what = what[:1].lower() + what[1:]
    return path or None, f"{path}: {what}" if path else what
