"""Every regular expression of the product takes linear time on hostile text."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

import console
import gateway

parser: Any = importlib.import_module("re._parser")

# Long enough for quadratic time to show, and what a linear scan of it may take on a busy machine.
CHARS = 8_192
CEILING_S = 0.06
# Patterns that are quadratic, with the most characters that their callers give them and why.
BOUNDED: dict[str, tuple[int, str]] = {
    "gateway.providers.capabilities._PATTERNS": (256, "names of models"),
}
# Patterns that are quadratic in a search only, and whose callers match at one place.
ANCHORED = {
    "console.playground.partial_json._STRING",
    "gateway.config.environment._QUOTED_VALUE",
    "gateway.edge.admission._NAME",  # and of JSON that is valid
    "gateway.edge.bedrock_paths._MODEL_PATH",
    "gateway.framing.multipart._CONTENT_TYPE",
}


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield all compiled patterns in module namespaces, one level of containers deep."""
    values: set[tuple[Any, int]] = set()
    for package in (gateway, console):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" in info.name or ".management.commands" in info.name:
                continue
            module = importlib.import_module(info.name)
            for name, pattern in in_module(module):
                key = pattern.pattern, pattern.flags
                if key not in values:
                    values.add(key)
                    yield f"{info.name}.{name}", pattern


def inline_patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Yield the patterns that are passed to functions of `re` as text."""
    root = Path(gateway.__file__).parents[1]
    for folder in ("gateway", "console"):
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "re"
                    and node.args
                    and isinstance(node.args[0], ast.Constant)
                ):
                    yield f"{path.relative_to(root)}:{node.lineno}", re.compile(node.args[0].value)


def in_module(module: ModuleType) -> Iterator[tuple[str, re.Pattern[Any]]]:
    for name, value in vars(module).items():
        yield from in_value(name, value, depth=3)


def in_value(name: str, value: Any, depth: int) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif depth and isinstance(value, (tuple, list, set, frozenset)) and len(value) < 5000:
        for item in value:
            yield from in_value(name, item, depth - 1)
    elif depth and isinstance(value, Mapping) and len(value) < 5000:
        for item in value.values():
            yield from in_value(name, item, depth - 1)


def alphabet(parsed_pattern: Any) -> Iterator[str]:
    """Return a character for each literal and class of a pattern."""
    for op, argument in parsed_pattern:
        name = str(op)
        if name in {"LITERAL", "NOT_LITERAL"}:
            yield chr(argument)
        elif name == "IN":
            yield from in_class(argument)
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from alphabet(branch)
        elif isinstance(argument, tuple):
            for part in argument:
                if isinstance(part, parser.SubPattern):
                    yield from alphabet(part)


def in_class(items: Any) -> Iterator[str]:
    for op, argument in items:
        match str(op):
            case "LITERAL":
                yield chr(argument)
            case "RANGE":
                yield chr(argument[0])
            case "CATEGORY":
                yield {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " "}.get(str(argument), "a")


def literals(parsed_pattern: Any) -> str:
    """Return the literal prefix of a pattern, where a search would start."""
    prefix = takewhile(lambda item: str(item[0]) == "LITERAL", parsed_pattern)
    return "".join(chr(argument) for _, argument in prefix)[:40]


def attacks(pattern: re.Pattern[Any], chars: int) -> Iterator[Any]:
    source = pattern.pattern
    parsed_pattern = parser.parse(
        source, pattern.flags & ~re.UNICODE if isinstance(source, bytes) else pattern.flags
    )
    singles = list(dict.fromkeys([*alphabet(parsed_pattern), *'0a "']))[:24]
    start = literals(parsed_pattern)
    units = [*singles, *(a + b for a in singles[:5] for b in singles[:5] if a != b)]
    if start:
        units += [start, *(start + single for single in singles[:6])]
    for unit in dict.fromkeys(units):
        hostile = start + (unit * (chars // len(unit) + 1))[:chars] + "\x00"
        yield hostile.encode("latin-1", "replace") if isinstance(source, bytes) else hostile


def match_cpu_s(pattern: re.Pattern[Any], text: Any, *, anchored: bool) -> float:
    """Return the CPU time of a match, a full match and a find of all."""
    start = time.thread_time()
    pattern.match(text)
    pattern.fullmatch(text)
    if not anchored:
        for _ in pattern.finditer(text):
            pass
    return time.thread_time() - start


def test_no_pattern_takes_more_than_linear_time() -> None:
    slow_results: dict[str, str] = {}
    count = 0
    named = list(patterns())
    pattern_texts = {pattern.pattern for _, pattern in named}
    named += [
        (name, pattern)
        for name, pattern in inline_patterns()
        if pattern.pattern not in pattern_texts
    ]
    for name, pattern in named:
        count += 1
        chars = BOUNDED.get(name, (CHARS, ""))[0]
        # The short one first: what is worse than quadratic shows there.
        for text in (*attacks(pattern, chars // 8), *attacks(pattern, chars)):
            # A pattern is slow each time, a busy machine is not.
            if all(
                match_cpu_s(pattern, text, anchored=name in ANCHORED) > CEILING_S for _ in range(3)
            ):
                slow_results[name] = f"{len(text)} characters of {text[:24]!r}"
                break
    assert count > 60
    assert {*BOUNDED, *ANCHORED} <= {name for name, _ in named}, "renamed patterns"
    assert not slow_results, "\n".join(f"{name}: {result}" for name, result in slow_results.items())
