"""Checks responses: structured output against its schema, tool calls against expected ones."""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.playground.partial_json import InvalidJson, parse_partial
from console.playground.plan import ExpectedCall, Tool
from console.playground.results import ReceivedToolCall
from console.playground.schemas import SchemaViolation, first_violation, json_equal
from gateway.canon.json_values import decode_or_none

Json = dict[str, Any]
Schema = dict[str, Any]

# Parsing takes a millisecond per 20,000 characters and blocks the event loop.
MAX_CHARS = 500_000


# --- structured output -----------------------------------------------------------------


def check_partial_text(text: str, schema: Schema) -> Json:
    """Verdict while text arrives: `ok` until an error is certain."""
    try:
        partial = parse_partial(text)
    except InvalidJson as invalid:
        return _schema_verdict(_invalid_json_violation(text, invalid.offset), final=False)
    violation = (
        None if partial.empty else first_violation(partial.value, schema, partial.incomplete_paths)
    )
    return _schema_verdict(violation, final=False) | _field_counts(partial.value, schema)


def check_complete_text(text: str, schema: Schema) -> Json:
    """Verdict on the complete response."""
    if len(text) > MAX_CHARS:
        return _schema_verdict(
            SchemaViolation(path="", message=_("too long to be checked")), final=True
        )
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _schema_verdict(_json_violation(text), final=True)
    verdict = _schema_verdict(first_violation(value, schema, frozenset()), final=True)
    return verdict | _field_counts(value, schema)


def _field_counts(value: Any, schema: Schema) -> Json:
    """Number of the schema's top-level properties in the response; empty if it has none."""
    declared_fields = schema.get("properties")
    if not isinstance(declared_fields, dict) or not declared_fields:
        return {}
    present = len(declared_fields.keys() & value.keys()) if isinstance(value, dict) else 0
    return {"fields": present, "total": len(declared_fields)}


def _json_violation(text: str) -> SchemaViolation:
    try:
        parse_partial(text)
    except InvalidJson as invalid:
        return _invalid_json_violation(text, invalid.offset)
    message = "the response is empty" if not text.strip() else "the JSON ends before it is complete"
    return SchemaViolation(path="", message=message)


def _invalid_json_violation(text: str, offset: int) -> SchemaViolation:
    excerpt = text[offset : offset + 20]
    return SchemaViolation(
        path="", message=f"this is not JSON from character {offset + 1} on: {excerpt!r}"
    )


def _schema_verdict(violation: SchemaViolation | None, *, final: bool) -> Json:
    verdict: Json = {"check": "schema", "ok": violation is None, "final": final}
    if violation is not None:
        verdict |= {"path": violation.path, "message": violation.message}
    return verdict


# --- tools -----------------------------------------------------------------------------

# Further calls of an endless loop are ignored.
MAX_JUDGED_CALLS = 64
# From best to worst: equal arguments, arguments valid by the tool's schema, invalid
# arguments, or no such call.
GRADES = ("equal", "types", "wrong", "missing")


def check_tool_calls(
    calls: list[ReceivedToolCall],
    offered_tools: tuple[Tool, ...],
    expected: tuple[ExpectedCall, ...],
    *,
    final: bool,
) -> Json | None:
    """Verdict on the calls; None if there is nothing to check.

    With expected calls, each needs a call of its own and no other calls are allowed.
    Without them, a call must name an offered tool and follow its schema.
    """
    calls = calls[:MAX_JUDGED_CALLS]
    call_verdicts = [_check_call(call, offered_tools) for call in calls]
    verdict: Json = {
        "check": "tools",
        "final": final,
        "called": bool(calls),
        "calls": call_verdicts,
    }
    if not expected:
        return verdict | {"ok": all(call["ok"] for call in call_verdicts)} if calls else None
    matches = _match_expectations(calls, call_verdicts, expected)
    grades = [match["arguments"] for match in matches]
    correct = grades.count("equal")
    extra = _flag_unexpected_calls(call_verdicts, matches)
    missing_tools = [match["tool"] for match in matches if match["arguments"] == "missing"]
    verdict |= {
        "ok": correct == len(expected) and not extra,
        "name": not missing_tools,
        "arguments": max(grades, key=GRADES.index),
        "expected": len(expected),
        "correct": correct,
        "extra": extra,
        "accuracy": round(correct / len(expected), 3),
        "matches": matches,
    }
    if missing_tools and final:
        verdict["message"] = _("not called: %s") % ", ".join(missing_tools)
    return verdict


def _check_call(call: ReceivedToolCall, offered_tools: tuple[Tool, ...]) -> Json:
    """Check that a call names an offered tool and its arguments follow the tool's schema."""
    tool = next((tool for tool in offered_tools if tool.name == call.name), None)
    value, readable = parse_call_arguments(call)
    verdict: Json = {"id": call.id, "name": call.name, "ok": False}
    if tool is None:
        return verdict | {"problem": "name", "message": _("no tool of this name was offered")}
    if not readable:
        return verdict | {"problem": "json", "message": _("the arguments are not a JSON object")}
    violation = first_violation(value, tool.schema, frozenset()) if tool.schema else None
    if violation is not None:
        return verdict | {"problem": "schema", "path": violation.path, "message": violation.message}
    return verdict | {"ok": True}


def parse_call_arguments(call: ReceivedToolCall) -> tuple[Any, bool]:
    """Arguments of a call, and whether they are a JSON object."""
    if not call.arguments.strip():
        return {}, True
    value = decode_or_none(call.arguments)
    return value, isinstance(value, dict)


def _match_expectations(
    calls: list[ReceivedToolCall], call_verdicts: list[Json], expected: tuple[ExpectedCall, ...]
) -> list[Json]:
    """Match each expected call with the best unmatched call, equal ones first."""
    unmatched = list(range(len(calls)))
    matches: dict[int, Json] = {}
    for grade in GRADES[:-1]:
        for number, expectation in enumerate(expected):
            if number in matches:
                continue
            for index in unmatched:
                if _grade_call(calls[index], call_verdicts[index], expectation) == grade:
                    unmatched.remove(index)
                    matches[number] = _expectation_result(expectation, grade, index)
                    break
    for match in matches.values():
        if match["arguments"] == "types":
            message = _("the arguments are of the right types, but not those expected")
            call_verdicts[match["call"]] |= {
                "ok": False,
                "problem": "arguments",
                "message": message,
            }
    return [
        matches.get(number) or _expectation_result(expectation, "missing", None)
        for number, expectation in enumerate(expected)
    ]


def _expectation_result(expectation: ExpectedCall, grade: str, call_index: int | None) -> Json:
    """Result of one expected call; `call` is the index of the matched call."""
    return {"tool": expectation.name, "arguments": grade, "call": call_index}


def _flag_unexpected_calls(call_verdicts: list[Json], matches: list[Json]) -> int:
    """Flag unexpected calls as errors; returns their number."""
    matched_indexes = {match["call"] for match in matches}
    extra = [call for index, call in enumerate(call_verdicts) if index not in matched_indexes]
    for call in extra:
        if call["ok"]:
            call |= {"ok": False, "problem": "unexpected", "message": _("unexpected call")}
    return len(extra)


def _grade_call(
    call: ReceivedToolCall, call_verdict: Json, expectation: ExpectedCall
) -> str | None:
    if call.name != expectation.name:
        return None
    value, readable = parse_call_arguments(call)
    expected_arguments = expectation.arguments
    if readable and (
        json_equal(value, expected_arguments)
        if expected_arguments is not None
        else call_verdict["ok"]
    ):
        return "equal"
    return "types" if call_verdict["ok"] else "wrong"
