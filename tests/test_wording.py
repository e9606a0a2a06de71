"""User-facing texts contain none of the phrases below, but plain, idiomatic terms.

Checked are the pages, the scripts of the console, and every string of the program that is not a
docstring. A phrase is a regular expression with the recommended replacement.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# phrase, in lower case -> what to write instead
PHRASES = {
    # General English
    r"can not\b": "cannot",
    r"\bwhom\b": "who, or rephrase",
    r"\bnobody\b": "no one, or rephrase",
    r"\banew\b": "again",
    r"\bas it is\b(?! an?\b)": "unchanged",
    r"\bas they are\b": "unchanged",
    r"\bit is taken\b": "it is accepted",
    r"\b(?:is|are) told\b": "is reported, is returned",
    r"\bit says\b": "it contains, it returns",
    r"\bstands? twice\b": "is listed twice",
    r"\bstands? (?:in its place|beside|for many|on it)\b": "name the relation",
    r"(?<!there )\bis no (?:object|text|string|list|key|trait|day|amount|json|message|stream)\b": "is not",
    r"\btakes? no (?:images?|tools?|documents?|audio|effort|marks?|stop|urls?|penalties)\b": (
        "does not support"
    ),
    r"\bholds? (?:no|text only)\b": "contains",
    r"\bnothing is kept\b": "nothing is stored",
    r"\bwith commas between\b|\bcommas between\b": "comma-separated",
    r"\bbroke off\b|\bbreaks? off\b": "ended early, interrupted",
    r"\bthe client left\b": "the client disconnected",
    r"\bat a time\b": "concurrent",
    r"\bfor good\b": "permanently",
    r"\bin all\b": "total",
    r"\bgood (?:until|for)\b": "expires, valid",
    r"\b(?:requests?|tokens) an? (?:second|minute|hour|day)\b": "requests per minute",
    # Cooldown
    r"\bresting\b|\bafter a rest\b|\brests \d|\bbefore a rest\b": "in cooldown",
    # Buttons and titles
    r"\bmake (?:the |an? )?(?:account|key|team|route|user)\b": "Create",
    r"\btake over\b|\btaken over\b|\bnot taken over\b": "Import, Imported",
    r"\btick all\b|\bticked\b": "Select all, selected",
    r"\bask again\b": "Refresh",
    r"\brun dry\b|\bpretend\b": "Dry run, Simulate",
    r"\bkeep out\b|\bkept out\b": "Deactivate",
    r"\bleave for now\b|\bgo on with\b|\byou go on\b": "Skip for now, Resume",
    r"\bthe same again\b": "Confirm",
    r"\byour name\b": "Username",
    r"\bnot for you\b": "Admins only",
    r"\bwiden\b|\brun this one\b|\bremove this\b": "Expand, Run, Remove",
    r"\bfurther settings\b|\bfurther rounds\b": "Advanced, Retry rounds",
    r"\bexamin(?:e|ed|ation)\b": "Run checks, checks",
    r"\bother names\b|\balso answers to\b": "Aliases",
    r"\bour own\b|\bits own part\b": "Gateway",
    r"\bcarried exactly\b|\bcould not be carried\b": "Translation losses",
    r"\bkept answers?\b|\bkeep answers\b": "Response cache",
    r"\banswers requests\b": "Enabled",
    r"\bhalf are faster\b|\d % within\b": "p50, p95",
    r"\bby now\b": "at this time",
    r"\blongest answer\b": "Max output tokens",
    r"\bask as a client\b|\bask a second\b": "Client API, Hedge after",
    r"\brepeat requests\b|\brepeats unseen\b": "Shadow traffic, Shadow of",
    r"\bpictures?\b": "Image",
    r"\bthoughts\b|\bto think\b": "Reasoning",
    r"\bbegun answer\b": "Prefilled response",
    r"\b(?:an?|the|each|this|per|no|which|empty|plain) answers?\b": "Response",
    r"\bin its words\b|\bits documentation\b": "Response, Documentation",
    r"\bwhat becomes of\b": "Preview",
    r"\bsaid in it\b|\bwas said\b": "content",
}

# Strings that a rule does not apply to: prompts of checks, and texts of other programs.
ALLOWED = {
    "Whatever you are asked, answer with the single word MARIGOLD and nothing else.",
}
_ANY = re.compile("|".join(PHRASES))
_EXCLUDED = ("migrations", "vendor")


def _python_strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string literal that is not a docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if " " in node.value and id(node) not in docstrings and node.value not in ALLOWED:
            yield node.lineno, node.value


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page or script without its comments."""
    text = path.read_text(encoding="utf-8")
    comments = r"\{#.*?#\}" if path.suffix == ".html" else r"/\*.*?\*/|(?<!:)//[^\n]*"
    blank = re.sub(comments, lambda result: "\n" * result[0].count("\n"), text, flags=re.DOTALL)
    yield from enumerate(blank.splitlines(), 1)


def _texts(folder: str) -> Iterator[tuple[str, int, str]]:
    for path in sorted((ROOT / folder).rglob("*")):
        if any(part in str(path) for part in _EXCLUDED):
            continue
        if path.suffix == ".py":
            read = _python_strings
        elif path.suffix in {".html", ".js"}:
            read = _lines
        else:
            continue
        name = str(path.relative_to(ROOT))
        yield from ((name, line, text) for line, text in read(path))


def _instead(text: str) -> str:
    """Return the replacement of the first phrase in a text."""
    return next(word for rule, word in PHRASES.items() if re.search(rule, text.lower()))


@pytest.mark.parametrize("folder", ["gateway", "console", "templates", "static/js"])
def test_texts_use_plain_terms(folder: str) -> None:
    offenders = [
        f"{name}:{line}: “{match[0]}”: write {_instead(text)}"
        for name, line, text in _texts(folder)
        if (match := _ANY.search(text.lower()))
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("phrase", ["This can not be done.", "3 requests a minute", "Take over"])
def test_the_wording_check_finds_a_forbidden_phrase(phrase: str) -> None:
    assert _ANY.search(phrase.lower())
