"""Architecture rules as tests: layers, sizes, types, names, and no branch on a provider."""

from __future__ import annotations

import ast
import shutil
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.dialects import DIALECTS
from tests import rules

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION, MAX_CLASS = 700, 80, 280
MEDIAN_FILE, MEDIAN_FUNCTION = 200, 10
BAD_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base2", "manager"}
TOP_LEVEL = {"manage.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "mkdocs.yml"}
TOP_LEVEL |= {"gateway", "console", "templates", "static", "tests", "deploy", "docs", "examples"}


def product_sources() -> list[Path]:
    """Return the product's Python files without Django's migrations."""
    paths = [
        path
        for package in ("gateway", "console")
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    ]
    assert len(paths) > 50
    return paths


@pytest.fixture(scope="module")
def product_modules() -> dict[Path, ast.Module]:
    """The syntax trees of the product's files, which take seconds to parse."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in product_sources()}


def tracked_files(*patterns: str) -> list[Path]:
    """Return the tracked files; in a copy without git, all files."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    out = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    roots = [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]
    assert roots
    return roots


def module_offenders(
    rule: Callable[[ast.Module], list], modules: dict[Path, ast.Module]
) -> dict[str, list]:
    """Return the violations of a rule in these modules, by file."""
    found = {str(path.relative_to(ROOT)): rule(module) for path, module in modules.items()}
    return {name: violations for name, violations in found.items() if violations}


def offenders(rule: Callable[[str], list], paths: list[Path]) -> dict[str, list]:
    """Return the violations of a rule in these files, by file."""
    wrongs_by_relative_to = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if violations := rule(text):
            wrongs_by_relative_to[str(path.relative_to(ROOT))] = violations
    return wrongs_by_relative_to


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a tool of the test environment."""
    program = str(Path(sys.executable).parent / command[0])
    return subprocess.run(
        [program, *command[1:]], cwd=cwd, capture_output=True, text=True, check=False
    )


def assert_command_passes(*command: str) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]


# Tools


def test_ruff_finds_nothing() -> None:
    assert_command_passes("ruff", "check", "--no-cache", ".")


def test_everything_is_formatted() -> None:
    assert_command_passes("ruff", "format", "--check", "--no-cache", ".")


def test_ruff_would_find_what_is_forbidden(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text('"""Bad."""\nimport logging\n\ndef f(x):\n    logging.info(f"{x}")\n')
    done = run("ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(bad))
    for rule in ("ANN001", "ANN201", "D103", "G004", "LOG015"):
        assert rule in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.wide(every=0)
def test_types_are_strict() -> None:
    assert_command_passes("mypy")


def test_no_layer_imports_a_higher_one() -> None:
    assert_command_passes("lint-imports", "--no-cache", "--no-logo")


def test_imports_against_the_layers_are_detected(tmp_path: Path) -> None:
    for package in ("gateway", "console"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = {
        "gateway/canon/bad.py": "import gateway.relay",
        "gateway/routing/bad.py": "import time",
        "gateway/providers/bad.py": "import django",
        "gateway/edge/bad.py": "import httpx",
        "gateway/dialects/openai_chat/bad.py": "import gateway.dialects.anthropic_messages",
        "gateway/framing/sse.py": "import gateway.framing.bad",
        "gateway/framing/bad.py": "import gateway.framing.sse",
        "gateway/relay/limits/bad.py": "import gateway.relay.run",
    }
    for name, line in planted.items():
        with (tmp_path / name).open("a") as file:
            file.write(f"\n{line}\n")
    done = run("lint-imports", "--no-cache", "--no-logo", cwd=tmp_path)
    contracts = tool_table("importlinter", "contracts")
    assert [c["name"] for c in contracts if f"{c['name']} BROKEN" not in done.stdout] == []


def tool_table(*path: str) -> list[dict]:
    """Return a table of pyproject.toml's `tool` section."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    for name in path:
        tool = tool[name]
    return tool


def test_every_module_is_in_a_layer() -> None:
    layers, *_, independent = [
        contract
        for contract in tool_table("importlinter", "contracts")
        if contract["type"] in {"layers", "independence"}
    ]
    placed = {name.strip() for layer in layers["layers"] for name in layer.split(":")}
    inner = {f"gateway.{path.stem}" for path in (ROOT / "gateway").glob("[a-z]*")}
    config = {f"gateway.config.{path.stem}" for path in (ROOT / "gateway/config").glob("[a-z]*.py")}
    assert (inner - {"gateway.config", "gateway.migrations"}) | config | {"console"} == placed
    assert {f"gateway.dialects.{name}" for name in DIALECTS} == set(independent["modules"])


# Sizes


def test_a_start_does_not_import_what_few_use() -> None:
    # A start takes 0.6 s and 30 MB more with them; they are imported on first use.
    few_use = ["jsonschema", "yaml", "rich", "gateway.compat.litellm", "console.evaluate"]
    few_use += ["ninja", "pydantic", "django.test", "requests", "cryptography.x509"]
    # Nor does it collect garbage: a start has little, and each search for it takes 0.1 s.
    start = (
        "import gc, sys; from gateway.cli import main; before = gc.get_stats(); "
        "sys.argv = ['manage.py', 'help', 'up']; main(); import gateway.config.asgi; "
        f"print('imported:', *(set({few_use}) & set(sys.modules))); "
        "print('collected:', gc.get_stats() != before); "
        # A page does not import the management API. The language's middleware runs in a thread,
        # and imports the URLs of a path before Django resolves it in the event loop.
        "from django.urls import reverse; reverse('overview'); print('ninja' in sys.modules); "
        "from django.http import HttpRequest; from console.middleware import Language; "
        "request = HttpRequest(); request.path_info = '/api/routes'; "
        "Language(print).process_request(request); print('ninja' in sys.modules)"
    )
    done = run("python", "-c", start)
    lines = ["imported:", "collected: False", "False", "True"]
    assert done.stdout.splitlines()[-4:] == lines, done.stderr


def test_files_stay_small() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in product_sources()}
    tests = {
        path: len(path.read_text().splitlines())
        for path in tracked_files("tests/*.py")
        if "vendor" not in path.parts
    }
    assert not {str(p.relative_to(ROOT)) for p, n in {**sizes, **tests}.items() if n > MAX_FILE}
    assert statistics.median(sizes.values()) <= MEDIAN_FILE


def test_functions_stay_short(product_modules: dict[Path, ast.Module]) -> None:
    sizes = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": rules.definition_lines(node)
        for path, module in product_modules.items()
        for node in rules.functions(module)
    }
    assert not {function_name: n for function_name, n in sizes.items() if n > MAX_FUNCTION}
    assert statistics.median(sizes.values()) <= MEDIAN_FUNCTION


def test_classes_stay_small(product_modules: dict[Path, ast.Module]) -> None:
    assert not [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path, module in product_modules.items()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and rules.definition_lines(node) > MAX_CLASS
    ]


def test_a_size_is_that_of_the_code() -> None:
    (node,) = rules.functions(ast.parse('def f():\n    """A\n\n    b.\n    """\n    return 1\n'))
    assert rules.definition_lines(node) == 2


# Names and words


def test_every_function_is_annotated(product_modules: dict[Path, ast.Module]) -> None:
    assert not module_offenders(rules.unannotated, product_modules)


def test_every_public_name_is_documented(product_modules: dict[Path, ast.Module]) -> None:
    assert not module_offenders(rules.undocumented, product_modules)


def test_docstrings_name_existing_attributes(product_modules: dict[Path, ast.Module]) -> None:
    stale = 'class A:\n    """A.\n\n    Attributes:\n        a, b: c.\n    """\n\n    a: int\n'
    assert rules.stale_documentation(ast.parse(stale)) == ["A: b"]
    assert not module_offenders(rules.stale_documentation, product_modules)


@pytest.mark.parametrize(
    "bad",
    ["def f(x) -> int: ...", "def f(x: int): ...", "def f(*a) -> int: ...", "async def f(): ..."],
)
def test_a_missing_annotation_is_detected(bad: str) -> None:
    assert rules.unannotated(ast.parse(bad))
    good = "class A:\n    def f(self, x: int, **kw: str) -> None: ..."
    assert not rules.unannotated(ast.parse(good))


@pytest.mark.parametrize(
    "bad",
    ["x = 1", '"""M."""\ndef f(): ...', '"""M."""\nclass A:\n    """A."""\n    def f(self): ...'],
)
def test_a_missing_docstring_is_detected(bad: str) -> None:
    assert rules.undocumented(ast.parse(bad))
    assert not rules.undocumented(ast.parse('"""M."""\ndef _f(): ...\n'))


def test_no_file_has_a_meaningless_name() -> None:
    assert not [p for p in tracked_files("*.py") if BAD_NAMES & {p.stem, p.parent.name}]


def test_the_top_level_has_only_documented_entries() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


@pytest.mark.parametrize(
    "bad",
    [
        'if target.provider == "x": ...',
        'if provider.name in {"x", "y"}: ...',
        'y = 1 if row["provider"] != "x" else 2',
        'z = preset_name in ("x",)',
        'match provider:\n    case "x": ...',
        'match kind:\n    case "anthropic" | "openai": ...',
        'if kind == "deepseek": ...',
        'if model.startswith("gemini-"): ...',
        'if vendor.startswith("x"): ...',
        'while a.b("x") or name in ["groq"]: ...',
    ],
)
def test_a_branch_on_a_provider_is_detected(bad: str) -> None:
    assert rules.branches_on_a_provider(ast.parse(bad)) == [1]


@pytest.mark.parametrize(
    "good",
    [
        'if part.kind == "function": ...',
        'if tool["type"] == "custom": ...',
        'TABLE = {"openai": 1}',
        'x = TABLE["openai"] > 1',
        'match db.vendor:\n    case "sqlite": ...',
        'if url.scheme == "demo": ...',
        "if provider.dialect == other.dialect: ...",
        'if row.provider == "": ...',
    ],
)
def test_data_about_a_provider_is_no_branch(good: str) -> None:
    assert rules.branches_on_a_provider(ast.parse(good)) == []


def test_no_code_branches_on_a_provider_name(product_modules: dict[Path, ast.Module]) -> None:
    assert not module_offenders(rules.branches_on_a_provider, product_modules)


def test_no_unfinished_code_markers_remain() -> None:
    assert rules.unfinished_markers("# TO" + "DO: later")
    assert not offenders(
        rules.unfinished_markers, [p for p in tracked_files() if "vendor" not in p.parts]
    )


def test_templates_never_disable_escaping() -> None:
    for bad in ("{{ x|safe }}", "{{ x | safe }}", "{% autoescape off %}", "mark_safe(x)"):
        assert rules.unescaped_markup(bad)
    assert not rules.unescaped_markup("{{ x|safe_name }} it is safe")
    assert not offenders(
        rules.unescaped_markup, [*tracked_files("templates/*"), *product_sources()]
    )


def test_no_file_names_a_registry_or_this_machine() -> None:
    for bad in ("https://py" + "pi.org/simple", "cd /wo" + "rk/x", "registry.np" + "mjs.org"):
        assert rules.machine_specific_texts(bad)
    assert not rules.machine_specific_texts("a/wo" + "rk/b and homework/ and */wo" + "rk/")
    assert not offenders(rules.machine_specific_texts, tracked_files())


def test_tests_are_functions_without_mocks() -> None:
    assert rules.test_habits(ast.parse("class TestX: ...")) == ["1 class TestX"]
    assert rules.test_habits(ast.parse("from unittest import mock"))
    assert not offenders(
        lambda text: rules.test_habits(ast.parse(text)), tracked_files("tests/*.py")
    )
