"""The assertion types, with promptfoo's names: how they are read and what they check.

Every type can be negated with the prefix `not-`. The value of an assertion may contain
variables. `llm-rubric` needs the judgment of a model, see `judge`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import regex

from console.evaluate.json_path import InvalidPath, find_values, parse_path
from console.evaluate.responses import ModelResponse
from console.playground.schemas import first_violation, json_equal, schema_error
from gateway.canon.untrusted_patterns import InvalidPattern, compile_untrusted
from gateway.prompts.variables import variable_text

Json = dict[str, Any]

RUBRIC = "llm-rubric"
# Patterns are untrusted input, and run next to other work.
PATTERN_S = 0.1
MAX_TEXT = 200_000
MAX_JSON_STARTS = 200
_EXCERPT = 80


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """One condition for a response.

    Attributes:
        type: a key of TYPES, without `not-`.
        threshold: milliseconds for `latency`, US dollars for `cost`, the minimum score
            from 0 to 1 for `llm-rubric`.
        weight: its share in the score of the response.
        provider: the judge model of `llm-rubric`; empty for that of the evaluation.
    """

    type: str
    negated: bool = False
    value: Any = None
    threshold: float | None = None
    weight: float = 1.0
    provider: str = ""

    @property
    def label(self) -> str:
        """The type as in a file, with its negation."""
        return f"not-{self.type}" if self.negated else self.type


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one assertion; `message` says why it failed."""

    type: str
    passed: bool
    score: float
    weight: float = 1.0
    message: str = ""


class AssertionType(msgspec.Struct, frozen=True):
    """Checks a response: a message if the condition is not met, else None.

    `validate` returns why a value is invalid, or None.
    """

    check: Callable[[Any, ModelResponse], str | None]
    validate: Callable[[Any], str | None]


def check_response(assertion: Assertion, response: ModelResponse) -> Check:
    """The check of any assertion but `llm-rubric`, whose variables are already replaced."""
    limit = assertion.threshold if assertion.type in _BY_THRESHOLD else assertion.value
    try:
        failure = TYPES[assertion.type].check(limit, response)
    except _Undecidable as problem:
        return _check_result(assertion, passed=False, message=str(problem))
    passed = (failure is None) != assertion.negated
    if assertion.negated and not passed:
        failure = f"{assertion.type} is met, but must not be"
    return _check_result(assertion, passed=passed, message="" if passed else failure or "")


def _check_result(assertion: Assertion, *, passed: bool, message: str) -> Check:
    return Check(
        type=assertion.label,
        passed=passed,
        score=float(passed),
        weight=assertion.weight,
        message=message,
    )


class _Undecidable(Exception):
    """The condition could not be checked; that is a failure, also if it is negated."""


# --- text ------------------------------------------------------------------------------


def _check_equals(value: Any, response: ModelResponse) -> str | None:
    if isinstance(value, str):
        equal = response.text.strip() == value.strip()
    else:
        document, problem = _json_of(response.text)
        if problem:
            return problem
        equal = json_equal(document, value)
    return None if equal else f"expected {_value_excerpt(value)}"


def _check_contains(value: Any, response: ModelResponse) -> str | None:
    text = variable_text(value)
    return None if text in response.text else f"does not contain {_value_excerpt(text)}"


def _check_icontains(value: Any, response: ModelResponse) -> str | None:
    text = variable_text(value)
    contains_text = text.casefold() in response.text.casefold()
    return None if contains_text else f"does not contain {_value_excerpt(text)} in any case"


def _contains_any(value: Any, response: ModelResponse) -> str | None:
    contains_item = any(item in response.text for item in _expected_texts(value))
    return None if contains_item else f"contains none of {_value_excerpt(_expected_texts(value))}"


def _contains_all(value: Any, response: ModelResponse) -> str | None:
    missing_texts = [item for item in _expected_texts(value) if item not in response.text]
    return f"does not contain {_value_excerpt(missing_texts)}" if missing_texts else None


def _ignore_case(
    check: Callable[[Any, ModelResponse], str | None],
) -> Callable[[Any, ModelResponse], str | None]:
    def check_lowered(value: Any, response: ModelResponse) -> str | None:
        lowered_response = msgspec.structs.replace(response, text=response.text.casefold())
        return check([item.casefold() for item in _expected_texts(value)], lowered_response)

    return check_lowered


def _starts_with(value: Any, response: ModelResponse) -> str | None:
    text = variable_text(value)
    return None if response.text.startswith(text) else f"does not start with {_value_excerpt(text)}"


def _ends_with(value: Any, response: ModelResponse) -> str | None:
    text = variable_text(value)
    ends_with_text = response.text.rstrip().endswith(text.rstrip())
    return None if ends_with_text else f"does not end with {_value_excerpt(text)}"


def _check_regex(value: Any, response: ModelResponse) -> str | None:
    try:
        pattern = compile_untrusted(variable_text(value))
        match = pattern.search(response.text[:MAX_TEXT], timeout=PATTERN_S)
    except TimeoutError:
        raise _Undecidable(f"the pattern took longer than {PATTERN_S:g} s") from None
    except InvalidPattern as error:
        raise _Undecidable(f"the pattern is invalid: {error}") from None
    return None if match else f"does not match {_value_excerpt(value)}"


def _expected_texts(value: Any) -> list[str]:
    """The expected texts: items of a list, or of a comma-separated text."""
    items = value.split(",") if isinstance(value, str) else value
    return [variable_text(item).strip() for item in items]


# --- JSON ------------------------------------------------------------------------------


def _is_json(value: Any, response: ModelResponse) -> str | None:
    document, problem = _json_of(response.text)
    return problem or _schema_violation(document, value)


def _contains_json(value: Any, response: ModelResponse) -> str | None:
    problem = "contains no JSON object or array"
    for document in _embedded_documents(response.text):
        violation = _schema_violation(document, value)
        if violation is None:
            return None
        problem = violation
    return problem


def _schema_violation(document: Any, schema: Any) -> str | None:
    if schema is None:
        return None
    violation = first_violation(document, _schema_of(schema), frozenset())
    if violation is None:
        return None
    return f"{violation.path or '/'}: {violation.message}"


def _json_of(text: str) -> tuple[Any, str]:
    """The response as JSON, also from within one Markdown code block; and why it is none."""
    stripped_text = text.strip()
    if stripped_text.startswith("```") and stripped_text.endswith("```"):
        stripped_text = stripped_text.strip("`").partition("\n")[2].strip()
    try:
        return msgspec.json.decode(stripped_text), ""
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, "the response is not JSON" if stripped_text else "the response is empty"


def _embedded_documents(text: str) -> list[Any]:
    """The JSON objects and arrays in a text, in order."""
    decoder, documents, position = json.JSONDecoder(), [], 0
    for _ in range(MAX_JSON_STARTS):
        starts = [
            index for index in (text.find("{", position), text.find("[", position)) if index >= 0
        ]
        if not starts:
            break
        position = min(starts)
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
        else:
            documents.append(document)
    return documents


def _schema_of(value: Any) -> Any:
    """A schema, which may be JSON in a text."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return value


def _json_path(value: Any, response: ModelResponse) -> str | None:
    """`value` is a path, or `{path, equals | contains}`."""
    condition = {"path": value} if isinstance(value, str) else value
    document, problem = _json_of(response.text)
    if problem:
        return problem
    try:
        values = find_values(condition["path"], document)
    except InvalidPath as error:
        raise _Undecidable(f"the path cannot be evaluated: {error}") from None
    if not values:
        return f"nothing at {condition['path']}"
    if "equals" in condition and not any(_json_equal(v, condition["equals"]) for v in values):
        return f"{condition['path']} is {_value_excerpt(values[0])}"
    if "contains" in condition:
        text = variable_text(condition["contains"])
        if not any(text in variable_text(item) for item in values):
            return f"{condition['path']} is {_value_excerpt(values[0])}"
    return None


def _json_equal(value: Any, expected: Any) -> bool:
    # A variable in the expected value makes it a text.
    return json_equal(value, expected) or (
        isinstance(expected, str)
        and not isinstance(value, str)
        and variable_text(value) == expected
    )


# --- tool calls, latency, cost ---------------------------------------------------------


def _tool_call(value: Any, response: ModelResponse) -> str | None:
    """`value` is a tool's name, or `{name, arguments}`; other arguments may be present."""
    expected: Json = {"name": value} if isinstance(value, str) else value
    calls_with_name = [call for call in response.calls if call.name == expected["name"]]
    if not calls_with_name:
        called_names = ", ".join(call.name for call in response.calls)
        return f"{expected['name']} was not called" + (
            f", but {called_names}" if called_names else ""
        )
    arguments: Any = expected.get("arguments")
    if arguments is None or any(
        _includes_arguments(call.arguments, arguments) for call in calls_with_name
    ):
        return None
    return f"{expected['name']} was called with {_value_excerpt(calls_with_name[0].arguments)}"


def _includes_arguments(arguments: Any, expected: Json) -> bool:
    if not isinstance(arguments, dict):
        return False
    return all(k in arguments and _json_equal(arguments[k], v) for k, v in expected.items())


def _check_latency(threshold: float, response: ModelResponse) -> str | None:
    is_slow = response.latency_ms > threshold
    return f"took {response.latency_ms:.0f} ms, more than {threshold:g} ms" if is_slow else None


def _check_cost(threshold: float, response: ModelResponse) -> str | None:
    if response.cost_usd is None:
        raise _Undecidable("the cost is unknown: the model has no price")
    is_too_expensive = response.cost_usd > threshold
    return f"cost ${response.cost_usd:.6f}, more than ${threshold:g}" if is_too_expensive else None


def _check_rubric(value: Any, response: ModelResponse) -> str | None:
    raise _Undecidable("no judge model was called")


# --- values ----------------------------------------------------------------------------


def _needs_text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "needs a text as `value`"


def _needs_value(value: Any) -> str | None:
    return "needs a `value`" if value is None or value == "" else None


def _needs_list(value: Any) -> str | None:
    valid = (isinstance(value, str) and value.strip()) or (isinstance(value, list) and value)
    return None if valid else "needs a list of texts as `value`"


def _needs_pattern(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return "needs a pattern as `value`"
    if "{{" in value:  # known only with the variables of a case
        return None
    try:
        compile_untrusted(value)
    except InvalidPattern as error:
        return f"invalid pattern: {error}"
    return None


def _may_have_schema(value: Any) -> str | None:
    return None if value is None or value == "" else _needs_schema(value)


def _needs_schema(value: Any) -> str | None:
    problem = schema_error(_schema_of(value))
    return f"invalid JSON Schema: {problem}" if problem else None


def _needs_path(value: Any) -> str | None:
    path = value.get("path") if isinstance(value, dict) else value
    if not isinstance(path, str) or not path:
        return "needs a path, or an object with `path` and `equals` or `contains`, as `value`"
    if isinstance(value, dict) and (unknown := value.keys() - {"path", "equals", "contains"}):
        return f"`{min(unknown)}` is unknown; use `path`, `equals`, `contains`"
    try:
        parse_path(path)
    except InvalidPath as error:
        return f"invalid path: {error}"
    return None


def _needs_call(value: Any) -> str | None:
    name = value.get("name") if isinstance(value, dict) else value
    if not isinstance(name, str) or not name:
        return "needs a tool's name, or an object with `name` and `arguments`, as `value`"
    arguments = value.get("arguments") if isinstance(value, dict) else None
    valid = arguments is None or isinstance(arguments, dict)
    return None if valid else "`arguments` must be an object"


def _needs_limit(value: Any) -> str | None:
    valid = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
    return None if valid else "needs a number as `threshold`"


def _value_excerpt(value: Any) -> str:
    text = variable_text(value)
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


_BY_THRESHOLD = frozenset({"latency", "cost"})

TYPES: dict[str, AssertionType] = {
    "equals": AssertionType(_check_equals, _needs_value),
    "contains": AssertionType(_check_contains, _needs_value),
    "icontains": AssertionType(_check_icontains, _needs_value),
    "contains-any": AssertionType(_contains_any, _needs_list),
    "contains-all": AssertionType(_contains_all, _needs_list),
    "icontains-any": AssertionType(_ignore_case(_contains_any), _needs_list),
    "icontains-all": AssertionType(_ignore_case(_contains_all), _needs_list),
    "starts-with": AssertionType(_starts_with, _needs_value),
    "ends-with": AssertionType(_ends_with, _needs_value),
    "regex": AssertionType(_check_regex, _needs_pattern),
    "is-json": AssertionType(_is_json, _may_have_schema),
    "contains-json": AssertionType(_contains_json, _may_have_schema),
    "json-schema": AssertionType(_is_json, _needs_schema),
    "json-path": AssertionType(_json_path, _needs_path),
    "tool-call": AssertionType(_tool_call, _needs_call),
    "latency": AssertionType(_check_latency, _needs_limit),
    "cost": AssertionType(_check_cost, _needs_limit),
    RUBRIC: AssertionType(_check_rubric, _needs_text),
}
# Types of promptfoo that run code of the file.
_CODE_TYPES = frozenset({"javascript", "python", "ruby", "webhook"})
_FIELDS = frozenset({"type", "value", "threshold", "weight", "provider"})
# Fields of promptfoo that do not change the result.
_IGNORED_FIELDS = frozenset({"metric", "transform", "config", "rubricPrompt", "description"})


class InvalidAssertion(ValueError):
    """An assertion cannot be read; the message says why, `field` which of its fields is wrong."""

    def __init__(self, message: str, field: str = "value") -> None:
        super().__init__(message)
        self.field = field


def parse_assertion(data: Any) -> Assertion:
    """An assertion from the object of a file. Raises InvalidAssertion."""
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise InvalidAssertion("an assertion needs a `type`")
    label = data["type"]
    negated = label.startswith("not-")
    name = label.removeprefix("not-")
    if name in _CODE_TYPES:
        raise InvalidAssertion(f"`{label}` runs code and is not supported; use another type")
    if name not in TYPES:
        raise InvalidAssertion(f"the type `{label}` is unknown; use one of {', '.join(TYPES)}")
    if "transform" in data:
        raise InvalidAssertion("`transform` runs code and is not supported")
    if unknown := data.keys() - _FIELDS - _IGNORED_FIELDS:
        raise InvalidAssertion(f"the field `{min(unknown)}` is unknown")
    value, threshold = data.get("value"), data.get("threshold")
    if name in _BY_THRESHOLD and threshold is None:
        threshold, value = value, None
    # A limit may be given as the value, too.
    is_threshold = name in _BY_THRESHOLD and data.get("threshold") is not None
    field = "threshold" if is_threshold else "value"
    problem = TYPES[name].validate(threshold if name in _BY_THRESHOLD else value)
    if problem is None and name == RUBRIC and threshold is not None and not _is_share(threshold):
        field, problem = "threshold", "`threshold` must be a number from 0 to 1"
    weight = data.get("weight", 1.0)
    if problem is None and (_needs_limit(weight) is not None):
        field, problem = "weight", "`weight` must be a number of at least 0"
    provider = data.get("provider") or ""
    if problem is None and not isinstance(provider, str):
        field, problem = "provider", "`provider` must be the name of a model"
    if problem is not None:
        raise InvalidAssertion(f"`{label}` {problem}", field)
    return Assertion(
        type=name,
        negated=negated,
        value=None if value == "" else value,
        threshold=None if threshold is None else float(threshold),
        weight=float(weight),
        provider=provider,
    )


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def render_assertion(assertion: Assertion) -> Json:
    """The object of a file; `parse_assertion` restores it."""
    data: Json = {"type": assertion.label}
    if assertion.value is not None:
        data["value"] = assertion.value
    if assertion.threshold is not None:
        data["threshold"] = assertion.threshold
    if assertion.weight != 1.0:
        data["weight"] = assertion.weight
    if assertion.provider:
        data["provider"] = assertion.provider
    return data


_SHORTHAND = regex.compile(r"((?:not-)?[a-z][a-z-]*)(?:\(([\d.]+)\))?(?::\s*(.*))?", regex.DOTALL)
_ALIASES = {"grade": RUBRIC, "fn": "javascript", "eval": "javascript", "json": "is-json"}


def parse_short_assertion(text: str) -> Assertion:
    """An assertion in a cell of CSV, as promptfoo writes it. Raises InvalidAssertion.

    `contains: Paris`, `not-regex: \\d`, `latency(500)`, `is-json`; any other text must be
    equal to the response.
    """
    match = _SHORTHAND.fullmatch(text.strip())
    if match is not None:
        label = match[1]
        name = label.removeprefix("not-")
        name = _ALIASES.get(name, name)
        prefix = "not-" if label.startswith("not-") else ""
        has_arguments = match[2] is not None or match[3] is not None
        if (name in TYPES and (has_arguments or name in {"is-json", "contains-json"})) or (
            name in _CODE_TYPES and has_arguments
        ):
            data: Json = {"type": prefix + name, "value": match[3]}
            if match[2] is not None:
                data["threshold"] = float(match[2])
            elif name in _BY_THRESHOLD and match[3]:
                data |= {"threshold": _parse_number(match[3]), "value": None}
            return parse_assertion(data)
    return parse_assertion({"type": "equals", "value": text})


def _parse_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
