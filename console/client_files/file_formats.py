"""Sets values in the text of a configuration file; the rest of the file is unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import tomlkit
import yaml
from tomlkit.exceptions import TOMLKitError

_BEGIN, _END = "# dragoman: begin", "# dragoman: end"
_MANAGED_BLOCK = re.compile(rf"^[ ]*{_BEGIN}\n.*?^[ ]*{_END}\n", re.M | re.S)
_UNQUOTED_VALUE = re.compile(r"[A-Za-z0-9_.:/@~+=-]*")
_MODELS = re.compile(r"^models:[ ]*(?:\[\])?[ ]*(?:#.*)?\n", re.M)


class UnreadableFile(Exception):
    """A file that cannot be changed; the message says why."""


def set_json(text: str, values: Mapping[str, Any]) -> str:
    """Set nested values of a JSON object. Raises UnreadableFile."""
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise UnreadableFile(f"it is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise UnreadableFile("it is not a JSON object")
    _merge_values(document, values)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def set_toml(text: str, values: Mapping[str, Any]) -> str:
    """Set nested values of a TOML file. Raises UnreadableFile."""
    try:
        document = tomlkit.parse(text)
        _merge_values(document, values)
    except TOMLKitError as error:
        raise UnreadableFile(f"it is not TOML: {error}") from None
    return tomlkit.dumps(document)


def set_variables(text: str, values: Mapping[str, str]) -> str:
    """Set variables of a `.env` file."""
    for name, value in values.items():
        line = re.compile(rf"^(?:export[ ]+)?{re.escape(name)}[ ]*=.*\n?", re.M)
        quoted_value = (
            value if _UNQUOTED_VALUE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
        )
        text = _replace_line(text, line, f"{name}={quoted_value}\n")
    return text


def set_yaml_keys(text: str, values: Mapping[str, str]) -> str:
    """Set keys of a YAML mapping that have texts as values. Raises UnreadableFile."""
    for name, value in values.items():
        line = re.compile(rf"^{re.escape(name)}:.*\n?", re.M)
        text = _replace_line(text, line, f"{name}: {json.dumps(value)}\n")
    _load_yaml(text)
    return text


def set_yaml_item(text: str, item: Mapping[str, Any], *, key: str = "") -> str:
    """Set the one item of ours in a YAML list: the document, or the list `models` of a mapping.

    The item stands between two comments, by which it is found again. Raises UnreadableFile.
    """
    text = _MANAGED_BLOCK.sub("", text)
    existing_items = _list_items(text, key)
    text = _with_models(text, item) if key else _with_final_newline(text) + _yaml_block(item, "")
    items = _list_items(text, key)
    items.remove(dict(item)) if dict(item) in items else items.append(item)
    if items != existing_items:
        raise UnreadableFile("the list of models has an unexpected form")
    return text


def _list_items(text: str, key: str) -> list[Any]:
    document = _load_yaml(text)
    items = document.get(key) if key and isinstance(document, dict) else document
    if items is not None and not isinstance(items, list):
        raise UnreadableFile("the list of models has an unexpected form")
    return items or []


def _with_models(text: str, item: Mapping[str, Any]) -> str:
    match = _MODELS.search(_with_final_newline(text))
    if match is None:
        return f"{_with_final_newline(text)}models:\n{_yaml_block(item, '  ')}"
    text, insert_at = _with_final_newline(text), match.end()
    block = _yaml_block(item, _item_indent(text[insert_at:]))
    return f"{text[: match.start()]}models:\n{block}{text[insert_at:]}"


def _item_indent(text: str) -> str:
    """The indentation of the list that a text begins with, or a usual one."""
    for line in text.splitlines():
        content = line.lstrip(" ")
        if content and not content.startswith("#"):
            return line[: len(line) - len(content)] if content.startswith("- ") else "  "
    return "  "


def _yaml_block(item: Mapping[str, Any], indent: str) -> str:
    lines = [f"{name}: {json.dumps(value)}" for name, value in item.items()]
    body = [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]
    return "".join(f"{indent}{line}\n" for line in (_BEGIN, *body, _END))


def _replace_line(text: str, line: re.Pattern[str], new_line: str) -> str:
    if line.search(text) is None:
        return _with_final_newline(text) + new_line
    return line.sub(lambda _: new_line, text, count=1)


def _with_final_newline(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _load_yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    # The last two are PyYAML's for `!!bool x` and `!!timestamp x`.
    except (yaml.YAMLError, KeyError, AttributeError) as error:
        reason = getattr(error, "problem", None) or "a syntax error"
        raise UnreadableFile(f"it is not YAML: {reason}") from None


def _merge_values(target: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            if not isinstance(target.get(name), Mapping):
                document = isinstance(target, tomlkit.TOMLDocument)
                target[name] = tomlkit.table(is_super_table=True) if document else {}
            _merge_values(target[name], value)
        else:
            target[name] = value
