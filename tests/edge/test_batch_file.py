"""The model names in the lines of batch files."""

from __future__ import annotations

import json

import pytest

from gateway.edge.batch_file import BatchLineRewriter


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"body": {"model": "secret"}, "body": {}}', {"body": {}}),
        (b'{"body": {"model": "secret"}, "body": null}', {"body": None}),
        (b'{"body": {"model": "secret", "model": null}}', {"body": {"model": None}}),
        (b'{"body": {"mod\\u0065l": "secret", "model": null}}', {"body": {"model": None}}),
    ],
    ids=["no model", "no body", "null", "escaped"],
)
def test_a_later_field_hides_no_model(line: bytes, expected: object) -> None:
    """Go's JSON package merges duplicate fields and skips null: it would read the first model."""
    lines = BatchLineRewriter(lambda name, number: name)
    data = lines.feed(line) + lines.close()
    assert b"secret" not in data
    assert json.loads(data) == expected


@pytest.mark.parametrize("line", [b" ", b'{"custom_id": "1"}', b'{"body": {"input":  "model"}}'])
def test_a_line_without_a_model_keeps_its_bytes(line: bytes) -> None:
    lines = BatchLineRewriter(lambda name, number: name)
    assert lines.feed(line) + lines.close() == line
