"""The JSON of the page -> a Plan. What is wrong is told by field, all of it at once."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from console.dialects import OFFERED
from console.playground.columns import (
    LETTERS,
    MOST_ANSWERS,
    MOST_CASES,
    MOST_COLUMNS,
    MOST_REPEATS,
    Case,
    Column,
    Expected,
    Params,
    Plan,
    Settings,
    Tool,
)
from console.playground.messages import turns_in
from console.playground.reading import Errors, Invalid, Json, joined
from console.playground.schemas import wrong_schema

MOST_TOOLS = 64
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
CHOICES = ("auto", "none", "required")


def parse(document: Any) -> Plan:
    """The plan of a run. Raises Invalid."""
    return _read(document, matrix=False)


def parse_matrix(document: Any) -> Plan:
    """The plan of a matrix: all columns answer all cases. Raises Invalid."""
    return _read(document, matrix=True)


def _read(document: Any, *, matrix: bool) -> Plan:
    if not isinstance(document, dict):
        raise Invalid({"": _("This must be a JSON object.")})
    errors = Errors()
    dialect = errors.text(document, "dialect", "") or "openai_chat"
    if dialect not in OFFERED:
        errors.add("dialect", _("This dialect is not spoken here."))
    shared = _settings(errors, document, "", Settings())
    columns = _columns(errors, document, shared)
    plan = Plan(
        dialect=dialect,
        columns=columns,
        cases=_cases(errors, document) if matrix else _one_case(errors, document, columns),
        matrix=matrix,
        repeat=errors.whole(document, "repeat", "", least=1, most=MOST_REPEATS) or 1,
        stream=errors.flag(document, "stream", "", default=True),
        blind=errors.flag(document, "blind", "", default=False),
        preset=str(document.get("preset") or "")[:100],
    )
    if len(plan.columns) * len(plan.cases) * plan.repeat > MOST_ANSWERS:
        words = _("That would be more than %d answers; take fewer cases or repetitions.")
        errors.add("repeat", words % MOST_ANSWERS)
    errors.check()
    return plan


def _columns(errors: Errors, document: Json, shared: Settings) -> tuple[Column, ...]:
    found: list[Column] = []
    for path, row in errors.objects(document, "columns", "", most=MOST_COLUMNS):
        id_ = errors.text(row, "id", path) or LETTERS[len(found)]
        if id_ not in LETTERS:
            errors.add(f"{path}.id", _("Columns are called A to H."))
        if id_ in {column.id for column in found}:
            errors.add(f"{path}.id", _("Two columns have this letter."))
        model = errors.text(row, "model", path, most=400).strip()
        if not model:
            errors.add(f"{path}.model", _("Choose a model."))
        own = turns_in(errors, row, path) if row.get("messages") is not None else None
        settings = _settings(errors, row, path, shared)
        found.append(Column(id=id_, model=model, settings=settings, turns=own))
    if not found:
        errors.add("columns", _("Choose at least one model."))
    return tuple(found)


def _one_case(errors: Errors, document: Json, columns: tuple[Column, ...]) -> tuple[Case, ...]:
    turns = turns_in(errors, document)
    if not turns and any(not column.turns for column in columns):
        errors.add("messages", _("Write a message first."))
    return (Case(name="", turns=turns),)


def _cases(errors: Errors, document: Json) -> tuple[Case, ...]:
    found: list[Case] = []
    for path, row in errors.objects(document, "cases", "", most=MOST_CASES):
        turns = turns_in(errors, row, path)
        if not turns:
            errors.add(f"{path}.messages", _("Write a message first."))
        expected = _expected(errors, row, path) if row.get("expected") is not None else None
        name = errors.text(row, "name", path, most=200) or str(len(found) + 1)
        schema = _schema(errors, row, "schema", path)
        found.append(Case(name=name, turns=turns, expected=expected, schema=schema))
    if not found:
        errors.add("cases", _("Add at least one case."))
    return tuple(found)


def _settings(errors: Errors, holder: Json, at: str, base: Settings) -> Settings:
    """What this object says; where it says nothing (null is nothing), the base."""

    def said(name: str) -> bool:
        return holder.get(name) is not None

    return Settings(
        system=errors.text(holder, "system", at) if said("system") else base.system,
        params=_params(errors, holder, at) if said("params") else base.params,
        tools=_tools(errors, holder, at) if said("tools") else base.tools,
        expected=_expected(errors, holder, at) if said("expected") else base.expected,
        schema=_schema(errors, holder, "schema", at) if said("schema") else base.schema,
    )


def _params(errors: Errors, holder: Json, at: str) -> Params:
    given, at = errors.mapping(holder, "params", at) or {}, joined(at, "params")
    flags = given.get("parallel_tool_calls") is not None
    parallel = errors.flag(given, "parallel_tool_calls", at, default=True) if flags else None
    return Params(
        temperature=errors.number(given, "temperature", at, least=0, most=2),
        top_p=errors.number(given, "top_p", at, least=0, most=1),
        top_k=errors.whole(given, "top_k", at, least=1, most=1_000_000),
        max_tokens=errors.whole(given, "max_tokens", at, least=1, most=10_000_000),
        seed=errors.whole(given, "seed", at, least=-(2**63), most=2**63),
        frequency_penalty=errors.number(given, "frequency_penalty", at, least=-2, most=2),
        presence_penalty=errors.number(given, "presence_penalty", at, least=-2, most=2),
        stop=_stop(errors, given, at),
        reasoning_effort=_choice(errors, given, "reasoning_effort", at, EFFORTS),
        tool_choice=_choice(errors, given, "tool_choice", at, CHOICES),
        parallel_tool_calls=parallel,
    )


def _choice(errors: Errors, holder: Json, name: str, at: str, among: tuple[str, ...]) -> str | None:
    value = errors.text(holder, name, at)
    if value and value not in among:
        errors.add(joined(at, name), _("One of %s.") % ", ".join(among))
    return value or None


def _stop(errors: Errors, params: Json, at: str) -> tuple[str, ...]:
    value = params.get("stop")
    words = [value] if isinstance(value, str) else value or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        errors.add(joined(at, "stop"), _("This must be a list of texts."))
        return ()
    return tuple(word for word in words if word)[:16]


def _tools(errors: Errors, holder: Json, at: str) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for path, row in errors.objects(holder, "tools", at, most=MOST_TOOLS):
        name = errors.text(row, "name", path, most=128).strip()
        if not name:
            errors.add(f"{path}.name", _("A tool needs a name."))
        elif name in {tool.name for tool in found}:
            errors.add(f"{path}.name", _("Two tools have this name."))
        tool = Tool(
            name=name,
            description=errors.text(row, "description", path, most=20_000),
            schema=_schema(errors, row, "schema", path) or {"type": "object", "properties": {}},
            mock=row.get("mock"),
        )
        found.append(tool)
    return tuple(found)


def _expected(errors: Errors, holder: Json, at: str) -> tuple[Expected, ...]:
    found = []
    for path, row in errors.objects(holder, "expected", at, most=MOST_TOOLS):
        name = errors.text(row, "name", path, most=128).strip()
        if not name:
            errors.add(f"{path}.name", _("Say which tool is to be called."))
        arguments = errors.mapping(row, "arguments", path)
        found.append(Expected(name=name, arguments=arguments))
    return tuple(found)


def _schema(errors: Errors, holder: Json, name: str, at: str) -> Json | None:
    """A JSON Schema; an empty object is none."""
    schema = errors.mapping(holder, name, at)
    if not schema:
        return None
    why = wrong_schema(schema)
    if why is not None:
        errors.add(joined(at, name), _("This is no JSON Schema: %s") % why)
    return schema
