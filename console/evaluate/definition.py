"""The definition of an evaluation: prompt, models, settings, assertions and cases.

`parse_definition` reads the object of an evaluation file; `render_definition` writes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from console.evaluate.assertions import (
    RUBRIC,
    Assertion,
    InvalidAssertion,
    parse_assertion,
    render_assertion,
)
from console.playground.schemas import schema_error
from gateway.prompts.variables import MissingVariable, render_value

Json = dict[str, Any]
Result = TypeVar("Result")

MAX_CASES = 5_000
MAX_MODELS = 8
MAX_REPEATS = 20
# Responses of one run: cases x models x repetitions.
MAX_RESPONSES = 40_000
MAX_ASSERTIONS = 50
MAX_NAME = 200
MAX_CONCURRENCY = 16
DEFAULT_CONCURRENCY = 4
# Further errors would not be read.
MAX_ERRORS = 20
# The prompt of an evaluation that has none, and the variable of a case that is one line.
INPUT = "input"
DEFAULT_PROMPT = "{{input}}"
ROLES = ("system", "developer", "user", "assistant", "tool")
# Fields of the request that the evaluation sets itself.
_RESERVED_PARAMS = frozenset({"model", "messages", "stream", "stream_options", "n"})


class Problem(str):
    """One message about an invalid evaluation, as a file's author reads it.

    Attributes:
        field: the field at fault, of the evaluation or of a case; None if it is another.
        reason: the message without the labels of what contains the field.
    """

    field: str | None = None
    reason: str

    def __new__(cls, text: str, field: str | None = None, reason: str = "") -> Problem:
        """A message; the reason is the whole text by default."""
        problem = super().__new__(cls, text)
        problem.field, problem.reason = field, reason or text
        return problem

    def with_label(self, label: str, field: str | None) -> Problem:
        """A copy of the error whose message begins with a label such as `case 2`."""
        text = f"{label}: {self}" if label else str(self)
        return Problem(text, self.field or field, self.reason)


class InvalidDefinition(ValueError):
    """An evaluation is invalid; `errors` says why, one message for each problem."""

    def __init__(self, *errors: str) -> None:
        super().__init__("\n".join(errors))
        self.errors = tuple(
            error if isinstance(error, Problem) else Problem(error) for error in errors
        )


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case: its variables, its own assertions, and its own messages if it has any.

    `threshold` is the score from which the response passes; None if every assertion must.
    """

    name: str = ""
    variables: Json = {}
    messages: tuple[Json, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    threshold: float | None = None

    @property
    def key(self) -> str:
        """Identify the case in other runs: a digest of name, variables and messages."""
        content = msgspec.json.encode([self.name, self.variables, self.messages], order="sorted")
        return hashlib.sha256(content).hexdigest()[:16]


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A complete evaluation.

    Attributes:
        messages: the prompt, in OpenAI's Chat format, with variables.
        params: further fields of the Chat request, for example `temperature`.
        response_schema: JSON Schema of the response (structured output).
        judge: the model that judges `llm-rubric` assertions.
        repeat: responses per case and model.
        pass_rate: the share of passed responses that a model needs, from 0 to 1.
        concurrency: requests of a run at the same time.
        variables: default values of variables that a case does not have.
    """

    name: str = ""
    models: tuple[str, ...] = ()
    messages: tuple[Json, ...] = ({"role": "user", "content": DEFAULT_PROMPT},)
    params: Json = {}
    tools: tuple[Json, ...] = ()
    response_schema: Json | None = None
    judge: str = ""
    repeat: int = 1
    pass_rate: float = 1.0
    concurrency: int = DEFAULT_CONCURRENCY
    variables: Json = {}
    assertions: tuple[Assertion, ...] = ()
    threshold: float | None = None
    cases: tuple[Case, ...] = ()

    @property
    def response_count(self) -> int:
        """Responses of a run."""
        return len(self.cases) * len(self.models) * self.repeat


def case_variables(definition: Definition, case: Case) -> Json:
    """The variables of a case, with those of the evaluation as defaults."""
    return {**definition.variables, **case.variables}


def case_messages(definition: Definition, case: Case) -> list[Json]:
    """The messages of a case with its variables. Raises MissingVariable.

    A case's own messages are sent unchanged: braces in a logged request are no variables.
    """
    if case.messages:
        return [*case.messages]
    variables = case_variables(definition, case)
    return [render_value(message, variables) for message in definition.messages]


def case_assertions(definition: Definition, case: Case) -> list[Assertion]:
    """The assertions for a case with its variables. Raises MissingVariable."""
    variables = case_variables(definition, case)
    return [
        msgspec.structs.replace(assertion, value=render_value(assertion.value, variables))
        for assertion in (*definition.assertions, *case.assertions)
    ]


def case_threshold(definition: Definition, case: Case) -> float | None:
    """The score from which a response to the case passes; None if every assertion must."""
    return definition.threshold if case.threshold is None else case.threshold


def case_label(number: int, case: Case) -> str:
    """The case in error messages: its number from 1, and its name."""
    return f"case {number + 1} ({case.name})" if case.name else f"case {number + 1}"


def check_variables(definition: Definition) -> None:
    """Raises InvalidDefinition for cases that lack a variable of the prompt or an assertion."""
    errors: list[str] = []
    for number, case in enumerate(definition.cases):
        for subject, render in (("the prompt", case_messages), ("an assertion", case_assertions)):
            try:
                render(definition, case)
            except MissingVariable as missing:
                errors.append(
                    f"{case_label(number, case)}: {subject} uses {{{{{missing.name}}}}}, "
                    "which the case does not have"
                )
        if len(errors) >= MAX_ERRORS:
            break
    if errors:
        raise InvalidDefinition(*errors[:MAX_ERRORS])


def check_runnable(definition: Definition) -> None:
    """Raises InvalidDefinition if a run could not start."""
    errors = []
    if not definition.models:
        errors.append("choose at least one model")
    if not definition.cases:
        errors.append("add at least one case")
    if definition.response_count > MAX_RESPONSES:
        errors.append(
            f"{definition.response_count} responses; at most {MAX_RESPONSES} are allowed: "
            "use fewer cases, models or repetitions"
        )
    if not definition.judge and any(
        assertion.type == RUBRIC and not assertion.provider
        for assertion in _all_assertions(definition)
    ):
        errors.append(f"`{RUBRIC}` needs a judge model")
    if errors:
        raise InvalidDefinition(*errors)
    check_variables(definition)


def _all_assertions(definition: Definition) -> Iterator[Assertion]:
    yield from definition.assertions
    for case in definition.cases:
        yield from case.assertions


# --- reading ---------------------------------------------------------------------------


class _Errors(list[str]):
    """Collects messages; reading continues, so that one reading reports several."""

    def attempt(
        self, label: str, field: str, read: Callable[[], Result], default: Result
    ) -> Result:
        """The result of `read`, or the default after an error in this field."""
        try:
            return read()
        except InvalidDefinition as invalid:
            self += [error.with_label(label, field) for error in invalid.errors]
        return default


_FIELDS = frozenset(
    {"name", "description", "prompt", "system", "messages", "models", "params", "tools"}
    | {"response_schema", "judge", "repeat", "pass_rate", "concurrency", "vars", "assert"}
    | {"threshold", "cases"}
)


def parse_definition(data: Any) -> Definition:
    """A definition from the object of a file. Raises InvalidDefinition."""
    if not isinstance(data, dict):
        raise InvalidDefinition("an evaluation must be an object with `prompt` and `cases`")
    if unknown := sorted(str(key) for key in data.keys() - _FIELDS):
        raise InvalidDefinition(f"the field `{unknown[0]}` is unknown")
    errors = _Errors()
    definition = Definition(
        name=errors.attempt("", "name", lambda: _parse_name(data), ""),
        models=errors.attempt("models", "models", lambda: _parse_names(data.get("models")), ()),
        messages=errors.attempt("", "messages", lambda: _parse_prompt(data), ()),
        params=errors.attempt("params", "params", lambda: _parse_params(data.get("params")), {}),
        tools=errors.attempt("tools", "tools", lambda: _parse_tools(data.get("tools")), ()),
        response_schema=errors.attempt(
            "response_schema", "response_schema", lambda: _parse_schema(data), None
        ),
        judge=errors.attempt("", "judge", lambda: _text_field(data, "judge"), ""),
        repeat=errors.attempt(
            "", "repeat", lambda: _integer_field(data, "repeat", 1, MAX_REPEATS), 1
        ),
        pass_rate=errors.attempt("", "pass_rate", lambda: _pass_rate(data), 1.0),
        concurrency=errors.attempt(
            "",
            "concurrency",
            lambda: _integer_field(data, "concurrency", DEFAULT_CONCURRENCY, MAX_CONCURRENCY),
            1,
        ),
        variables=errors.attempt("vars", "vars", lambda: _mapping_or_empty(data.get("vars")), {}),
        assertions=parse_assertions(data.get("assert"), "", errors),
        threshold=errors.attempt("", "threshold", lambda: _fraction_field(data, "threshold"), None),
        cases=parse_cases(data.get("cases"), errors),
    )
    if errors:
        raise InvalidDefinition(*errors[:MAX_ERRORS])
    return definition


def parse_cases(data: Any, errors: list[str] | None = None) -> tuple[Case, ...]:
    """Cases from a list of objects. Raises InvalidDefinition without a list for errors."""
    collected_errors = _Errors()
    cases: list[Case] = []
    rows = [] if data is None else data
    if not isinstance(rows, list):
        collected_errors.append("`cases` must be a list")
        rows = []
    if len(rows) > MAX_CASES:
        collected_errors.append(f"{len(rows)} cases; at most {MAX_CASES} are allowed")
        rows = []
    for number, row in enumerate(rows):
        cases.append(_parse_case(row, number, collected_errors))
        if len(collected_errors) >= MAX_ERRORS:
            break
    if errors is None and collected_errors:
        raise InvalidDefinition(*collected_errors[:MAX_ERRORS])
    if errors is not None:
        errors += collected_errors
    return tuple(cases)


_CASE_FIELDS = frozenset(["name", "description", "vars", "messages", "assert", "threshold"])


def _parse_case(row: Any, number: int, errors: _Errors) -> Case:
    label = f"case {number + 1}"
    if isinstance(row, str):
        return Case(variables={INPUT: row})
    if not isinstance(row, dict):
        errors.append(f"{label}: must be an object or a text")
        return Case()
    if not row.keys() & {"vars", "messages", "assert"}:
        # A flat object has only variables.
        return Case(variables=errors.attempt(label, "vars", lambda: _mapping_or_empty(row), {}))
    if unknown := sorted(str(key) for key in row.keys() - _CASE_FIELDS):
        errors.append(f"{label}: the field `{unknown[0]}` is unknown")
    return Case(
        name=errors.attempt(label, "name", lambda: _parse_name(row), ""),
        variables=errors.attempt(label, "vars", lambda: _mapping_or_empty(row.get("vars")), {}),
        messages=errors.attempt(
            label, "messages", lambda: _parse_messages(row.get("messages")), ()
        ),
        assertions=parse_assertions(row.get("assert"), label, errors),
        threshold=errors.attempt(
            label, "threshold", lambda: _fraction_field(row, "threshold"), None
        ),
    )


def parse_assertions(
    data: Any, label: str, errors: list[str] | None = None
) -> tuple[Assertion, ...]:
    """Assertions from a list of objects. Raises InvalidDefinition without a list for errors."""
    collected_errors, assertions = _Errors(), []
    rows = [] if data is None else data
    prefix = f"{label}: " if label else ""
    if not isinstance(rows, list) or len(rows) > MAX_ASSERTIONS:
        collected_errors.append(f"{prefix}`assert` must be a list of at most {MAX_ASSERTIONS}")
        rows = []
    for number, row in enumerate(rows):
        try:
            assertions.append(parse_assertion(row))
        except InvalidAssertion as invalid:
            collected_errors.append(f"{prefix}assertion {number + 1}: {invalid}")
    if errors is None and collected_errors:
        raise InvalidDefinition(*collected_errors)
    if errors is not None:
        errors += collected_errors
    return tuple(assertions)


def _text_field(data: Json, name: str) -> str:
    value = data.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise InvalidDefinition(f"`{name}` must be a string of at most {MAX_NAME} characters")
    return value.strip()


def _parse_name(data: Json) -> str:
    return _text_field(data, "name") or _text_field(data, "description")


def _parse_names(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidDefinition("must be a list of model names")
    unique = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if len(unique) > MAX_MODELS:
        raise InvalidDefinition(f"at most {MAX_MODELS} models")
    return unique


def _parse_prompt(data: Json) -> tuple[Json, ...]:
    """`messages`, or `system` and `prompt`; a prompt may be JSON of a list of messages."""
    messages, prompt, system = data.get("messages"), data.get("prompt"), data.get("system")
    if messages is not None:
        if prompt is not None or system is not None:
            raise InvalidDefinition("use either `messages` or `prompt` with `system`")
        return _parse_messages(messages)
    if prompt is None:
        prompt = DEFAULT_PROMPT
    if not isinstance(prompt, str) or not isinstance(system or "", str):
        raise InvalidDefinition("`prompt` and `system` must be text")
    if prompt.lstrip().startswith("["):
        try:
            return _parse_messages(msgspec.json.decode(prompt))
        except (msgspec.MsgspecError, RecursionError, InvalidDefinition):
            pass
    parts = [{"role": "system", "content": system}] if system else []
    return (*parts, {"role": "user", "content": prompt})


def _parse_messages(value: Any) -> tuple[Json, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise InvalidDefinition("`messages` must be a list of messages with `role` and `content`")
    for item in value:
        if item.get("role") not in ROLES:
            raise InvalidDefinition(f"the role of a message must be one of {', '.join(ROLES)}")
    return tuple(value)


def _parse_params(value: Any) -> Json:
    params = _mapping_or_empty(value)
    if reserved_fields := sorted(params.keys() & _RESERVED_PARAMS):
        raise InvalidDefinition(f"`{reserved_fields[0]}` is set by the evaluation itself")
    return params


def _parse_tools(value: Any) -> tuple[Json, ...]:
    """Tools in OpenAI's format, or short: `name`, `description`, `parameters`."""
    rows = [] if value is None else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidDefinition("must be a list of tools")
    tools = []
    for row in rows:
        function = row.get("function") if row.get("type") == "function" else row
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidDefinition("a tool needs a `name`")
        tools.append({"type": "function", "function": function})
    return tuple(tools)


def _parse_schema(data: Json) -> Json | None:
    schema = data.get("response_schema")
    if schema is None:
        return None
    problem = schema_error(schema)
    if problem is not None:
        raise InvalidDefinition(f"invalid JSON Schema: {problem}")
    return dict(schema)


def _mapping_or_empty(value: Any) -> Json:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InvalidDefinition("must be an object")
    return {key.strip(): item for key, item in value.items()}


def _integer_field(data: Json, name: str, default: int, maximum: int) -> int:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise InvalidDefinition(f"`{name}` must be a whole number from 1 to {maximum}")
    return value


def _pass_rate(data: Json) -> float:
    rate = _fraction_field(data, "pass_rate")
    return 1.0 if rate is None else rate


def _fraction_field(data: Json, name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidDefinition(f"`{name}` must be a number from 0 to 1")
    return float(value)


# --- writing ---------------------------------------------------------------------------


def render_definition(definition: Definition) -> Json:
    """The object of a file; fields with their default are omitted."""
    data: Json = {"name": definition.name, "models": [*definition.models]}
    data |= _render_prompt(definition.messages)
    data |= {
        "params": definition.params,
        "tools": [tool["function"] for tool in definition.tools],
        "response_schema": definition.response_schema,
        "judge": definition.judge,
        "vars": definition.variables,
        "assert": [render_assertion(assertion) for assertion in definition.assertions],
        "threshold": definition.threshold,
    }
    if definition.repeat != 1:
        data["repeat"] = definition.repeat
    if definition.pass_rate != 1.0:
        data["pass_rate"] = definition.pass_rate
    if definition.concurrency != DEFAULT_CONCURRENCY:
        data["concurrency"] = definition.concurrency
    data["cases"] = [render_case(case) for case in definition.cases]
    return {key: value for key, value in data.items() if value not in (None, "", {}, [])}


def _render_prompt(messages: tuple[Json, ...]) -> Json:
    """`system` and `prompt` if that is all there is, else `messages`."""
    roles = [message.get("role") for message in messages]
    is_simple = all(
        message.keys() == {"role", "content"} and isinstance(message["content"], str)
        for message in messages
    )
    prompt = messages[-1]["content"] if messages and is_simple else ""
    if is_simple and not prompt.lstrip().startswith("[") and messages:
        if roles == ["user"]:
            return {"prompt": prompt}
        if roles == ["system", "user"] and messages[0]["content"]:
            return {"system": messages[0]["content"], "prompt": prompt}
    return {"messages": [*messages]}


def render_case(case: Case) -> Json:
    """The object of a file; `parse_cases` restores it."""
    data: Json = {
        "name": case.name,
        "vars": case.variables,
        "messages": [*case.messages],
        "assert": [render_assertion(assertion) for assertion in case.assertions],
        "threshold": case.threshold,
    }
    present_fields = {key: value for key, value in data.items() if value not in (None, "", {}, [])}
    # Without one of these fields, an object would be read as variables.
    return (
        present_fields
        if present_fields.keys() & {"vars", "messages", "assert"}
        else {**present_fields, "vars": {}}
    )
