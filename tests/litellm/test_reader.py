"""YAML with positions: accepted values and error messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.compat.litellm.config.reader import (
    MAX_BYTES,
    ConfigError,
    UnsetVariable,
    read_file,
    resolve_variables,
)
from tests.litellm.make import write_config


def test_a_value_has_its_file_line_and_path(tmp_path: Path) -> None:
    root = read_file(write_config(tmp_path, "a:\n  b:\n  - c: 1\n    d: 2\n")).root
    node = root.get("a").get("b").list()[0].get("d")
    assert (node.location, node.path, node.value) == ("litellm_config.yaml:4", "a.b[0].d", 2)


def test_a_mapping_has_the_line_of_its_key(tmp_path: Path) -> None:
    root = read_file(write_config(tmp_path, "\n\na:\n\n  b: 1\n")).root
    assert root.get("a").line == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a: [1", "litellm_config.yaml:1: is not valid YAML", id="unclosed"),
        pytest.param("a:\n\tb: 1\n", "never tabs", id="tab"),
        pytest.param("- a\n", "must be a mapping", id="a list"),
        pytest.param("just words", "must be a mapping", id="text"),
        pytest.param("a: *b", "is not valid YAML", id="unknown anchor"),
        pytest.param("a: 1\n---\nb: 2\n", "is not valid YAML", id="two documents"),
        pytest.param("? [1, 2]\n: 3\n", "key that is not text", id="a list as key"),
        pytest.param("a: !!python/object/apply:os.system [ls]\n", "", id="code is only a list"),
        pytest.param("a: !!int many\n", "not plain YAML", id="a wrong tag"),
        pytest.param("a: !!bool many\n", "not plain YAML", id="not a boolean"),
        pytest.param("a: !!timestamp many\n", "not plain YAML", id="not a time"),
        # Numbers in base 60: the conversion of a long one takes quadratic time, or overflows.
        pytest.param(f"a: 1{':0' * 1000}\n", "not plain YAML", id="a long number"),
        pytest.param(f"a: 1{':0' * 200}.5\n", "not plain YAML", id="a huge number"),
        pytest.param("a: \x00", "is not valid YAML", id="a control character"),
        pytest.param(
            'a: "\\0"', "litellm_config.yaml:1: a: contains a NUL character", id="an escaped NUL"
        ),
        pytest.param(
            '"\\0": 1', "litellm_config.yaml:1: contains a NUL character", id="a NUL in a key"
        ),
        pytest.param('a: "\\ud800"', "unpaired surrogate", id="an unpaired surrogate"),
        pytest.param("a: " + "[" * 5000, "", id="deep"),
        pytest.param("a: &a [*a]", "too many nodes", id="a circle"),
        pytest.param("<<: &a {<<: *a}", "too many nodes", id="a merge in a circle"),
    ],
)
def test_invalid_yaml_is_an_error_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "litellm_config.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        read_file(path)
    except ConfigError as mistake:
        assert expected in str(mistake)
        assert "litellm_config.yaml" in str(mistake)
    else:
        assert not expected


def test_a_yaml_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="too many nodes"):
        read_file(write_config(tmp_path, "\n".join(lines)))


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        read_file(write_config(tmp_path, "# " + "x" * MAX_BYTES))


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"a: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_file(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_file(tmp_path / "c.yaml")


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\ufeffa: 1\n"])
def test_an_empty_file_and_a_byte_order_mark_are_fine(tmp_path: Path, text: str) -> None:
    assert read_file(write_config(tmp_path, text)).root.get("b") is None


def test_explicit_keys_override_yaml_merges(tmp_path: Path) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  x: 3\n  <<: [*a, *b]\n"
    assert read_file(write_config(tmp_path, text)).root.get("c").to_python() == {
        "x": 3,
        "y": 1,
        "z": 2,
    }


def test_a_repeated_key_is_reported_and_the_last_one_counts(tmp_path: Path) -> None:
    file = read_file(write_config(tmp_path, "a: 1\nb: 2\na: 3\n"))
    assert file.root.get("a").value == 3
    assert [node.line for node in file.repeated] == [3]


@pytest.mark.parametrize(
    ("written_as", "text"),
    [
        ("2024-10-21", "2024-10-21"),
        ("4.10", "4.10"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("x y", "x y"),
    ],
)
def test_text_is_parsed_as_written(tmp_path: Path, written_as: str, text: str) -> None:
    assert read_file(write_config(tmp_path, f"a: {written_as}\n")).root.get("a").text() == text


@pytest.mark.parametrize("value", ["true", "[1]", "{a: 1}"])
def test_non_text_values_are_refused_as_text(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"litellm_config.yaml:1: a: must be a string"):
        read_file(write_config(tmp_path, f"a: {value}\n")).root.get("a").text()


@pytest.mark.parametrize(("value", "number"), [("3", 3), ("0.5", 0.5), ("1e-6", 1e-6), ('"2"', 2)])
def test_numbers_are_parsed(tmp_path: Path, value: str, number: float) -> None:
    assert read_file(write_config(tmp_path, f"a: {value}\n")).root.get("a").number() == number


@pytest.mark.parametrize("value", ["true", "-1", ".nan", ".inf", "many", "[1]", "9" * 400])
def test_a_number_is_finite_and_not_negative(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="number|plain YAML"):
        read_file(write_config(tmp_path, f"a: {value}\n")).root.get("a").number()


@pytest.mark.parametrize(
    ("value", "reason"), [("1.5", "whole number"), ("1e12", "at most 2147483647")]
)
def test_an_invalid_integer_is_refused_with_the_reason(
    tmp_path: Path, value: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        read_file(write_config(tmp_path, f"a: {value}\n")).root.get("a").integer()


@pytest.mark.parametrize(
    ("value", "flag"), [("true", True), ("no", False), ('"True"', True), ('"false"', False)]
)
def test_booleans_are_parsed(tmp_path: Path, value: str, flag: bool) -> None:
    assert read_file(write_config(tmp_path, f"a: {value}\n")).root.get("a").boolean() is flag


def test_a_boolean_is_not_a_number(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="true or false"):
        read_file(write_config(tmp_path, "a: 2\n")).root.get("a").boolean()


def test_a_reference_is_resolved_once(tmp_path: Path) -> None:
    root = read_file(write_config(tmp_path, "a: [{b: os.environ/NAME}]\n")).root
    node = resolve_variables(root, {"NAME": "value"}).get("a").list()[0].get("b")
    assert (node.text(), node.variable) == ("value", "NAME")


@pytest.mark.parametrize("environ", [{}, {"NAME": ""}], ids=["missing", "empty"])
def test_a_variable_that_is_not_set_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    root = resolve_variables(
        read_file(write_config(tmp_path, "a: os.environ/NAME\n")).root, environ
    )
    for method in ("text", "number", "boolean", "to_python"):
        with pytest.raises(
            UnsetVariable, match="a: names the environment variable NAME, which is not set"
        ):
            getattr(root.get("a"), method)()


@pytest.mark.parametrize("value", [".inf", ".nan", "-.inf", "9" * 30])
def test_a_number_that_json_does_not_have_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match="JSON cannot represent"):
        read_file(write_config(tmp_path, f"a: {{b: [{value}]}}\n")).root.get("a").to_python()
