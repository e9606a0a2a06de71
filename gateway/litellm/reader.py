"""YAML -> nodes that know where they stand, so that a mistake can be named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

MAX_BYTES = 4 * 1024 * 1024
# A few nested aliases can stand for billions of nodes; nobody configures that many.
MAX_NODES = 200_000
MAX_DEPTH = 60


class Mistake(ValueError):
    """Something the operator has to mend; `str` of it names file, line and field."""

    def __init__(self, place: str, field: str, why: str) -> None:
        super().__init__(f"{place}: {field}: {why}" if field else f"{place}: {why}")


class Node(msgspec.Struct, frozen=True):
    """A value and its place: a mapping's values and a list's items are Nodes too."""

    value: Any
    file: str
    line: int
    path: str

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def items(self) -> Iterator[tuple[str, Node]]:
        """The pairs of a mapping. Raises Mistake for anything else."""
        if self.value is None:
            return iter(())
        if not isinstance(self.value, dict):
            raise self.wrong("must be a mapping")
        return iter(self.value.items())

    def list(self) -> tuple[Node, ...]:
        """The items of a list. Raises Mistake for anything else."""
        if self.value is None:
            return ()
        if not isinstance(self.value, tuple):
            raise self.wrong("must be a list")
        return self.value

    def get(self, name: str) -> Node | None:
        """The value of a key that is there and not null."""
        if self.value is not None and not isinstance(self.value, dict):
            raise self.wrong("must be a mapping")
        found = (self.value or {}).get(name)
        return found if found is not None and found.value is not None else None

    def text(self) -> str:
        """A string; numbers are taken as written. Raises Mistake."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            raise self.wrong("must be a string")
        return str(self.value)

    def number(self) -> float:
        """A number that is not negative. Raises Mistake."""
        value = self.value
        if isinstance(value, str):
            try:
                value = float(value)  # YAML 1.1 reads 1e-6 as text
            except ValueError:
                raise self.wrong("must be a number") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self.wrong("must be a number that is not negative")
        return float(value)

    def flag(self) -> bool:
        """True or false. Raises Mistake."""
        if not isinstance(self.value, bool):
            raise self.wrong("must be true or false")
        return self.value

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value

    def wrong(self, why: str) -> Mistake:
        """A Mistake at this place."""
        return Mistake(self.place, self.path, why)


def read_file(path: Path) -> Node:
    """The file's root mapping. Raises Mistake."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Mistake(str(path), "", f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise Mistake(str(path), "", f"is larger than {MAX_BYTES} bytes")
    try:
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise Mistake(str(path), "", "is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        why = getattr(error, "problem", None) or "is not valid YAML"
        raise Mistake(f"{path.name}:{line}", "", f"is not valid YAML: {why}") from None
    if root is None:
        return Node({}, path.name, 1, "")
    node = _Converter(path.name).convert(root, "", 0)
    if not isinstance(node.value, dict):
        raise node.wrong("the file must be a mapping with model_list and the like")
    return node


class _Converter:
    def __init__(self, file: str) -> None:
        self._file = file
        self._count = 0
        self._scalars = yaml.SafeLoader("")

    def convert(self, node: yaml.Node, path: str, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_NODES or depth > MAX_DEPTH:
            raise Mistake(f"{self._file}:{line}", path, "is nested or repeated too much")
        return Node(self._value(node, path, depth), self._file, line, path)

    def _value(self, node: yaml.Node, path: str, depth: int) -> Any:
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path, depth))
        if isinstance(node, yaml.SequenceNode):
            return tuple(
                self.convert(item, f"{path}[{position}]", depth + 1)
                for position, item in enumerate(node.value)
            )
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            place = f"{self._file}:{node.start_mark.line + 1}"
            raise Mistake(place, path, "has a value that is not plain YAML") from None

    def _pairs(self, node: yaml.MappingNode, path: str, depth: int) -> Iterator[tuple[str, Node]]:
        for key, value in node.value:
            place = f"{self._file}:{key.start_mark.line + 1}"
            if key.tag == "tag:yaml.org,2002:merge":
                yield from self._merged(value, path, depth)
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise Mistake(place, path, "has a key that is not text")
            name = str(key.value)
            yield name, self.convert(value, f"{path}.{name}" if path else name, depth + 1)

    def _merged(self, value: yaml.Node, path: str, depth: int) -> Iterator[tuple[str, Node]]:
        parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                yield from self._pairs(part, path, depth + 1)
