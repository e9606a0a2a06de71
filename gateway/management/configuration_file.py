"""Reads and applies a configuration file in Dragoman's own format."""

from __future__ import annotations

import re
from pathlib import Path

from gateway import audit
from gateway.compat.litellm.config.reader import ConfigError, Node, read_file
from gateway.store.configuration import AppliedChanges, InvalidDocument, SourceRefOf, apply

_PATH_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def is_dragoman_format(path: Path) -> bool:
    """Whether a file is in Dragoman's format. Raises ConfigError if it cannot be read."""
    return "dragoman" in dict(read_file(path).root.items())


def apply_file(path: Path, *, take: bool = False, dry_run: bool = False) -> AppliedChanges:
    """Apply a file. Raises ConfigError, which names file, line and field."""
    file = read_file(path)
    for node in file.repeated:
        raise node.error("is listed twice")
    source_ref_of = _source_refs(file.root)
    with audit.acting_as(f"apply {path.name}", "command"):
        try:
            return apply(
                file.root.to_python(), path.name, source_ref_of, take=take, dry_run=dry_run
            )
        except InvalidDocument as unfit:
            raise ConfigError(source_ref_of(unfit.path), unfit.path, unfit.reason) from None


def _source_refs(root: Node) -> SourceRefOf:
    """Return a function from a path in the document to its line, or its nearest parent's."""

    def source_ref(path: str) -> str:
        node = root
        for name, number in _PATH_STEP.findall(path):
            value = node.value
            if name and isinstance(value, dict) and name in value:
                node = value[name]
            elif number and isinstance(value, tuple) and int(number) < len(value):
                node = value[int(number)]
            else:
                break
        return node.location

    return source_ref
