"""The patterns of personal data and secrets: what they match, and in bounded time."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from gateway.guardrails.patterns import (
    PII,
    Detector,
    PatternTimeoutError,
    compile_pattern,
    find_matches,
    mask_matches,
)

MATCHES_BY_KIND = {
    "email": ["ada@example.com", "first.last+tag@mail.example.co.uk"],
    "phone": ["+49 30 1234567", "(555) 123-4567", "555-123-4567"],
    "credit_card": ["4111 1111 1111 1111", "5555555555554444"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "us_ssn": ["536-90-4399"],
    "ip_address": ["192.168.1.1", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"],
    "api_key": ["sk-proj-abcdefghijklmnop123", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a" * 36],
    "private_key": ["-----BEGIN RSA PRIVATE KEY-----"],
    "jwt": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijklmnopqrstuvwx"],
}
CLEAN = {
    "email": ["ada at example", "@example.com", "git@host"],
    "phone": ["in 2024 we had 12345 requests", "version 1.2.3", "2024-11-23"],
    "credit_card": ["4111 1111 1111 1112", "order 1234567890123456"],
    "iban": ["DE00 3704 0044 0532 0130 00", "AB12"],
    "us_ssn": ["000-12-3456", "123-45-67890"],
    "ip_address": ["1.2.3", "999.1.1.1", "1.2.3.4.5"],
    "api_key": ["sk-short", "task-abcdefghijklmnopqrstu"],
    "private_key": ["-----BEGIN CERTIFICATE-----"],
    "jwt": ["eyJ.abc.def"],
}


@pytest.mark.parametrize("name", PII)
def test_a_pii_type_matches_only_its_samples(name: str) -> None:
    for sample in MATCHES_BY_KIND[name]:
        text = f"before {sample}, after"
        matches = find_matches(text, [(name, PII[name])])
        assert [text[m.start : m.end] for m in matches] == [sample]
    for sample in CLEAN[name]:
        assert find_matches(f"before {sample}, after", [(name, PII[name])]) == []


def test_matches_are_replaced_by_the_name_of_their_pattern() -> None:
    text = "ada@example.com or 4111 1111 1111 1111"
    matches = find_matches(text, list(PII.items()))
    assert mask_matches(text, matches) == "[EMAIL] or [CREDIT_CARD]"


def test_built_in_patterns_take_linear_time() -> None:
    hostile = [
        "a" * 20_000,
        "1 " * 10_000,
        "a." * 10_000,
        "-" * 20_000,
        "eyJ" * 7_000,
        "1:" * 9_000,
    ]
    for text in hostile:
        start = time.monotonic()
        find_matches(text, list(PII.items()), budget_s=5)
        assert time.monotonic() - start < 1, text[:10]


def test_a_pattern_that_backtracks_is_stopped() -> None:
    start = time.monotonic()
    with pytest.raises(PatternTimeoutError):
        find_matches(
            "1" + "a" * 60 + "!", [("slow", Detector(r"(?:a|aa|aaa)+[0-9]$"))], budget_s=0.1
        )
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "pattern",
    [
        "a{99999999}b",
        "(?:(?:a{999}){999})b",
        "(?:(?:a{ 999 }){ 999 })b",
        "(?x)(?:(?:a{999}) #x\n{999})b",
        "(?:(?:a{999})(?#{1}){999})b",
        "a{" + "9" * 500 + "}b",
    ],
)
def test_a_pattern_that_would_fill_the_memory_is_refused(pattern: str) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError, match="repeats too much"):
        compile_pattern(pattern)
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?:ghp_[A-Za-z0-9]{36}|AKIA[0-9A-Z]{16}|AIza[\w-]{35}|hf_\w{30}|gsk_\w{40,60})",
        r"(?:\d{4}[ -]?){3}\d{4}",
        r"[\s\S]{0,10000}end",
        r"\{999\}|x{2000}",
        *(detector.pattern for detector in PII.values()),
    ],
)
def test_usual_repetitions_are_accepted(pattern: str) -> None:
    assert compile_pattern(pattern).pattern == pattern


@pytest.mark.parametrize("pattern", ["", "(", "a*", "x" * 2000])
def test_a_pattern_that_is_unusable_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|expression|empty"):
        compile_pattern(pattern)


def test_invisible_characters_do_not_hide_a_match() -> None:
    text = "mail a\u200bda@exam\u00adple.com\u200d, now \ufeff4111\u2060111111111111"
    detectors = list(PII.items())
    matches = find_matches(text, detectors)
    assert [match.name for match in matches] == ["email", "credit_card"]
    assert mask_matches(text, matches) == "mail [EMAIL]\u200d, now \ufeff[CREDIT_CARD]"
    # After the end of what has been checked already.
    assert [match.name for match in find_matches(text, detectors, text.index("now"))] == [
        "credit_card"
    ]


def test_a_pattern_can_find_invisible_characters() -> None:
    hidden = Detector(r"[\U000E0020-\U000E007E]{2,}")
    text = "hello \U000e0068\U000e0069"
    assert [match[:2] for match in find_matches(text, [("tags", hidden)])] == [(6, 8)]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("card ４１１１ １１１１ １１１１ １１１１.", "card [CREDIT_CARD]."),
        ("ｍａｉｌ　ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ｍａｉｌ　[EMAIL]"),
        ("ssn 𝟏𝟐𝟑–𝟒𝟓–𝟔𝟕𝟖𝟗 ok", "ssn [US_SSN] ok"),
        ("card ④①①①\u00a01111\u20111111\u22121111", "card [CREDIT_CARD]"),
        ("ﬁve ada@example.com, 中文，标点。", "ﬁve [EMAIL], 中文，标点。"),
    ],
    ids=["full-width digits", "full-width letters", "mathematical", "enclosed", "ligature"],
)
def test_other_forms_of_a_character_do_not_hide_a_match(text: str, masked: str) -> None:
    assert mask_matches(text, find_matches(text, list(PII.items()))) == masked


def test_text_in_other_scripts_is_searched_in_linear_time() -> None:
    text = "这是一个测试，没有个人数据。（第一）" * 20_000
    start = time.monotonic()
    assert find_matches(text, list(PII.items()), budget_s=5) == []
    assert time.monotonic() - start < 5


def test_one_changed_character_in_a_long_text_takes_little_memory() -> None:
    text = " " * 2_000_000 + "\u200b"
    tracemalloc.start()
    try:
        assert find_matches(text, [("email", PII["email"])], budget_s=30) == []
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4 * len(text)


@pytest.mark.parametrize("character", ["１", "\u200b"])
def test_many_changed_characters_are_within_the_time_limit(character: str) -> None:
    start = time.thread_time()
    with pytest.raises(PatternTimeoutError):
        find_matches(character * 4_000_000, [("ssn", PII["us_ssn"])], budget_s=0.2)
    assert time.thread_time() - start < 1


def test_offsets_of_matches_are_those_of_the_original_text() -> None:
    text = "x\u200b\u00ad ada\u200b@ex\ufb03ce.com １２\u200b３-４５-６７８９"
    matches = find_matches(text, list(PII.items()))
    found = [text[match.start : match.end] for match in matches]
    assert found == ["ada\u200b@ex\ufb03ce.com", "１２\u200b３-４５-６７８９"]
