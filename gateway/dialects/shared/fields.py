"""Readers of JSON: a client's fields, where a wrong type is an error that names the field, and
a provider's values, where a wrong type counts as absent.

A reader of a client's field takes the object, the key and the object's own path; an absent
field and `null` both read as None. A passthrough body is only checked: types and roles of known
fields, in one typed decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.canon.errors import GatewayError, invalid, unsupported

MAX_TOKENS = 100_000_000
_MAX_INT = 2**63
_TYPE_LABELS: dict[type, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def join_path(path: str, key: str) -> str:
    """The path of `key` in the object at `path`."""
    return f"{path}.{key}" if path else key


def wrong_type(path: str, expected_type: str, value: Any) -> GatewayError:
    """The error for a value whose type the field does not accept."""
    actual_type = _TYPE_LABELS.get(type(value), type(value).__name__)
    return invalid(f"{path} must be {expected_type}, not {actual_type}", path)


def text(obj: dict[str, Any], key: str, path: str = "") -> str | None:
    """A string."""
    value = obj.get(key)
    if value is None or type(value) is str:
        return value
    raise wrong_type(join_path(path, key), "a string", value)


def required_text(obj: dict[str, Any], key: str, path: str = "") -> str:
    """A required string."""
    value = text(obj, key, path)
    if value is None:
        field_path = join_path(path, key)
        raise invalid(f"{field_path} is required and must be a string", field_path)
    return value


def boolean(obj: dict[str, Any], key: str, path: str = "") -> bool | None:
    """True or false."""
    value = obj.get(key)
    if value is None or type(value) is bool:
        return value
    raise wrong_type(join_path(path, key), "true or false", value)


def integer(
    obj: dict[str, Any],
    key: str,
    *,
    minimum: int = -_MAX_INT,
    maximum: int = _MAX_INT,
    path: str = "",
) -> int | None:
    """A whole number within bounds; `3.0` counts as 3."""
    value = obj.get(key)
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise wrong_type(join_path(path, key), "a whole number", value)
    if not minimum <= value <= maximum:
        field_path = join_path(path, key)
        raise invalid(f"{field_path} must be between {minimum} and {maximum}", field_path)
    return value


def number(obj: dict[str, Any], key: str, *, bound: float = 1000.0, path: str = "") -> float | None:
    """A number between -bound and bound."""
    value = obj.get(key)
    if value is None:
        return None
    if type(value) is not float and type(value) is not int:
        raise wrong_type(join_path(path, key), "a number", value)
    if not -bound <= value <= bound:
        field_path = join_path(path, key)
        raise invalid(f"{field_path} must be between {-bound:g} and {bound:g}", field_path)
    return float(value)


def mapping(obj: dict[str, Any], key: str, path: str = "") -> dict[str, Any] | None:
    """An object."""
    value = obj.get(key)
    if value is None or type(value) is dict:
        return value
    raise wrong_type(join_path(path, key), "an object", value)


def required_mapping(obj: dict[str, Any], key: str, path: str = "") -> dict[str, Any]:
    """A required object."""
    value = mapping(obj, key, path)
    if value is None:
        field_path = join_path(path, key)
        raise invalid(f"{field_path} is required and must be an object", field_path)
    return value


def objects(obj: dict[str, Any], key: str, path: str = "") -> list[dict[str, Any]]:
    """A list of objects; empty if absent."""
    value = obj.get(key)
    if value is None:
        return []
    field_path = join_path(path, key)
    if type(value) is not list:
        raise wrong_type(field_path, "a list", value)
    for index, item in enumerate(value):
        if type(item) is not dict:
            raise wrong_type(f"{field_path}[{index}]", "an object", item)
    return value


def required_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a request. Raises GatewayError if there are none."""
    messages = objects(body, "messages")
    if not messages:
        raise invalid(
            "messages is required and must be a list with at least one message", "messages"
        )
    return messages


def strings(obj: dict[str, Any], key: str, path: str = "") -> tuple[str, ...]:
    """A string or a list of strings, as a tuple; empty if absent."""
    value = obj.get(key)
    if value is None:
        return ()
    if type(value) is str:
        return (value,)
    field_path = join_path(path, key)
    if type(value) is not list:
        raise wrong_type(field_path, "a string or a list of strings", value)
    for index, item in enumerate(value):
        if type(item) is not str:
            raise wrong_type(f"{field_path}[{index}]", "a string", item)
    return tuple(value)


def enum_value(
    obj: dict[str, Any], key: str, allowed_values: tuple[str, ...], path: str = ""
) -> str | None:
    """The field's value, which must be one of `allowed_values`."""
    value = text(obj, key, path)
    if value is None or value in allowed_values:
        return value
    field_path = join_path(path, key)
    raise invalid(
        f"{field_path} must be one of {', '.join(allowed_values)}, not {value[:60]!r}", field_path
    )


def web_url(url: str | None, path: str) -> str:
    """The URL of a part, for a provider that fetches it from the web.

    Raises GatewayError for an address in Amazon S3, which only Amazon Bedrock can read.
    """
    if url is not None and url.startswith("s3://"):
        raise unsupported(
            path, "the provider does not read s3://; send the data or an https:// URL"
        )
    return url or ""


def compact_json(value: Any) -> str:
    """The value as compact JSON."""
    return msgspec.json.encode(value).decode()


def logit_bias(body: dict[str, Any]) -> dict[str, float] | None:
    """OpenAI's `logit_bias`: token -> number."""
    biases = mapping(body, "logit_bias")
    if not biases:
        return None
    for token, bias in biases.items():
        if type(bias) is not int and type(bias) is not float:
            raise wrong_type(f"logit_bias.{token}", "a number", bias)
    return biases


# --- a provider's values --------------------------------------------------------------------------


def string_or_empty(value: Any) -> str:
    """The value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""


# Fields of Gemini's parts besides the one with the content.
_PART_MARKS = frozenset(
    {"thought", "thoughtSignature", "videoMetadata", "partMetadata", "mediaResolution"}
)


def native_kind(data: dict[str, Any]) -> str:
    """The kind of a native part: its type, or the field with its content (Gemini)."""
    kind = data.get("type") or next((name for name in data if name not in _PART_MARKS), None)
    return str(kind or "unknown")[:60]


def string_or_none(value: Any) -> str | None:
    """The value if it is a string."""
    return value if isinstance(value, str) else None


def integer_or_none(value: Any) -> int | None:
    """The value if it is an integer."""
    return value if type(value) is int else None


def non_negative_or_none(value: Any) -> int | None:
    """The value if it is an integer that is not negative."""
    return value if type(value) is int and value >= 0 else None


def object_or_empty(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def token_count(usage: dict[str, Any], name: str) -> int | None:
    """The number of tokens in a field; None if it is not reported, and never negative.

    Some providers report whole numbers as floats.
    """
    value = usage.get(name)
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        return None
    return value if value > 0 else 0


# --- the check of a body that passes through --------------------------------------------

_MSGSPEC_TYPES = (
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
    for type_name, type_label in _MSGSPEC_TYPES:
        reason = reason.replace(type_name, type_label)
    missing_field = re.match(r"Object missing required field `(.*)`", reason)
    if missing_field:
        path = f"{path}.{missing_field[1]}" if path else missing_field[1]
        return path, f"{path} is required"
    reason = reason[:1].lower() + reason[1:]
    return path or None, f"{path}: {reason}" if path else reason
