"""Gateway keys: format, hash, and the headers and parameters that carry them."""

from __future__ import annotations

import hashlib
import re
import string
import zlib

import pytest

from gateway.edge import admission
from gateway.routing.snapshot import ApiKey, Snapshot

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
def test_a_token_is_read_from_its_first_location(
    headers: Headers, query: bytes, token: str
) -> None:
    assert admission.token_from(headers, query) == token


def test_a_fresh_key_has_its_form_and_checksum() -> None:
    token = admission.generate_key()
    assert re.fullmatch(r"sk-dgm-[A-Za-z0-9]{54}", token)
    # As secret scanners check it: the CRC-32 of what stands between prefix and checksum.
    number, digits = zlib.crc32(token[7:-6].encode()), []
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits.append((string.ascii_letters + string.digits)[digit])
    assert "".join(digits) == token[-6:]
    assert admission.public_prefix(token) == token[:15]


def test_a_digest_depends_on_all_of_token_and_pepper() -> None:
    token = admission.generate_key()
    key_digests = {
        admission.key_digest(token, b"pepper"),
        admission.key_digest(token + "x", b"pepper"),
        admission.key_digest(token[:-1], b"pepper"),
        admission.key_digest(token, b"salt"),
        admission.key_digest("", b"pepper"),
    }
    assert len(key_digests) == 5
    assert {len(digest) for digest in key_digests} == {32}


def test_any_text_has_a_digest() -> None:
    assert admission.key_digest("\ud800\0", b"pepper")


def test_an_imported_key_is_found_by_its_hash_and_the_hash_is_no_key() -> None:
    pepper, sha256 = b"pepper", hashlib.sha256(b"sk-imported").digest()
    key = ApiKey(id=1, prefix="p", name="k", digest=admission.hashed_key_digest(sha256, pepper))
    snapshot = Snapshot(version=1, keys={key.digest: key})

    def key_of_token(token: str) -> ApiKey | None:
        return admission.find_key(snapshot, token, admission.key_digest(token, pepper), pepper)

    assert key_of_token("sk-imported") is key
    assert [
        key_of_token(token) for token in (sha256.hex(), sha256.decode("latin-1"), "", "sk-x")
    ] == ([None] * 4)
