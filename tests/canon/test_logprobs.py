"""Log probabilities in OpenAI's format."""

from __future__ import annotations

from gateway.canon.logprobs import parse_tokens


def test_a_token_that_is_a_part_of_a_character_keeps_its_bytes() -> None:
    euro = {"token": "\\xe2\\x82", "logprob": -0.5, "bytes": [226, 130], "top_logprobs": []}
    assert parse_tokens([euro]) == [euro]
    assert parse_tokens([{**euro, "token": "a", "bytes": None}])[0]["bytes"] == [97]


def test_invalid_log_probability_entries_are_omitted() -> None:
    assert parse_tokens({"token": "a"}) == []
    (token,) = parse_tokens(["a", {"token": [], "logprob": "x", "bytes": ["y"]}])
    assert token == {"token": "", "logprob": 0.0, "bytes": [], "top_logprobs": []}
