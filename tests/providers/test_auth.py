"""How a credential is shown to a provider."""

from __future__ import annotations

import pytest

from gateway.providers.auth import headers_for
from gateway.providers.profile import Secret


@pytest.mark.parametrize(
    ("auth", "headers"),
    [
        ("bearer", ((b"authorization", b"Bearer k-1"),)),
        ("x-api-key", ((b"x-api-key", b"k-1"),)),
        ("api-key", ((b"api-key", b"k-1"),)),
        ("none", ()),
    ],
)
def test_each_kind_of_auth_has_its_header(
    auth: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert headers_for(auth, Secret("k-1")) == headers


def test_without_a_credential_nothing_is_sent() -> None:
    assert headers_for("bearer", Secret("")) == ()


def test_the_line_end_of_a_key_file_is_no_part_of_the_key() -> None:
    assert headers_for("x-api-key", Secret("k-1\n")) == ((b"x-api-key", b"k-1"),)


@pytest.mark.parametrize("value", ["k\r\nevil: 1", "sch\u00fcssel-1"], ids=["line break", "umlaut"])
def test_a_credential_that_no_header_may_carry_is_refused_unseen(value: str) -> None:
    with pytest.raises(ValueError, match="credential") as caught:
        headers_for("bearer", Secret(value))
    assert value not in str(caught.value)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="basic"):
        headers_for("basic", Secret("k"))


def test_a_secret_does_not_show_itself() -> None:
    assert "hunter2" not in f"{Secret('hunter2')!r} {Secret('hunter2')}"
