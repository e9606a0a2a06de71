"""Parses the page's JSON into a Plan, and reports all errors at once, by field."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from console.dialects import CONSOLE_DIALECTS
from console.playground.logged_settings import LoggedSettings, decode_settings
from console.playground.messages import parse_turns
from console.playground.plan import (
    COLUMN_LETTERS,
    EMPTY_SCHEMA,
    MAX_COLUMNS,
    MAX_REPEATS,
    Column,
    ExpectedCall,
    GenerationParams,
    Plan,
    PromptSettings,
    Tool,
)
from console.playground.schemas import schema_error
from console.playground.validation import FieldErrors, Invalid, Json, join_path
from gateway.canon.request import EFFORTS

MAX_TOOLS = 64
TOOL_CHOICES = ("auto", "none", "required")


def parse(document: Any) -> Plan:
    """Parse the document of a run. Raises Invalid."""
    if not isinstance(document, dict):
        raise Invalid({"": _("This must be a JSON object.")})
    errors = FieldErrors()
    dialect = errors.text(document, "dialect", "") or "openai_chat"
    if dialect not in CONSOLE_DIALECTS:
        errors.add("dialect", _("Unknown dialect."))
    shared_settings = _parse_settings(errors, document, "", PromptSettings())
    plan = Plan(
        dialect=dialect,
        columns=_parse_columns(errors, document, shared_settings),
        repeat=errors.integer(document, "repeat", "", minimum=1, maximum=MAX_REPEATS) or 1,
        stream=errors.flag(document, "stream", "", default=True),
        blind=errors.flag(document, "blind", "", default=False),
        preset=str(document.get("preset") or "")[:100],
    )
    errors.raise_if_any()
    return plan


def _parse_columns(
    errors: FieldErrors, document: Json, shared_settings: PromptSettings
) -> tuple[Column, ...]:
    columns: list[Column] = []
    shared_turns = parse_turns(errors, document)
    for path, row in errors.objects(document, "columns", "", max_count=MAX_COLUMNS):
        id_ = errors.text(row, "id", path) or COLUMN_LETTERS[len(columns)]
        if id_ not in COLUMN_LETTERS:
            errors.add(f"{path}.id", _("The ID of a column is a letter from A to H."))
        if id_ in {column.id for column in columns}:
            errors.add(f"{path}.id", _("Another column has the same ID."))
        model = errors.text(row, "model", path, max_length=400).strip()
        if not model:
            errors.add(f"{path}.model", _("Choose a model."))
        has_turns = row.get("messages") is not None
        turns = parse_turns(errors, row, path) if has_turns else shared_turns
        settings = _parse_settings(errors, row, path, shared_settings)
        columns.append(Column(id=id_, model=model, settings=settings, turns=turns))
    if not columns:
        errors.add("columns", _("Choose at least one model."))
    if not all(column.turns for column in columns):
        errors.add("messages", _("Write a message first."))
    return tuple(columns)


def _parse_settings(
    errors: FieldErrors, container: Json, path: str, defaults: PromptSettings
) -> PromptSettings:
    """Settings of this object, with `defaults` for fields that are missing or null."""

    def has_value(name: str) -> bool:
        return container.get(name) is not None

    return PromptSettings(
        system=errors.text(container, "system", path) if has_value("system") else defaults.system,
        params=_parse_params(errors, container, path) if has_value("params") else defaults.params,
        tools=_parse_tools(errors, container, path) if has_value("tools") else defaults.tools,
        expected=_parse_expected_calls(errors, container, path)
        if has_value("expected")
        else defaults.expected,
        schema=_parse_schema(errors, container, "schema", path)
        if has_value("schema")
        else defaults.schema,
        logged_settings=_parse_logged(errors, container, path)
        if has_value("logged_settings")
        else defaults.logged_settings,
    )


def _parse_logged(errors: FieldErrors, container: Json, path: str) -> LoggedSettings | None:
    try:
        return decode_settings(container["logged_settings"])
    except ValueError:
        errors.add(join_path(path, "logged_settings"), _("These settings cannot be read."))
        return None


def _parse_params(errors: FieldErrors, container: Json, path: str) -> GenerationParams:
    params, path = errors.mapping(container, "params", path) or {}, join_path(path, "params")
    has_parallel = params.get("parallel_tool_calls") is not None
    parallel = (
        errors.flag(params, "parallel_tool_calls", path, default=True) if has_parallel else None
    )
    return GenerationParams(
        temperature=errors.number(params, "temperature", path, minimum=0, maximum=2),
        top_p=errors.number(params, "top_p", path, minimum=0, maximum=1),
        top_k=errors.integer(params, "top_k", path, minimum=1, maximum=1_000_000),
        max_tokens=errors.integer(params, "max_tokens", path, minimum=1, maximum=10_000_000),
        seed=errors.integer(params, "seed", path, minimum=-(2**63), maximum=2**63),
        frequency_penalty=errors.number(params, "frequency_penalty", path, minimum=-2, maximum=2),
        presence_penalty=errors.number(params, "presence_penalty", path, minimum=-2, maximum=2),
        stop=_parse_stop_sequences(errors, params, path),
        reasoning_effort=_parse_choice(errors, params, "reasoning_effort", path, EFFORTS),
        tool_choice=_parse_choice(errors, params, "tool_choice", path, TOOL_CHOICES),
        parallel_tool_calls=parallel,
    )


def _parse_choice(
    errors: FieldErrors, container: Json, name: str, path: str, choices: tuple[str, ...]
) -> str | None:
    value = errors.text(container, name, path)
    if value and value not in choices:
        errors.add(join_path(path, name), _("One of %s.") % ", ".join(choices))
    return value or None


def _parse_stop_sequences(errors: FieldErrors, params: Json, path: str) -> tuple[str, ...]:
    value = params.get("stop")
    sequences = [value] if isinstance(value, str) else value or []
    if not isinstance(sequences, list) or not all(
        isinstance(sequence, str) for sequence in sequences
    ):
        errors.add(join_path(path, "stop"), _("This must be a list of strings."))
        return ()
    return tuple(sequence for sequence in sequences if sequence)[:16]


def _parse_tools(errors: FieldErrors, container: Json, parent_path: str) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    for path, row in errors.objects(container, "tools", parent_path, max_count=MAX_TOOLS):
        name = errors.text(row, "name", path, max_length=128).strip()
        if not name:
            errors.add(f"{path}.name", _("A tool needs a name."))
        elif name in {tool.name for tool in tools}:
            errors.add(f"{path}.name", _("Another tool has the same name."))
        tool = Tool(
            name=name,
            description=errors.text(row, "description", path, max_length=20_000),
            schema=_parse_schema(errors, row, "schema", path) or EMPTY_SCHEMA,
            mock=row.get("mock"),
        )
        tools.append(tool)
    return tuple(tools)


def _parse_expected_calls(
    errors: FieldErrors, container: Json, parent_path: str
) -> tuple[ExpectedCall, ...]:
    expected_calls = []
    for path, row in errors.objects(container, "expected", parent_path, max_count=MAX_TOOLS):
        name = errors.text(row, "name", path, max_length=128).strip()
        if not name:
            errors.add(f"{path}.name", _("Enter the name of the expected tool."))
        arguments = errors.mapping(row, "arguments", path)
        expected_calls.append(ExpectedCall(name=name, arguments=arguments))
    return tuple(expected_calls)


def _parse_schema(errors: FieldErrors, container: Json, name: str, path: str) -> Json | None:
    """A JSON Schema; None for an empty object."""
    schema = errors.mapping(container, name, path)
    if not schema:
        return None
    problem = schema_error(schema)
    if problem is not None:
        errors.add(join_path(path, name), _("Not a valid JSON Schema: %s") % problem)
    return schema
