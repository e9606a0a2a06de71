"""Forms as the standard library parses them, for fake providers."""

from __future__ import annotations

import email
from email.message import Message
from typing import Any

from tests.fakes.server import RecordedRequest


def form_of(request: RecordedRequest) -> dict[str, Any]:
    """Return the fields of a form: texts, files as `(name, content type, bytes)`, and lists."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.raw)
    fields: dict[str, Any] = {}
    for part in message.get_payload():
        assert isinstance(part, Message)
        name = str(part.get_param("name", header="content-disposition"))
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        filename = part.get_filename()
        value: Any = (
            data.decode() if filename is None else (filename, part.get_content_type(), data)
        )
        if name.endswith("[]"):
            fields.setdefault(name[:-2], []).append(value)
        else:
            assert name not in fields, f"{name} is given twice"
            fields[name] = value
    return fields
