"""Docstrings of functions are in the imperative (PEP 257), or name what the function returns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Words that are not also nouns, such as "Records".
_THIRD_PERSON = re.compile(
    r"""(?:
    Accepts|Adds|Admits|Allocates|Allows|Appends|Asks|Awaits|Begins|Cancels|Clears|Closes|
    Collects|Commits|Completes|Confirms|Connects|Continues|Converts|Creates|Decides|Decodes|
    Deletes|Determines|Disables|Discards|Does|Encrypts|Escapes|Estimates|Excludes|Executes|
    Exempts|Fetches|Finds|Handles|Identifies|Iterates|Joins|Keeps|Lets|Makes|Merges|Notifies|
    Opens|Parses|Prepares|Prints|Publishes|Receives|Reduces|Refills|Refreshes|Refuses|Rejects|
    Relays|Releases|Removes|Renders|Replaces|Requeues|Responds|Restarts|Resumes|Returns|Rewrites|
    Saves|Schedules|Sends|Separates|Serves|Settles|Splits|Suspends|Trusts|Unlocks|Updates|
    Verifies|Waits|Wakes|Walks|Warns|Writes|Yields
    )\b""",
    re.VERBOSE,
)


def third_person_docstrings(tree: ast.Module) -> Iterator[str]:
    """Yield the first lines of docstrings that are not in the imperative."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first_line = (ast.get_docstring(node) or " ").splitlines()[0]
            if _THIRD_PERSON.match(first_line):
                yield f"{node.lineno} {first_line}"


@pytest.mark.parametrize("folder", ["gateway", "console", "tests"])
def test_docstrings_are_in_the_imperative(folder: str) -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line in third_person_docstrings(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(
    ("docstring", "count"), [("Returns it.", 1), ("Return it.", 0), ("Records of it.", 0)]
)
def test_the_check_finds_the_third_person(docstring: str, count: int) -> None:
    tree = ast.parse(f'def function():\n    """{docstring}"""')
    assert len(list(third_person_docstrings(tree))) == count
