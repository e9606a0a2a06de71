"""The model's name in answers that are passed on: the one that the client asked for.

Translated answers are written with that name to begin with. Here it is put into the
upstream's own bytes; nothing is decoded where the name stands once.
"""

from __future__ import annotations

import msgspec

_FIELDS = ("model", "modelVersion")
# How the field may be written: most write JSON without spaces, Python's default has one.
_FIELD_PREFIXES = tuple(f'"{name}":{space}'.encode() for space in ("", " ") for name in _FIELDS)


def replace_model(data: bytes, upstream_model: str, requested_model: str) -> bytes:
    """A whole answer with its own `model`, which is `given`, as `wanted`."""
    field = _find_field(data, upstream_model) if upstream_model != requested_model else None
    if field is None:
        return data
    if data.count(field) == 1:
        return data.replace(field, _replacement_field(field, upstream_model, requested_model))
    # A tool's arguments may hold the same words.
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    fields |= {
        name: msgspec.Raw(msgspec.json.encode(requested_model))
        for name in _FIELDS
        if name in fields
    }
    return msgspec.json.encode(fields)


class StreamRenamer:
    """Replaces the model in a stream: the field of its first event, in each event."""

    __slots__ = ("_field", "_replacement", "_requested_model")

    def __init__(self, requested_model: str) -> None:
        self._requested_model = requested_model
        self._field: bytes | None = None
        self._replacement = b""

    def feed(self, data: bytes, upstream_model: str) -> bytes:
        """Whole events with the name replaced; `given` is what is known of the upstream's."""
        field = self._field
        if field is None:
            if not upstream_model:
                return data
            located_field = (
                _find_field(data, upstream_model)
                if upstream_model != self._requested_model
                else None
            )
            # Empty where there is nothing to replace.
            field = self._field = located_field or b""
            self._replacement = _replacement_field(field, upstream_model, self._requested_model)
        start = data.find(field) if field else -1
        if start < 0:
            return data
        end = start + len(field)
        if data.find(field, end) < 0:
            return data[:start] + self._replacement + data[end:]
        # The first one of each line, as the arguments of tools come after the model.
        lines = data.split(b"\n")
        return b"\n".join(line.replace(field, self._replacement, 1) for line in lines)


def _find_field(data: bytes, upstream_model: str) -> bytes | None:
    """The field as the upstream has written it; None where it is written in another way."""
    if not upstream_model:
        return None
    encoded_model = msgspec.json.encode(upstream_model)
    return next(
        (
            prefix + encoded_model
            for prefix in _FIELD_PREFIXES
            if data.find(prefix + encoded_model) >= 0
        ),
        None,
    )


def _replacement_field(field: bytes, upstream_model: str, requested_model: str) -> bytes:
    return field[: len(field) - len(msgspec.json.encode(upstream_model))] + msgspec.json.encode(
        requested_model
    )
