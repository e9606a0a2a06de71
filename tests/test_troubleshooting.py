"""docs/troubleshooting.md quotes error messages exactly."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTES = re.findall(r"^> (.+)$", PAGE, re.M)
# Texts of providers, as the strict fakes of the tests give them.
OF_PROVIDERS = {
    '"thinking.type.adaptive" is not supported for this model.',
    "`tool_use` ids were found without `tool_result` blocks immediately after: ...",
    "Invalid `signature` in `thinking` block",
}
# Stands for a value in a formatted text.
VALUE = "\0"


@functools.cache
def texts(*folders: str) -> list[str]:
    """Return every text in the code, with literals joined and values replaced by VALUE."""
    string_literals = []
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        part.value if isinstance(part, ast.Constant) else VALUE
                        for part in node.values
                    ]
                    string_literals.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    string_literals.append(node.value)
    return string_literals


def is_quoted(quote: str, *folders: str) -> bool:
    """Return whether the code contains a quoted text; `...` stands for values and the rest."""
    pieces = [re.escape(piece.strip()) for piece in re.split(r"\.\.\.|…", quote)]
    pattern = re.compile(rf"\s*{VALUE}?.*?".join(pieces), re.S)
    return any(pattern.search(text) for text in texts(*folders))


def test_a_quoted_message_that_no_code_produces_is_detected() -> None:
    assert is_quoted("this API key has expired", "gateway")
    assert not is_quoted("this API key has been eaten", "gateway")
    assert not is_quoted("the model `...` has been eaten", "gateway")


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_error_is_a_message_of_the_program(quote: str) -> None:
    if quote in OF_PROVIDERS:
        assert is_quoted(quote.replace("adaptive", "…"), "tests/fakes")
        return
    assert is_quoted(quote, "gateway", "console")


def test_most_headings_have_a_quote_and_every_status_too() -> None:
    sections = PAGE.split("\n## ")[1:]
    with_status = [section for section in sections if re.match(r"\d{3}", section)]
    assert len(with_status) >= 8
    assert [s.partition("\n")[0] for s in with_status if "\n> " not in s] == [
        "400: the prompt is too long"  # the provider's own text
    ]


def test_the_upgrade_page_quotes_a_message_of_the_program() -> None:
    page = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
    (message,) = re.findall(r"^```\n(this program is .*?)^```", page, re.M | re.S)
    quote = re.sub(r"\d+\.\d+\.\d+|gateway\.0002_example", "...", " ".join(message.split()))
    assert is_quoted(quote, "gateway/store")
