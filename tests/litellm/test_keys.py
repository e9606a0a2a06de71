"""The public table of keys: complete, reported, and shown in the documentation."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from gateway.compat.litellm.config import keys, settings_keys
from gateway.compat.litellm.config.defaults import DEFAULTS, LIMITS
from gateway.compat.litellm.config.deployment import _CAPABILITIES, COSTS, WEIGHT_FIELDS
from gateway.compat.litellm.config.key_lookup import SECTIONS, find_key, suggest_key
from gateway.compat.litellm.config.listing import markdown
from tests.e2e.test_litellm_files import RELIABLE, RESTING, RETRIED, SAVED_CONFIG
from tests.litellm.test_seeds import SEVERAL, SIMPLE, SWITCHABLE

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_documentation_shows_the_table() -> None:
    assert markdown() in (ROOT / "docs" / "litellm.md").read_text(), (
        "replace the tables in docs/litellm.md by the output of python -m gateway.compat.litellm.config.listing"
    )


def test_every_unsupported_key_has_a_reason() -> None:
    silent = [
        name
        for section in SECTIONS.values()
        for name, key in section.items()
        if key.status != "supported" and not key.reason
    ]
    assert silent == []


@pytest.mark.parametrize("section", SECTIONS)
def test_no_key_is_in_a_section_twice(section: str) -> None:
    """A later `**` would silently replace the earlier key."""
    tables = {
        id(value): (key, module)
        for module in (settings_keys, keys)
        for key, value in vars(module).items()
        if isinstance(value, dict)
    }
    name, module = tables[id(SECTIONS[section])]
    tree = ast.parse(Path(module.__file__ or "").read_text())
    (table,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == name
    ]
    names = [
        word
        for call in ast.walk(table)
        if isinstance(call, ast.Call)
        for word in call.args[0].value.split()
    ]
    assert sorted(names) == sorted(set(names))


def test_every_parsed_key_is_in_the_table() -> None:
    read = {
        *WEIGHT_FIELDS,
        *LIMITS,
        *COSTS,
        *(name for names in DEFAULTS.values() for name in names),
    }
    assert read - set(SECTIONS["litellm_params"]) == set()
    assert {*_CAPABILITIES, "base_model", "mode"} - set(SECTIONS["model_info"]) == set()


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("", "modellist", "model_list"),
        ("litellm_params", "apikey", "api_key"),
        ("general_settings", "num_retries", "litellm_settings.num_retries"),
        ("router_settings", "quite-another-thing", ""),
    ],
)
def test_an_unknown_key_gets_a_suggestion(section: str, name: str, expected: str) -> None:
    assert suggest_key(section, name) == expected


def _keys_in_file(node: Any, section: str) -> Iterator[tuple[str, str]]:
    """Return the keys of a file with their sections."""
    inner = {"litellm_params": "litellm_params", "model_info": "model_info"}
    for name, value in (node or {}).items():
        yield section, name
        below = inner.get(name, name if name in SECTIONS else None)
        if name == "model_list":
            for entry in value:
                yield from _keys_in_file(entry, "model_list[]")
        elif below is not None and isinstance(value, dict):
            yield from _keys_in_file(value, below)


@pytest.mark.parametrize(
    "text",
    [SIMPLE, SEVERAL, SWITCHABLE, RELIABLE, RETRIED, RESTING, SAVED_CONFIG],
    ids=["simple", "several", "switchable", "reliable", "retried", "cooldown", "cached"],
)
def test_every_key_of_the_files_is_in_the_table(text: str) -> None:
    fields = dict.fromkeys(("one", "two", "primary", "backup", "larger", "tolerant", "key"), "x")
    document = yaml.safe_load(dedent(text.format(**fields) if "{key}" in text else text))
    unknown = [
        (section, name)
        for section, name in _keys_in_file(document, "")
        if find_key(section, name) is None
    ]
    assert unknown == []


def test_every_key_the_reader_reads_is_in_the_table() -> None:
    """Literals in `node.get(...)`, except parts of values such as `hidden` of an alias."""
    parts = {"*", "model", "hidden"}
    actual_names = {name for section in SECTIONS.values() for name in section} | parts
    folder = ROOT / "gateway" / "compat" / "litellm" / "config"
    # The parameters of a guardrail depend on its kind, and are checked by guardrails.py.
    modules = [path for path in folder.glob("*.py") if path.name != "guardrails.py"]
    assert modules
    for module in modules:
        for call in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or getattr(call.func, "attr", "") != "get":
                continue
            owner = getattr(call.func, "value", None)
            if getattr(owner, "id", "") not in {"params", "info", "section", "node", "file"}:
                continue
            names = {arg.value for arg in call.args if isinstance(arg, ast.Constant)}
            assert names <= actual_names, (module.name, names - actual_names)


@pytest.mark.parametrize(
    ("section", "name", "word"),
    [
        ("litellm_params", "weight", "same"),
        ("litellm_settings", "num_retries", "different"),
        ("litellm_params", "input_cost_per_token_above_200k_tokens", "not yet"),
        ("model_info", "supports_video_input", "no"),
    ],
)
def test_each_litellm_key_has_a_support_status(section: str, name: str, word: str) -> None:
    match = find_key(section, name)
    assert match is not None
    assert match.status_label == word


def test_every_different_key_has_an_explanation() -> None:
    silent = [
        name
        for keys in SECTIONS.values()
        for name, key in keys.items()
        if key.differs and not key.reason
    ]
    assert silent == []
