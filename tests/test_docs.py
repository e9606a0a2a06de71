"""Claims of the README and docs are true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from prometheus_client import Counter, Gauge

from gateway.config import asgi
from gateway.demo.scripts import SCRIPTS
from gateway.dialects import DIALECTS
from gateway.providers.catalog import PRESETS
from gateway.relay.journal.metrics import METRICS, BatchHistogram
from gateway.routing.strategies import STRATEGIES
from gateway.store.options import OPTIONS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
DOCS = README + "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
SETTING = re.compile(
    r'env\.(?:text|choice|boolean|number|names|generated_secret|data_dir)\(\s*"([A-Z_]+)"'
)


def test_every_setting_is_in_the_table_and_every_row_is_a_setting() -> None:
    read = set(SETTING.findall((ROOT / "gateway/config/settings.py").read_text()))
    assert len(read) > 10
    table = (ROOT / "docs/settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.M)) == read


def test_the_table_has_the_defaults_of_numbers_and_switches() -> None:
    defaults: dict[str, str] = {}
    for call in ast.walk(ast.parse((ROOT / "gateway/config/settings.py").read_text())):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr == "number":
            value = eval(compile(ast.Expression(call.args[1]), "settings", "eval"), {})
            defaults[ast.literal_eval(call.args[0])] = str(value)
        elif call.func.attr == "boolean":
            value = ast.literal_eval(call.keywords[0].value)
            defaults[ast.literal_eval(call.args[0])] = str(value).lower()
    assert len(defaults) > 30
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| ([^|]+?) \|", DOCS, re.M))
    assert {name: documented[name] for name in defaults} == defaults


def test_every_setting_without_a_restart_is_documented() -> None:
    section = (ROOT / "docs/settings.md").read_text().split("## Settings without a restart")[1]
    names = re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\| (`[^|]+) \|", section, re.M)))
    assert sorted(names) == sorted(OPTIONS)


def test_every_command_is_documented() -> None:
    commands = (ROOT / "gateway/management/commands").glob("[a-z]*.py")
    table = (ROOT / "docs/commands.md").read_text()
    for path in commands:
        assert f"`{path.stem}" in table, path.stem


@pytest.mark.parametrize("table", [DIALECTS, STRATEGIES, METRICS, PRESETS, SCRIPTS])
def test_every_row_of_an_extension_table_is_documented(table: dict[str, object]) -> None:
    missing = [name for name in table if name not in DOCS]
    assert not missing


def test_the_table_of_metrics_has_their_types_and_labels() -> None:
    kinds = {Counter: "counter", Gauge: "gauge", BatchHistogram: "histogram"}
    rows = re.findall(
        r"^\| `(dragoman_\w+)` \| (\w+) \| ([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.M
    )
    documented = {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}
    assert documented == {
        name: (kinds[metric.kind], list(metric.labels)) for name, metric in METRICS.items()
    }


def test_every_system_check_is_documented() -> None:
    ids = set(re.findall(r"gateway\.[EW]\d{3}", (ROOT / "gateway/checks.py").read_text()))
    assert ids
    assert not [name for name in ids if name not in DOCS]


def test_every_folder_of_the_diagram_exists() -> None:
    picture = README.split("## Project layout")[1].split("###")[0]
    folders = re.findall(
        r"\b((?:gateway/\w+(?:/\w+)*|console|templates|static|tests|docs|deploy)/)", picture
    )
    assert len(folders) > 10
    assert not [folder for folder in folders if not (ROOT / folder).is_dir()]


def test_the_request_diagram_shows_each_package_of_the_relay() -> None:
    diagram = README.split("```mermaid")[1].split("```")[0]
    packages = {path.parent.name for path in (ROOT / "gateway/relay").glob("*/__init__.py")}
    assert set(re.findall(r"relay/(\w+)", diagram)) == packages


def test_no_setting_is_read_past_the_settings() -> None:
    settings_modules = {ROOT / "gateway/config/environment.py", ROOT / "gateway/config/settings.py"}
    reads = re.compile(r'environ(?:\.get\(|\[)\s*"(?:DRAGOMAN_|DATABASE_URL)[A-Z_]*"(?!\] =)')
    sources = set((ROOT / "gateway").rglob("*.py")) | set((ROOT / "console").rglob("*.py"))
    assert reads.search('x = os.environ["DRAGOMAN_X"]')
    assert not reads.search('os.environ["DRAGOMAN_X"] = y')
    assert not [path for path in sources - settings_modules if reads.search(path.read_text())]


def test_every_linked_file_exists() -> None:
    missing = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
        missing += [f"{page.name}: {link}" for link in links if not (page.parent / link).exists()]
    assert not missing


def test_every_mentioned_path_exists() -> None:
    named = re.findall(r"`((?:gateway|tests|deploy|docs|console)/[\w/.]+)`", README)
    missing = {path for path in named if not (ROOT / path).exists()}
    assert missing <= {"console/pages/x.py"}, "but for the example of a new page"


def test_every_name_that_the_readme_gives_a_file_is_in_it() -> None:
    table = README.split("### Where do I add")[1]
    places = re.findall(r"`(\w+)` in `((?:gateway|console|tests)/[\w/.]+\.py)`", table)
    assert len(places) > 5
    assert [
        (name, path)
        for name, path in places
        if not re.search(rf"^(?:class )?{name}\b", (ROOT / path).read_text(), re.M)
    ] == []


def test_the_variable_of_a_key_has_one_name() -> None:
    folders = ("console", "docs", "gateway", "static/js", "templates")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    texts = {
        path: path.read_text() for path in files if path.suffix in {".py", ".js", ".html", ".md"}
    }
    named = {
        name for text in texts.values() for name in re.findall(r"\bDRAGOMAN_(?:API_)?KEY\b", text)
    }
    assert named == {"DRAGOMAN_API_KEY"}


def test_no_words_are_repeated_by_mistake() -> None:
    repeated = re.compile(r"\b(\w+(?: \w+){2,5}) \1\b")
    assert repeated.search("a call that updates it that updates it")
    assert [match[0] for match in repeated.finditer(DOCS)] == []


def test_channels_classes_of_the_readme_are_in_use() -> None:
    named = set(re.findall(r"`(ProtocolTypeRouter|OriginValidator|URLRouter)`", README))
    assert named == {"ProtocolTypeRouter", "OriginValidator", "URLRouter"}
    assert isinstance(asgi.application, ProtocolTypeRouter)
    protocols = asgi.application.application_mapping
    assert protocols.keys() == {"http", "websocket", "lifespan"}
    assert isinstance(protocols["websocket"], OriginValidator)
    assert isinstance(protocols["websocket"].application, URLRouter)
    assert protocols["http"] is asgi.http
    assert not isinstance(asgi.http, URLRouter)


def test_the_readme_opens_with_the_two_commands() -> None:
    head = README[:400]
    assert "pip install uv && uv run manage.py up" in head
    assert "uv run pytest" in head
