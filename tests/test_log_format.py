"""Formats of log lines: each record is one line, whatever text of a client is in it."""

from __future__ import annotations

import json
import logging

from gateway.config.log_format import JsonFormatter, KeyValueFormatter
from tests.each import each

# Line breaks for `str.splitlines`, terminals and viewers, and characters that reorder a line.
TEXT = "gpt\n\x1b[2J\x85\u2028\u2029\u202e\u2066é"


@each("formatter", [KeyValueFormatter(), JsonFormatter()], ids=["key=value", "json"])
def test_a_field_cannot_add_lines_or_reorder_them(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord({"msg": "request", "model": TEXT})
    line = formatter.format(record)
    assert line.isprintable()
    assert "é" in line
    if isinstance(formatter, JsonFormatter):
        assert json.loads(line)["model"] == TEXT
