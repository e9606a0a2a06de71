"""The house rules as tests: layers, sizes, types, names, and no branch on a provider."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("gateway", "console")
MAX_FILE, MAX_FUNCTION, MAX_CLASS = 700, 80, 250
MEDIAN_FILE, MEDIAN_FUNCTION = 200, 10
BAD_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py", "base2.py"}


def sources() -> list[Path]:
    found = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    ]
    assert len(found) > 50
    return found


def tracked(*patterns: str) -> list[Path]:
    out = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def lines(node: ast.stmt) -> int:
    """Lines of a definition without its docstring."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    body = getattr(node, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        length -= (body[0].end_lineno or 0) - body[0].lineno + 1
    return length


def tool(*command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-3000:]


def test_ruff_finds_nothing() -> None:
    tool("ruff", "check", "--no-cache", ".")


@pytest.mark.timeout(300)
def test_types_are_strict() -> None:
    tool("mypy")


def test_nobody_imports_upwards() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


def test_files_stay_small() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in sources()}
    large = {str(path.relative_to(ROOT)): n for path, n in sizes.items() if n > MAX_FILE}
    assert not large
    assert statistics.median(sizes.values()) <= MEDIAN_FILE


def test_functions_stay_short() -> None:
    sizes = []
    long = []
    for path in sources():
        for node in functions(ast.parse(path.read_text())):
            sizes.append(lines(node))
            if sizes[-1] > MAX_FUNCTION:
                long.append(f"{path.name}:{node.lineno} {node.name} {sizes[-1]}")
    assert not long
    assert statistics.median(sizes) <= MEDIAN_FUNCTION


def test_classes_stay_small() -> None:
    large = [
        f"{path.name}:{node.lineno} {node.name}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and lines(node) > MAX_CLASS
    ]
    assert not large


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert not [path for path in sources() if path.name in BAD_NAMES]


_PROVIDER_NAME = re.compile(r"^(provider|preset|vendor|kind)(_name)?$")
# `kind` is also the word for a part's or an error's class; there it never names a provider.
_PRESET_WORDS = re.compile(
    r"^(openai|anthropic|deepseek|groq|openrouter|together|mistral|fireworks|ollama|vllm|lmstudio"
    r"|gemini|minimax|azure\w*|xai|cohere|bedrock|vertex\w*|demo|moonshot|zhipu|dashscope)$"
)


def branches_on_a_provider(source: str) -> list[int]:
    """Line numbers of comparisons of a provider-like name with a provider's name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [node.subject, *(n for n in ast.walk(node) if isinstance(n, ast.Constant))]
        else:
            continue
        names = [getattr(side, "attr", getattr(side, "id", "")) for side in sides]
        texts = [
            n.value
            for side in sides
            for n in ast.walk(side)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
        named = any(_PROVIDER_NAME.match(name) for name in names)
        if named and any(_PRESET_WORDS.match(text) for text in texts):
            found.append(node.lineno)
    return found


def test_a_branch_on_a_provider_would_be_found() -> None:
    assert branches_on_a_provider('if target.provider == "openai": pass') == [1]
    assert branches_on_a_provider('x = preset_name in {"deepseek", "groq"}') == [1]
    assert branches_on_a_provider("match kind:\n    case 'anthropic': pass") == [1]
    assert branches_on_a_provider('if part.kind == "function": pass') == []


def test_nobody_branches_on_a_provider() -> None:
    found = {
        str(path.relative_to(ROOT)): where
        for path in sources()
        if (where := branches_on_a_provider(path.read_text()))
    }
    assert not found


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(
        "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error"))
    )
    found = [str(p) for p in [*sources(), *tracked("tests/*.py")] if marks.search(p.read_text())]
    assert not found


def test_templates_never_trust_a_value() -> None:
    found = [p for p in tracked("templates/*") if re.search(r"\|\s*safe\b", p.read_text())]
    assert not found


def test_no_tracked_file_names_a_registry_or_this_machine() -> None:
    dot = r"\."
    hosts = [f"pypi{dot}org", f"pythonhosted{dot}org", f"npmjs{dot}org", f"debian{dot}org/debian"]
    roots = [f"/{root}/" for root in ("work", "farm", "root")]
    bad = re.compile("|".join([*hosts, *(rf"(?:^|[^A-Za-z0-9_.]){r}" for r in roots)]), re.M)
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if bad.search(text):
            found.append(str(path.relative_to(ROOT)))
    assert not found


@pytest.mark.django_db
def test_the_migrations_are_complete() -> None:
    from django.core.management import call_command

    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
