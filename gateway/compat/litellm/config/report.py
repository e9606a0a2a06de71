"""Report of the keys in a file that have no effect, or a different one than in LiteLLM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway.compat.litellm.config.key_lookup import find_key, suggest_key
from gateway.compat.litellm.config.reader import ConfigError, Node
from gateway.compat.litellm.config.remark import Remark, key_remark

Value = TypeVar("Value")

_STATUS_TEXTS = {"planned": "not supported yet", "unsupported": "not supported"}


class Report:
    """Collects remarks; a key that appears several times makes one line."""

    def __init__(self) -> None:
        self._nodes_by_message: dict[tuple[str, str, bool], list[Node]] = {}
        self._files: list[str] = []

    def add(self, node: Node, text: str) -> None:
        """Add a remark about a node that has a different effect than in LiteLLM."""
        self._add_remark(node, node.path, text, is_skipped=False)

    def add_skipped(self, node: Node, text: str) -> None:
        """Add a remark about a node that has no effect."""
        self._add_remark(node, node.path, text, is_skipped=True)

    def add_mistake(self, mistake: ConfigError, consequence: str) -> None:
        """Add an error in the file, at its own location, with its consequence."""
        file, _, line = mistake.location.rpartition(":")
        node = Node(value=None, file=file, line=int(line))
        reason = f"{mistake.reason}; {consequence}"
        self._add_remark(node, mistake.field, reason, is_skipped=True)

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
                reason = f"unknown key; did you mean {guess}?" if guess else "unknown key"
                self._add_remark(value, key_path, reason, is_skipped=True)
            elif key.status != "supported":
                reason = f"{_STATUS_TEXTS[key.status]}: {key.reason}"
                self._add_remark(value, key_path, reason, is_skipped=True)

    def _add_remark(self, node: Node, key_path: str, reason: str, *, is_skipped: bool) -> None:
        if node.file not in self._files:
            self._files.append(node.file)
        self._nodes_by_message.setdefault((key_path, reason, is_skipped), []).append(node)

    def remarks(self) -> list[Remark]:
        """Return the remarks, in the order of the files."""

        def position(nodes: list[Node]) -> tuple[int, int]:
            return self._files.index(nodes[0].file), nodes[0].line

        remarks = sorted(self._nodes_by_message.items(), key=lambda pair: position(pair[1]))
        return [
            key_remark(
                nodes[0].location,
                key_path,
                f"{reason}{_other_locations(nodes[1:])}",
                is_skipped=is_skipped,
            )
            for (key_path, reason, is_skipped), nodes in remarks
        ]


def _other_locations(nodes: list[Node]) -> str:
    if not nodes:
        return ""
    return f" (and {len(nodes)} more time{'s' if len(nodes) > 1 else ''})"
