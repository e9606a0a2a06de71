"""Authentication of upstream requests for each provider."""

from __future__ import annotations

import pytest

from gateway.providers.auth import (
    build_auth_headers,
    credential_secrets,
    derives_header,
    parse_credential,
)
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
    assert build_auth_headers(auth, Secret("k-1")) == headers


def test_without_a_credential_nothing_is_sent() -> None:
    assert build_auth_headers("bearer", Secret("")) == ()


def test_the_line_end_of_a_key_file_is_no_part_of_the_key() -> None:
    assert build_auth_headers("x-api-key", Secret("k-1\n")) == ((b"x-api-key", b"k-1"),)


@pytest.mark.parametrize("value", ["k\r\nevil: 1", "sch\u00fcssel-1"], ids=["line break", "umlaut"])
def test_a_credential_invalid_in_a_header_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match="credential") as error:
        build_auth_headers("bearer", Secret(value))
    assert value not in str(error.value)


def test_an_unknown_auth_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="basic"):
        build_auth_headers("basic", Secret("k"))


def test_the_repr_of_a_secret_is_masked() -> None:
    assert "hunter2" not in f"{Secret('hunter2')!r} {Secret('hunter2')}"


AWS_KEY = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG"


@pytest.mark.parametrize(
    ("auth", "credential", "result"),
    [
        ("bearer", '{"type": "x"}', False),
        ("google", "ya29.token", False),
        ("google", '{"type": "service_account"}', True),
        ("google", "/etc/keys/robot.json", True),
        ("google", "", True),
        ("sigv4", "ABSKQmVkcm9ja0FQSUtleS1hYmM=", False),
        ("sigv4", AWS_KEY, True),
        ("sigv4", f"{AWS_KEY}:session", True),
        ("sigv4", '{"aws_profile_name": "p"}', True),
        ("sigv4", "", True),
        ("entra", "eyJ.token", False),
        ("entra", '{"tenant_id": "t", "client_id": "c", "client_secret": "s"}', True),
        ("entra", "", False),
    ],
)
def test_a_header_is_generated_or_sent_unchanged(auth: str, credential: str, result: bool) -> None:
    assert derives_header(auth, Secret(credential)) is result
    headers = build_auth_headers(auth, Secret(credential))
    assert bool(headers) is (not result and bool(credential))


@pytest.mark.parametrize(
    ("auth", "credential", "match"),
    [
        ("sigv4", '{"aws_access_key_id": "A"}', "aws_secret_access_key"),
        ("google", '{"project": "p"}', "type"),
        ("entra", '{"tenant_id": "t"}', "client_secret"),
        ("google", "{torn", "not a JSON object"),
    ],
)
def test_an_incomplete_credential_is_refused_with_the_missing_field(
    auth: str, credential: str, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        build_auth_headers(auth, Secret(credential))


def test_an_aws_key_in_one_line_is_split() -> None:
    assert parse_credential("sigv4", f"{AWS_KEY}:tok/en=") == {
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG",
        "aws_session_token": "tok/en=",
    }


def test_secrets_inside_a_json_credential_are_extracted() -> None:
    assert "wJalrXUtnFEMI/K7MDENG" in credential_secrets(AWS_KEY)
    assert "private-private" in credential_secrets('{"type":"x","private_key":"private-private"}')
    assert credential_secrets("short") == ()
    assert credential_secrets("long-enough") == ("long-enough",)
