"""Gateway keys: their form, their hash, and the places where clients put them."""

from __future__ import annotations

import re

import pytest

from gateway.edge import keys

Headers = list[tuple[bytes, bytes]]

PLACES: dict[str, tuple[Headers, bytes, str]] = {
    "nothing": ([], b"", ""),
    "bearer": ([(b"authorization", b"Bearer tok")], b"", "tok"),
    "bearer in other letters": ([(b"authorization", b"bEARER tok")], b"", "tok"),
    "bare authorization": ([(b"authorization", b"tok")], b"", "tok"),
    "x-api-key": ([(b"x-api-key", b"tok")], b"", "tok"),
    "api-key": ([(b"api-key", b"tok")], b"", "tok"),
    "x-goog-api-key": ([(b"x-goog-api-key", b"tok")], b"", "tok"),
    "key in the query": ([], b"beta=true&key=tok", "tok"),
    "escaped key in the query": ([], b"key=a%2Bb", "a+b"),
    "another query": ([], b"monkey=tok", ""),
    "authorization first": (
        [(b"x-api-key", b"second"), (b"authorization", b"Bearer first")],
        b"key=last",
        "first",
    ),
    "an empty one is passed over": (
        [(b"authorization", b"Bearer "), (b"x-api-key", b""), (b"api-key", b"tok")],
        b"",
        "tok",
    ),
    "blanks around it": ([(b"x-api-key", b"  tok ")], b"", "tok"),
    "bytes that are no ASCII": ([(b"x-api-key", b"\xff")], b"", "\xff"),
    "the first of two": ([(b"x-api-key", b"one"), (b"x-api-key", b"two")], b"", "one"),
}


@pytest.mark.parametrize(("headers", "query", "token"), PLACES.values(), ids=PLACES)
def test_a_token_is_taken_from_its_first_place(headers: Headers, query: bytes, token: str) -> None:
    assert keys.token_from(headers, query) == token


def test_a_fresh_key_has_its_form_and_checksum() -> None:
    token = keys.fresh()
    assert re.fullmatch(r"sk-dgm-[A-Za-z0-9]{54}", token)
    assert keys.looks_like_ours(token)
    assert keys.public_part(token) == token[:15]


@pytest.mark.parametrize("position", [7, 20, 54, 60])
def test_a_typing_mistake_is_seen_without_a_look_up(position: int) -> None:
    token = keys.fresh()
    other = "a" if token[position] != "a" else "b"
    assert not keys.looks_like_ours(token[:position] + other + token[position + 1 :])


@pytest.mark.parametrize(
    "token", ["", "sk-1234", "sk-dgm-", "sk-dgm-" + "a" * 54, "\xff" * 61, "x" * 99999]
)
def test_what_is_not_ours_is_told_from_it(token: str) -> None:
    assert not keys.looks_like_ours(token)


def test_a_line_break_after_a_key_is_no_key() -> None:
    assert not keys.looks_like_ours(keys.fresh() + "\n")


def test_a_digest_depends_on_all_of_token_and_pepper() -> None:
    token = keys.fresh()
    seen = {
        keys.digest(token, b"pepper"),
        keys.digest(token + "x", b"pepper"),
        keys.digest(token[:-1], b"pepper"),
        keys.digest(token, b"salt"),
        keys.digest("", b"pepper"),
    }
    assert len(seen) == 5
    assert {len(digest) for digest in seen} == {32}


def test_any_text_has_a_digest() -> None:
    assert keys.digest("\ud800\0", b"pepper")
