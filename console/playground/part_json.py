"""Encodes canonical message parts as JSON and back, without loss.

The page displays a part in a few simple forms (text, image, tool call, tool result).
Where such a form is lossy, the encoded part is sent along with it.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from gateway.canon.request import Part

Json = dict[str, Any]
_CLASSES: dict[str, type[msgspec.Struct]] = {cls.__name__: cls for cls in get_args(Part)}
# Path in the body of the original request, which is not sent again.
_SKIPPED_FIELDS = frozenset({"path"})


def encode_part(part: Part) -> Json:
    """Encode all fields that differ from their defaults, with the name of the class."""
    data: Json = {"class": type(part).__name__}
    for field in msgspec.structs.fields(part):
        value = getattr(part, field.name)
        if field.name in _SKIPPED_FIELDS or value == field.default:
            continue
        if field.name == "parts":
            data["parts"] = [encode_part(inner_part) for inner_part in value]
        else:
            data[field.name] = msgspec.to_builtins(value)
    return data


def decode_part(data: Any) -> Part:
    """Decode the result of `encode_part`. Raises ValueError for anything else."""
    if not isinstance(data, dict) or data.get("class") not in _CLASSES:
        raise ValueError("not an encoded part")
    cls = _CLASSES[data["class"]]
    values: Json = {}
    for field in msgspec.structs.fields(cls):
        if field.name in _SKIPPED_FIELDS or field.name not in data:
            continue
        value = data[field.name]
        if field.name == "parts":
            if not isinstance(value, list):
                raise ValueError("parts must be a list")
            values["parts"] = tuple(map(decode_part, value))
        else:
            # Raises msgspec.ValidationError, which is a ValueError.
            values[field.name] = msgspec.convert(value, field.type)
    try:
        return cls(**values)  # type: ignore[return-value]
    except TypeError as error:
        raise ValueError(str(error)) from None
