"""A light check of a passthrough request: types and roles, nothing more.

Unknown fields pass, but a body that no upstream accepts is refused before anything is
sent, with the field named. It costs one typed decode; no values are stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from gateway.canon.errors import invalid

_TYPE_LABELS = (
    ("`null`", "null"),
    ("`object`", "an object"),
    ("`array`", "a list"),
    ("`str`", "a string"),
    ("`int`", "a whole number"),
    ("`float`", "a number"),
    ("`bool`", "true or false"),
)


def passthrough_checker(schema: type[msgspec.Struct]) -> Callable[[bytes], None]:
    """A function that raises GatewayError naming the first field with an invalid value."""
    decoder = msgspec.json.Decoder(schema)

    def check(body: bytes) -> None:
        try:
            decoder.decode(body)
        except RecursionError:
            raise invalid("the request body is nested too deeply") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            path, message = explain_decode_error(str(error))
            raise invalid(message, path) from None

    return check


def explain_decode_error(error: str) -> tuple[str | None, str]:
    """The field's path and a readable message, from msgspec's error text."""
    # From the right: the text before it may contain a value of the client.
    reason, separator, path = error.rpartition(" - at `$")
    if not separator:
        reason, path = error, ""
    path = path.removesuffix("`").removeprefix(".")
    for type_name, type_label in _TYPE_LABELS:
        reason = reason.replace(type_name, type_label)
    missing = re.match(r"Object missing required field `(.*)`", reason)
    if missing:
        path = f"{path}.{missing[1]}" if path else missing[1]
        return path, f"{path} is required"
    reason = reason[:1].lower() + reason[1:]
    return path or None, f"{path}: {reason}" if path else reason
