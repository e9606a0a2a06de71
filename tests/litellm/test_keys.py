"""The visible table of keys: complete, told, and shown in the documentation."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gateway.litellm import keys
from gateway.litellm.deployment import _ABLE, _COSTS, DEFAULTS, LIMITS, SHARES
from gateway.litellm.keys import SECTIONS, near
from gateway.litellm.table import markdown

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_documentation_shows_the_table() -> None:
    assert markdown() in (ROOT / "docs" / "litellm.md").read_text(), (
        "replace the tables in docs/litellm.md by the output of python -m gateway.litellm.table"
    )


def test_what_is_not_supported_says_why() -> None:
    silent = [
        name
        for section in SECTIONS.values()
        for name, key in section.items()
        if key.status != "supported" and not key.why
    ]
    assert silent == []


@pytest.mark.parametrize("section", SECTIONS)
def test_no_key_is_in_a_section_twice(section: str) -> None:
    """A later `**` would silently take the earlier key's place."""
    name = {id(value): key for key, value in vars(keys).items() if isinstance(value, dict)}[
        id(SECTIONS[section])
    ]
    tree = ast.parse(Path(keys.__file__).read_text())
    (table,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == name
    ]
    words = [
        word
        for call in ast.walk(table)
        if isinstance(call, ast.Call)
        for word in call.args[0].value.split()
    ]
    assert sorted(words) == sorted(set(words))


def test_all_that_is_read_is_in_the_table() -> None:
    read = {*SHARES, *LIMITS, *_COSTS, *(name for names in DEFAULTS.values() for name in names)}
    assert read - set(SECTIONS["litellm_params"]) == set()
    assert {*_ABLE, "base_model", "mode"} - set(SECTIONS["model_info"]) == set()


@pytest.mark.parametrize(
    ("section", "name", "meant"),
    [
        ("", "modellist", "model_list"),
        ("litellm_params", "apikey", "api_key"),
        ("general_settings", "num_retries", "litellm_settings.num_retries"),
        ("router_settings", "quite-another-thing", ""),
    ],
)
def test_an_unknown_key_is_told_what_it_may_have_meant(section: str, name: str, meant: str) -> None:
    assert near(section, name) == meant
