"""Custom mask patterns: what they mask, and in bounded time."""

from __future__ import annotations

import json
import time

import pytest

from gateway.providers.masks import apply_masks, compile_mask, mask_text


def test_matches_are_masked_at_the_same_length() -> None:
    body = b'{"content":"call acme-4711 now"}'
    masks = apply_masks(body, [compile_mask(r"acme-\d{1,9}")])
    assert masks == b'{"content":"call ********* now"}'
    assert len(masks) == len(body)


def test_a_greedy_pattern_leaves_valid_json() -> None:
    body = json.dumps({"password": "hunter2", "next": ["a", "b"]}).encode()
    payload = json.loads(apply_masks(body, [compile_mask(r"password.+")]))
    assert list(payload.values()) == ["*******", ["*", "*"]]


def test_an_escape_in_a_body_stays_an_escape() -> None:
    body = json.dumps({"content": 'name "Ada"\nLovelacé'}).encode()
    for pattern in (r"Ada.{1,30}", r"nLovelac", r"Lovelac.{2}", r"nLovelac.{3}"):
        assert set(json.loads(apply_masks(body, [compile_mask(pattern)]))) == {"content"}


def test_a_masked_number_stays_a_number() -> None:
    body = json.dumps({"card": 4111111111111111, "more": [-55000055.5, 7], "text": "4000"})
    masked = apply_masks(body.encode(), [compile_mask(r"\d{4,16}")])
    assert json.loads(masked) == {
        "card": 1111111111111111,
        "more": [-11111111.5, 7],
        "text": "****",
    }
    assert len(masked) == len(body)


def test_numbers_in_a_text_become_asterisks() -> None:
    body = json.dumps({"text": "cards: 4111111111111111, 5500005555555559"}).encode()
    masked = json.loads(apply_masks(body, [compile_mask(r"\d{13,16}")]))
    assert masked == {"text": f"cards: {'*' * 16}, {'*' * 16}"}


def test_plain_text_is_masked_too() -> None:
    assert mask_text("bill acme-1 é", [compile_mask(r"acme-\w")]) == "bill ****** é"


@pytest.mark.parametrize(
    "pattern",
    [r"\b\d{3}-\d{2}-\d{4}\b", r"(?:\d{4}[- ]?){3}\d{4}", r"acme-\w+", r"(?i)bearer [a-z]{8,64}"],
)
def test_common_patterns_are_accepted(pattern: str) -> None:
    assert compile_mask(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a+)+bcd", "give a maximum"),
        (r"(a|aa){30}b", "too ambiguous"),
        (r"\w+@acme", "give a maximum"),
        (r"(.)\1{3}", "back-references"),
        (r"(?<=key )\w{9}", "look-around"),
        (r"\w{1,99}\w{1,99}\w{1,99}!", "too ambiguous"),
        (r"x*", "at least 3"),
        ("", "1 to 500"),
        ("(", "not a regular expression"),
        ("größe", "ASCII"),
        ("a" * 501, "1 to 500"),
    ],
)
def test_patterns_with_catastrophic_backtracking_are_refused(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_mask(pattern)


def test_deeply_nested_groups_are_accepted() -> None:
    assert compile_mask("(" * 200 + "aaa" + ")" * 200)


def test_masking_takes_linear_time() -> None:
    patterns = [
        compile_mask(r"[a-z]{1,60}[a-z0-9]{1,60}!"),
        compile_mask(r"(?:\d{4}[- ]?){3}\d{4}"),
    ]

    def seconds(size: int) -> float:
        start = time.thread_time()
        apply_masks(b"a1" * size, patterns)
        return time.thread_time() - start

    small, large = min(seconds(4_000) for _ in range(5)), min(seconds(32_000) for _ in range(5))
    # Eight times the body: a pattern that is worse than linear would take 64 times as long.
    assert large < small * 24
