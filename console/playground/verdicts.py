"""Judges answers: does structured output follow its schema, were the right tools called."""

from __future__ import annotations

from typing import Any

import msgspec
from django.utils.translation import gettext as _

from console.playground.columns import Expected, Tool
from console.playground.partial import Broken, read
from console.playground.schemas import Fault, fault
from console.playground.takes import Called

Json = dict[str, Any]
Schema = dict[str, Any]

# Reading alone takes a millisecond for 20,000 characters, and nothing else runs meanwhile.
MOST_CHARS = 500_000


# --- structured output -----------------------------------------------------------------


def while_written(text: str, schema: Schema) -> Json:
    """What can be said before the end: `ok` until something is wrong for good."""
    try:
        partial = read(text)
    except Broken as broken:
        return _schema_verdict(_no_json(text, broken.place), final=False)
    found = None if partial.empty else fault(partial.value, schema, partial.open)
    return _schema_verdict(found, final=False) | _fields(partial.value, schema)


def at_the_end(text: str, schema: Schema) -> Json:
    """The verdict on the whole answer."""
    if len(text) > MOST_CHARS:
        return _schema_verdict(Fault(path="", message=_("too long to be checked")), final=True)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _schema_verdict(_cut_or_broken(text), final=True)
    verdict = _schema_verdict(fault(value, schema, frozenset()), final=True)
    return verdict | _fields(value, schema)


def _fields(value: Any, schema: Schema) -> Json:
    """How many of the schema's own fields the answer has; nothing where it names none."""
    known = schema.get("properties")
    if not isinstance(known, dict) or not known:
        return {}
    present = len(known.keys() & value.keys()) if isinstance(value, dict) else 0
    return {"fields": present, "total": len(known)}


def _cut_or_broken(text: str) -> Fault:
    try:
        read(text)
    except Broken as broken:
        return _no_json(text, broken.place)
    words = "the answer is empty" if not text.strip() else "the JSON ends before it is complete"
    return Fault(path="", message=words)


def _no_json(text: str, place: int) -> Fault:
    seen = text[place : place + 20]
    return Fault(path="", message=f"this is not JSON from character {place + 1} on: {seen!r}")


def _schema_verdict(found: Fault | None, *, final: bool) -> Json:
    verdict: Json = {"what": "schema", "ok": found is None, "final": final}
    if found is not None:
        verdict |= {"path": found.path, "message": found.message}
    return verdict


# --- tools -----------------------------------------------------------------------------

# A model that calls without end is judged by its first calls.
MOST_CALLS = 64
# From best to worst: the arguments are equal, only right by the tool's schema, wrong, or
# nobody made the call.
GRADES = ("equal", "types", "wrong", "missing")


def tools(
    calls: list[Called], offered: tuple[Tool, ...], expected: tuple[Expected, ...], *, final: bool
) -> Json | None:
    """The verdict on the calls; None where there is nothing to judge.

    With expectations each needs a call of its own, and there may be no others. Without
    them a call must only be of a tool on offer and follow that tool's schema.
    """
    calls = calls[:MOST_CALLS]
    judged = [_judged(call, offered) for call in calls]
    verdict: Json = {"what": "tools", "final": final, "called": bool(calls), "calls": judged}
    if not expected:
        return verdict | {"ok": all(call["ok"] for call in judged)} if calls else None
    matches = _matched(calls, judged, expected)
    grades = [match["arguments"] for match in matches]
    correct = grades.count("equal")
    extra = _mark_extra(judged, matches)
    missing = [match["tool"] for match in matches if match["arguments"] == "missing"]
    verdict |= {
        "ok": correct == len(expected) and not extra,
        "name": not missing,
        "arguments": max(grades, key=GRADES.index),
        "expected": len(expected),
        "correct": correct,
        "extra": extra,
        "accuracy": round(correct / len(expected), 3),
        "matches": matches,
    }
    if missing and final:
        verdict["message"] = _("not called: %s") % ", ".join(missing)
    return verdict


def _judged(call: Called, offered: tuple[Tool, ...]) -> Json:
    """Whether a call is of a tool on offer and its arguments follow that tool's schema."""
    tool = next((tool for tool in offered if tool.name == call.name), None)
    value, readable = arguments_of(call)
    told: Json = {"id": call.id, "name": call.name, "ok": False}
    if tool is None:
        return told | {"problem": "name", "message": _("no tool of this name was offered")}
    if not readable:
        return told | {"problem": "json", "message": _("the arguments are not a JSON object")}
    found = fault(value, tool.schema, frozenset()) if tool.schema else None
    if found is not None:
        return told | {"problem": "schema", "path": found.path, "message": found.message}
    return told | {"ok": True}


def arguments_of(call: Called) -> tuple[Any, bool]:
    """The arguments, and whether they are a JSON object at all."""
    if not call.arguments.strip():
        return {}, True
    try:
        value = msgspec.json.decode(call.arguments)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, False
    return value, isinstance(value, dict)


def _matched(calls: list[Called], judged: list[Json], expected: tuple[Expected, ...]) -> list[Json]:
    """For each expectation the best call that no other has taken, equal ones first."""
    free = list(range(len(calls)))
    found: dict[int, Json] = {}
    for wanted in GRADES[:-1]:
        for number, expectation in enumerate(expected):
            if number in found:
                continue
            for place in free:
                if _grade(calls[place], judged[place], expectation) == wanted:
                    free.remove(place)
                    found[number] = _match(expectation, wanted, place)
                    break
    for match in found.values():
        if match["arguments"] == "types":
            words = _("the arguments are of the right types, but not those expected")
            judged[match["call"]] |= {"ok": False, "problem": "arguments", "message": words}
    return [
        found.get(number) or _match(expectation, "missing", None)
        for number, expectation in enumerate(expected)
    ]


def _match(expectation: Expected, grade: str, place: int | None) -> Json:
    """`call` is the number of the call that was taken for the expectation."""
    return {"tool": expectation.name, "arguments": grade, "call": place}


def _mark_extra(judged: list[Json], matches: list[Json]) -> int:
    """Mark the calls that nobody expected; how many they are."""
    taken = {match["call"] for match in matches}
    extra = [call for place, call in enumerate(judged) if place not in taken]
    for call in extra:
        if call["ok"]:
            call |= {"ok": False, "problem": "unexpected", "message": _("nobody expected it")}
    return len(extra)


def _grade(call: Called, judged: Json, expectation: Expected) -> str | None:
    if call.name != expectation.name:
        return None
    value, readable = arguments_of(call)
    wanted = expectation.arguments
    if readable and (same(value, wanted) if wanted is not None else judged["ok"]):
        return "equal"
    return "types" if judged["ok"] else "wrong"


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: 1 and 1.0 are, 1 and true are not, the order of keys does not count."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)
