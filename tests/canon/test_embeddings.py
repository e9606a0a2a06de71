"""Encoding and decoding of vectors."""

from __future__ import annotations

import struct
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canon.embeddings import pack_vector, unpack_vector


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_a_packed_vector_round_trips(vector: list[float]) -> None:
    assert unpack_vector(pack_vector(vector)) == vector


def test_the_bytes_are_little_endian_floats_of_32_bits() -> None:
    assert b64decode(pack_vector([1.5, -2.0])) == struct.pack("<2f", 1.5, -2.0)


@pytest.mark.parametrize("text", ["!", "AAA", "AAAA", "äöü"])
def test_an_invalid_vector_is_ignored(text: str) -> None:
    assert unpack_vector(text) is None


def test_a_number_that_does_not_fit_is_infinite() -> None:
    assert unpack_vector(pack_vector([1e300])) == [float("inf")]
