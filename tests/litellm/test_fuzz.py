"""Arbitrary files result in a Config or a Mistake, never in another exception."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.compat.litellm.config.key_lookup import SECTIONS
from gateway.compat.litellm.config.parse import read
from gateway.compat.litellm.config.reader import ConfigError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2**40),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["*", "gpt-4o", "openai/*", "os.environ/SET", "os.environ/UNSET", "http://h/v1", "a"]
    ),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def section(name: str) -> st.SearchStrategy[Any]:
    """Draw the known keys of a section with arbitrary values."""
    supported = [key for key, key_info in SECTIONS[name].items() if key_info.status == "supported"]
    return st.one_of(VALUES, st.dictionaries(st.sampled_from(supported), VALUES, max_size=5))


ENTRY = st.fixed_dictionaries(
    {"model_name": st.one_of(st.just("a"), SCALARS), "litellm_params": section("litellm_params")},
    optional={"model_info": section("model_info")},
)
FILE = st.fixed_dictionaries(
    {"model_list": st.one_of(st.lists(ENTRY, max_size=3), VALUES)},
    optional={
        name: section(name) for name in ("litellm_settings", "router_settings", "general_settings")
    }
    | {"environment_variables": VALUES},
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "c.yaml"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(content=FILE)
def test_any_yaml_content_is_imported_or_an_error(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    try:
        response = read(path, {"SET": "x"})
    except ConfigError as mistake:
        assert str(mistake).startswith("c.yaml:")
    else:
        assert all(len(name) <= 63 for name in response.providers)
        assert all(note.startswith("c.yaml:") for note in response.remarks)


@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(
        st.text(alphabet="ab:-[]{}*&!|>'\"\n\t #,?%@", max_size=60), st.binary(max_size=40)
    )
)
def test_any_bytes_are_imported_or_an_error(path: Path, text: str | bytes) -> None:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        read(path, {})
    except ConfigError as mistake:
        assert "c.yaml" in str(mistake)
