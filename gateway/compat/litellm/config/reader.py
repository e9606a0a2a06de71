"""Reads YAML into nodes with line numbers, so that error messages can point at them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from gateway.providers.auth import VARIABLE_PREFIX

MAX_BYTES = 1024 * 1024
# A few nested aliases can expand to billions of nodes; no real file has this many.
MAX_NODES = 200_000
MAX_DEPTH = 60
# Converting a number in base 60, such as `1:30`, takes time quadratic in its length.
_MAX_NUMBER_CHARS = 500
_NUMBER_TAGS = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
# Most JSON parsers do not read larger integers exactly.
_JSON_MAX = 2**63

_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class ConfigError(ValueError):
    """An error that the operator must fix; `str` of it names file, line and field."""

    def __init__(self, location: str, field: str, reason: str) -> None:
        super().__init__(f"{location}: {field}: {reason}" if field else f"{location}: {reason}")
        self.location = location
        self.field = field
        self.reason = reason


class UnsetVariable(ConfigError):
    """A value names an environment variable that is not set."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A value and its location; a mapping's values and a list's items are Nodes too.

    Attributes:
        raw: a scalar as written in the file.
        variable: the name in `os.environ/NAME`; `value` is then the value of the variable, or
            None if it is not set.
    """

    value: Any
    file: str
    line: int
    path: str = ""
    raw: str = ""
    variable: str = ""

    @property
    def location(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def items(self) -> Iterator[tuple[str, Node]]:
        """Return the pairs of a mapping. Raises ConfigError for another type."""
        if self.value is None:
            return iter(())
        if not isinstance(self.value, dict):
            raise self.error("must be a mapping")
        return iter(self.value.items())

    def list(self) -> tuple[Node, ...]:
        """Return the items of a list. Raises ConfigError for another type."""
        if self.value is None:
            return ()
        if not isinstance(self.value, tuple):
            raise self.error("must be a list")
        return self.value

    def get(self, *names: str) -> Node | None:
        """Return the value of the first of these keys that is present and not null."""
        if self.value is not None and not isinstance(self.value, dict):
            raise self.error("must be a mapping")
        mapping: dict[str, Node] = self.value or {}
        for name in names:
            node = mapping.get(name)
            if node is not None and (node.value is not None or node.variable):
                return node
        return None

    def text(self, *, max_length: int = 10_000) -> str:
        """Return a string; numbers and dates as written. Raises ConfigError."""
        value = self._require_value()
        if isinstance(value, bool) or not isinstance(value, str | int | float | dt.date):
            raise self.error("must be a string")
        text = value if isinstance(value, str) else self.raw
        if len(text) > max_length:
            raise self.error(f"must have at most {max_length} characters")
        return text

    def url(self, *, max_length: int) -> str:
        """Return an http:// or https:// URL without trailing slashes, or "". Raises ConfigError."""
        text = self.text(max_length=max_length).strip().rstrip("/")
        try:
            parts = urlsplit(text)
            is_url = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            is_url = False
        if text and not is_url:
            # Without the text: it may be the value of a variable.
            raise self.error("must be an http:// or https:// URL")
        return text

    def text_or_reference(self) -> str:
        """Return the text, or `os.environ/NAME`: a variable's value is never stored."""
        return f"{VARIABLE_PREFIX}{self.variable}" if self.variable else self.text()

    def number(self) -> float:
        """Return a number that is not negative. Raises ConfigError."""
        value = self._require_value()
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error("must be a number")
        try:
            number = float(value)  # YAML 1.1 reads 1e-6 as text
        except (ValueError, OverflowError):
            raise self.error("must be a number") from None
        if not (math.isfinite(number) and number >= 0):
            raise self.error("must be a number that is not negative")
        return number

    def integer(self, *, max_value: int = 2**31 - 1) -> int:
        """Return a whole number that is not negative. Raises ConfigError."""
        number = self.number()
        if number != int(number):
            raise self.error("must be a whole number")
        if number > max_value:
            raise self.error(f"must be at most {max_value}")
        return int(number)

    def boolean(self) -> bool:
        """Return a boolean, also from text such as `yes` and `off`. Raises ConfigError."""
        value = self._require_value()
        if isinstance(value, bool):
            return value
        text = value.strip().lower() if isinstance(value, str) else ""
        if text not in _TRUE | _FALSE:
            raise self.error("must be true or false")
        return text in _TRUE

    def to_python(self) -> Any:
        """Return the value as plain Python data for JSON. Raises ConfigError."""
        value = self._require_value()
        if isinstance(value, dict):
            return {name: node.to_python() for name, node in value.items()}
        if isinstance(value, tuple):
            return [node.to_python() for node in value]
        if isinstance(value, dt.date):
            return self.raw
        if isinstance(value, int | float) and not (abs(value) < _JSON_MAX):
            raise self.error("is a number that JSON cannot represent")
        return value

    def _require_value(self) -> Any:
        if self.variable and self.value is None:
            reason = f"names the environment variable {self.variable}, which is not set"
            raise UnsetVariable(self.location, self.path, reason)
        return self.value

    def error(self, reason: str) -> ConfigError:
        """Return a ConfigError at this location."""
        return ConfigError(self.location, self.path, reason)


class File(msgspec.Struct, frozen=True):
    """A parsed file; `repeated` lists duplicate keys, of which only the last counts."""

    root: Node
    repeated: list[Node]


def resolve_variables(node: Node, environ: Mapping[str, str]) -> Node:
    """Return the node with every `os.environ/NAME` below it resolved."""
    value = node.value
    if isinstance(value, dict):
        resolved_value: Any = {
            name: resolve_variables(child, environ) for name, child in value.items()
        }
    elif isinstance(value, tuple):
        resolved_value = tuple(resolve_variables(child, environ) for child in value)
    elif isinstance(value, str) and value.startswith(VARIABLE_PREFIX):
        name = value.removeprefix(VARIABLE_PREFIX).strip()
        # Shells and compose files often set a variable to "" to unset it.
        return msgspec.structs.replace(node, value=environ.get(name) or None, variable=name)
    else:
        return node
    return msgspec.structs.replace(node, value=resolved_value)


def to_node(value: Any, file: str, path: str = "") -> Node:
    """Return plain data as a node without line numbers; `file` names its origin.

    Raises ConfigError.
    """
    for text in value if isinstance(value, dict) else [value]:
        if isinstance(text, str):
            _check_text(text, file, path)
    if isinstance(value, dict):
        node_value: Any = {
            str(name): to_node(item, file, f"{path}.{name}" if path else str(name))
            for name, item in value.items()
        }
    elif isinstance(value, list):
        node_value = tuple(
            to_node(item, file, f"{path}[{index}]") for index, item in enumerate(value)
        )
    else:
        node_value = value
    return Node(value=node_value, file=file, line=0, path=path, raw=str(value))


def read_file(path: Path) -> File:
    """Read a file's root mapping. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(str(path), "", f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(str(path), "", f"is larger than {MAX_BYTES} bytes")
    try:
        root = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise ConfigError(str(path), "", "is not UTF-8 text") from None
    except RecursionError:
        raise ConfigError(str(path), "", "is nested too deeply") from None
    except yaml.YAMLError as error:
        raise _bad_yaml(path.name, error) from None
    if root is None:
        return File(Node(value={}, file=path.name, line=1), [])
    converter = _Converter(path.name)
    node = converter.convert(root, "", 0, root.start_mark.line + 1)
    if not isinstance(node.value, dict):
        raise ConfigError(
            node.location, "", "the file must be a mapping with keys such as model_list"
        )
    return File(node, converter.repeated)


def _bad_yaml(name: str, error: yaml.YAMLError) -> ConfigError:
    problem_mark = getattr(error, "problem_mark", None)
    location = f"{name}:{problem_mark.line + 1}" if problem_mark else name
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    hint = "; YAML is indented with spaces, never tabs" if "'\\t'" in reason else ""
    return ConfigError(location, "", f"is not valid YAML: {reason}{hint}")


def _check_text(text: str, location: str, path: str) -> None:
    """Reject characters that an escape can produce but databases and JSON cannot hold."""
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ConfigError(location, path, "contains a NUL character or an unpaired surrogate")


class _Converter:
    """One pass over the composed tree, with a node limit so that it terminates."""

    def __init__(self, file: str) -> None:
        self.repeated: list[Node] = []
        self._file = file
        self._count = 0
        self._scalars = yaml.SafeLoader("")

    def convert(self, node: yaml.Node, path: str, depth: int, line: int) -> Node:
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigError(
                f"{self._file}:{line}", path[:200], "is nested too deeply or has too many nodes"
            )
        raw_text = node.value if isinstance(node, yaml.ScalarNode) else ""
        value = self._convert_value(node, path, depth, line)
        return Node(value=value, file=self._file, line=line, path=path, raw=raw_text)

    def _convert_value(self, node: yaml.Node, path: str, depth: int, line: int) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._convert_mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return tuple(
                self.convert(item, f"{path}[{position}]", depth + 1, item.start_mark.line + 1)
                for position, item in enumerate(node.value)
            )
        location = f"{self._file}:{line}"
        _check_text(node.value, location, path)
        try:
            if node.tag in _NUMBER_TAGS and len(node.value) > _MAX_NUMBER_CHARS:
                raise ValueError("a number this long is not converted")
            return self._scalars.construct_object(node)
        # The last two are PyYAML's for `!!bool x` and `!!timestamp x`.
        except (yaml.YAMLError, ValueError, OverflowError, KeyError, AttributeError):
            raise ConfigError(location, path, "has a value that is not plain YAML") from None

    def _convert_mapping(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Node]:
        mapping: dict[str, Node] = {}
        merged_nodes: dict[str, Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == "tag:yaml.org,2002:merge":
                merged_nodes |= self._merge_mapping(value, path, depth)
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(f"{self._file}:{line}", path, "has a key that is not text")
            name = str(key.value)
            _check_text(name, f"{self._file}:{line}", path)
            child_path = f"{path}.{name}" if path else name
            child = self.convert(value, child_path, depth + 1, line)
            if name in mapping:
                self.repeated.append(child)
            mapping[name] = child
        # Keys of the mapping itself override those of `<<`, regardless of their order.
        return {**merged_nodes, **mapping}

    def _merge_mapping(self, value: yaml.Node, path: str, depth: int) -> dict[str, Node]:
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        mapping: dict[str, Node] = {}
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            raise ConfigError(self._file, path[:200], "is nested too deeply or has too many nodes")
        for part in reversed(parts):
            if isinstance(part, yaml.MappingNode):
                mapping |= self._convert_mapping(part, path, depth + 1)
        return mapping
