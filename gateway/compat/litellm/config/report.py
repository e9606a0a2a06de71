"""Report of the keys in a file that have no effect, or a different one than in LiteLLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway.compat.litellm.config.key_lookup import find_key, suggest_key
from gateway.compat.litellm.config.reader import ConfigError, Node

Value = TypeVar("Value")

_STATUS_TEXTS = {"planned": "not supported yet", "unsupported": "not supported"}


class Report:
    """Collects remarks; a key that appears several times makes one line."""

    def __init__(self) -> None:
        self._nodes_by_message: dict[tuple[str, str], list[Node]] = {}
        self._files: list[str] = []

    def add(self, node: Node, text: str) -> None:
        """Add a remark about this node."""
        self._add_note(node, node.path, text)

    def add_mistake(self, mistake: ConfigError, consequence: str) -> None:
        """Add an error in the file, at its own location, with its consequence."""
        file, _, line = mistake.location.rpartition(":")
        node = Node(value=None, file=file, line=int(line))
        self._add_note(node, mistake.field, f"{mistake.reason}; {consequence}")

    def attempt(self, node: Node, read: Callable[[Node], Value]) -> Value | None:
        """Return the result of `read`; None, with a remark, for an invalid optional value."""
        try:
            return read(node)
        except ConfigError as mistake:
            self.add_mistake(mistake, "it is ignored")
            return None

    def keys(self, node: Node, section: str) -> None:
        """Look up every key of a section, and report those that are not supported."""
        for name, value in node.items():
            key = find_key(section, name)
            key_path = f"{section}.{name}" if section else name
            if key is None:
                guess = suggest_key(section, name)
                self._add_note(
                    value, key_path, f"unknown key{f'; did you mean {guess}?' if guess else ''}"
                )
            elif key.status != "supported":
                self._add_note(value, key_path, f"{_STATUS_TEXTS[key.status]}: {key.reason}")

    def _add_note(self, node: Node, key_path: str, text: str) -> None:
        if node.file not in self._files:
            self._files.append(node.file)
        self._nodes_by_message.setdefault((key_path, text), []).append(node)

    def lines(self) -> list[str]:
        """Return one line for each remark, in the order of the files."""

        def position(nodes: list[Node]) -> tuple[int, int]:
            return self._files.index(nodes[0].file), nodes[0].line

        notes = sorted(self._nodes_by_message.items(), key=lambda pair: position(pair[1]))
        return [
            f"{nodes[0].location}: {key_path}: {text}{_other_locations(nodes[1:])}"
            for (key_path, text), nodes in notes
        ]


def _other_locations(nodes: list[Node]) -> str:
    if not nodes:
        return ""
    return f" (and {len(nodes)} more time{'s' if len(nodes) > 1 else ''})"
