"""The documentation site: no build warnings, no external resources, and valid code blocks."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: uv sync --group docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "-q", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


class References(HTMLParser):
    """The loaded resources, links and anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the references of a tag."""
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.add(values["id"])
        if tag in {"script", "img", "iframe", "source"} and "src" in values:
            self.loads.add(values["src"])
        if tag == "link" and values.get("rel") not in {"canonical", "prev", "next"}:
            self.loads.add(values.get("href", ""))
        if tag == "a" and values.get("href"):
            self.links.add(values["href"])


def test_pages_load_only_own_files_and_links_resolve(site: Path) -> None:
    pages = {path: References(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 120
    problems = []
    for path, page in pages.items():
        problems += [f"{path.name} loads {it}" for it in page.loads if urlsplit(it).netloc]
        if path.name == "404.html":
            continue  # its links begin at the root of wherever the site lies
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                problems.append(f"{path.name}: {link}")
            elif parts.fragment and parts.fragment not in pages[target].ids | {"__skip"}:
                problems.append(f"{path.name}: {link} has no such heading")
    assert problems == []


def test_every_client_provider_and_term_is_found(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    parts = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"guides/claude-code.html", "presets/groq.html", "endpoints.html"} <= parts
    text = " ".join(entry["text"] for entry in index["docs"])
    for word in ("ANTHROPIC_BASE_URL", "GROQ_API_KEY", "/v1/responses", "Retry-After"):
        assert word in text


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda path: path.name
)
def test_documentation_code_blocks_parse(path: Path) -> None:
    """Python compiles, data parses, and a shell accepts the commands."""
    for language, code in _BLOCK.findall(path.read_text(encoding="utf-8")):
        match language:
            case "python":
                ast.parse(code)
            case "json":
                json.loads(code)
            case "yaml" | "yml":
                list(yaml.safe_load_all(code))
            case "toml":
                tomllib.loads(code)
            case "sh" | "bash":
                checked = subprocess.run(
                    ["bash", "-n"], input=code, capture_output=True, text=True, check=False
                )
                assert checked.returncode == 0, (code, checked.stderr)
