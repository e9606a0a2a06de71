"""Resource ids issued by the gateway: opaque, bound to a key, tamper-proof."""

from __future__ import annotations

import base64
import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.relay.event_loop import offload
from gateway.relay.passthrough.resource_ids import (
    ResourceId,
    decode_id,
    encode_id,
    replace_ids,
    to_provider_id,
)

PEPPER = b"pepper"
WHOLE_ID = re.compile(rb"[A-Za-z]{1,20}[-_]dgm~[A-Za-z0-9_-]{20,600}")
PIECES = [b"dgm~", b"file-dgm~", b"a" * 30, b"x1Z" * 7, b"z9" * 310, b"-", b"_", b" ", b"~", b"f"]
handles = st.builds(
    ResourceId,
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,30}", fullmatch=True),
    st.integers(0, 2**40),
    st.from_regex(r"(file-|file_|msgbatch_|batch_)?[A-Za-z0-9]{1,60}", fullmatch=True),
)


@given(handles)
def test_a_resource_id_round_trips(handle: ResourceId) -> None:
    text = encode_id(handle, PEPPER)
    assert decode_id(text, PEPPER) == handle
    assert text.isascii()
    assert not set(text) & set("/?#%. ")


@example(ResourceId("0", 0, "00"), 98, "B")
@given(handles, st.integers(0, 10_000), st.sampled_from("ABCxyz019-_"))
def test_an_altered_id_is_rejected(handle: ResourceId, position: int, letter: str) -> None:
    text = encode_id(handle, PEPPER)
    position %= len(text)
    bent = text[:position] + letter + text[position + 1 :]
    # The prefix is not sealed: it means nothing.
    assert decode_id(bent, PEPPER) in ({None} if bent != text else {handle}) or position < 15


@given(handles)
def test_another_gateway_rejects_a_resource_id(handle: ResourceId) -> None:
    assert decode_id(encode_id(handle, PEPPER), b"another") is None


@given(st.text(max_size=100))
def test_any_other_text_is_not_an_id(text: str) -> None:
    assert decode_id(text, PEPPER) is None


def test_an_encoded_id_has_the_known_prefix() -> None:
    text = encode_id(ResourceId("openai", 1, "file-abc"), PEPPER)
    assert text.startswith("file-dgm~")
    assert "abc" not in text


@given(st.from_regex(r"file-[A-Za-z0-9]{8,100}", fullmatch=True))
def test_an_id_does_not_reveal_the_providers_id(provider_id: str) -> None:
    """A provider opens its own ID for every key: who sees another key's ID must not learn it."""
    payload = encode_id(ResourceId("openai", 1, provider_id), PEPPER).removeprefix("file-dgm~")
    data = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert provider_id.encode() not in data
    assert b"openai" not in data


@pytest.mark.parametrize("chunk_bytes", [7, 50, 1024 * 1024])
@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_ids_are_replaced_in_any_chunks(chunk_bytes: int, pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    expected = WHOLE_ID.sub(lambda match: b"<%b>" % match[0], body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(offload, "CHUNK_BYTES", chunk_bytes)
        assert replace_ids(body, lambda text: b"<%b>" % text) == expected


@pytest.mark.parametrize("provider_id", ["file-abc", "batch_1", "7"])
@pytest.mark.parametrize("before", ["", " ", "\n", "see\r\n\t", "\\n", "is"])
def test_the_text_before_an_id_is_kept(before: str, provider_id: str) -> None:
    """In JSON a line break is written as backslash and letter, which is no part of the id."""
    gateway_id = encode_id(ResourceId("openai", 1, provider_id), PEPPER)
    body = msgspec.json.encode({"text": f"{before}{gateway_id}"})

    def replace(text: bytes) -> bytes:
        resource = decode_id(text.decode(), PEPPER)
        assert resource is not None
        return to_provider_id(text.decode(), resource, PEPPER).encode()

    sent = msgspec.json.decode(replace_ids(body, replace))
    assert sent == {"text": f"{before}{provider_id}"}
