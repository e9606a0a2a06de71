"""Words in the full-text index; tests/store covers the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fulltext import MAX_PHRASES, MAX_TERM, index_text, parse_phrases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", "hello world"),
        ("gateway/models.py", "gateway models py"),
        ("snake_case", "snake case"),
        ("Crème", "creme"),
        ("天気", "天 気"),
        ("x" * MAX_TERM + " y", "x" * MAX_TERM + " y"),
        ("x" * (MAX_TERM + 1) + " y", "y"),
        ("_" * (MAX_TERM + 1) + "y", "y"),
        ("“It’s” — déjà vu…", "it s deja vu"),
        ("".join(map(chr, range(0x2190, 0x21B0))) + "É!", "e"),
        ("", ""),
        ("\0 \ud800", ""),
    ],
    ids=ascii,
)
def test_index_words_are_lower_case_without_accents(text: str, expected: str) -> None:
    assert index_text(text) == expected


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_words_are_the_same_beside_other_scripts(text: str) -> None:
    assert f"{index_text(text)} ж".strip() == index_text(f"{text} ж")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("one two", ["one", "two"]),
        ('"one two" three', ["one two", "three"]),
        ("a/b", ["a b"]),
        ('"open', ["open"]),
        ("same SAME", ["same"]),
        ("?!", []),
        (" ".join(map(str, range(99))), [str(n) for n in range(MAX_PHRASES)]),
    ],
    ids=str,
)
def test_a_query_is_phrases_that_must_all_occur(query: str, expected: list[str]) -> None:
    assert parse_phrases(query) == expected


@given(st.text())
def test_normalization_is_idempotent(text: str) -> None:
    assert index_text(index_text(text)) == index_text(text)


@given(st.text(max_size=40))
def test_a_text_is_found_by_its_own_terms(text: str) -> None:
    output_text = f" {index_text(text)} "
    assert all(
        f" {phrase} " in output_text
        for phrase in parse_phrases(text.replace('"', " "))[:MAX_PHRASES]
    )
