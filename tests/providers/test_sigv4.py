"""AWS signatures equal botocore's for the same request at the same time."""

from __future__ import annotations

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.providers import sigv4

KEY = sigv4.Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
HOST = "bedrock-runtime.eu-central-1.amazonaws.com"
URL = f"https://{HOST}/model/us.amazon.nova-pro-v1%3A0/converse"
HEADERS = {"host": HOST, "content-type": "application/json"}


@pytest.mark.parametrize(
    ("host", "region"),
    [
        (HOST, "eu-central-1"),
        ("bedrock-mantle.us-gov-west-1.api.aws", "us-gov-west-1"),
        ("vpce-1-x.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("127.0.0.1", "us-east-1"),
    ],
)
def test_the_region_is_the_hosts(host: str, region: str) -> None:
    assert sigv4.region_of(host) == region


def test_a_host_without_a_region_uses_the_configured_region() -> None:
    assert sigv4.region_of("proxy.example", "eu-west-3") == "eu-west-3"


def test_the_service_is_the_hosts() -> None:
    assert sigv4.service_of(HOST) == "bedrock"
    assert sigv4.service_of("bedrock-mantle.us-east-1.api.aws") == "bedrock-mantle"
    assert sigv4.service_of("127.0.0.1", "sagemaker") == "sagemaker"


@pytest.mark.parametrize("token", [None, "a-session"])
def test_a_signature_covers_body_and_url(token: str | None) -> None:
    key = sigv4.Key(KEY.id, KEY.secret, token)
    sign_headers = dict(sigv4.sign_headers(key, "eu-central-1", "POST", URL, HEADERS, b'{"a":1}'))
    assert sign_headers.get(b"x-amz-security-token") == (token.encode() if token else None)
    theirs = _botocore_signature(key, URL, b'{"a":1}', sign_headers[b"x-amz-date"].decode())
    assert sign_headers[b"authorization"].decode() == theirs
    other = _botocore_signature(key, URL, b'{"a":2}', sign_headers[b"x-amz-date"].decode())
    assert sign_headers[b"authorization"].decode() != other


class _FixedTimeSigner(SigV4Auth):
    """botocore's signer with a fixed time and token."""

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        pass


def _botocore_signature(key: sigv4.Key, url: str, body: bytes, signed_at: str) -> str:
    """Return botocore's signature at this time, for a request of its own client."""
    request = AWSRequest(method="POST", url=url, headers=dict(HEADERS), data=body)
    signer = _FixedTimeSigner(Credentials(key.id, key.secret, key.token), "bedrock", "eu-central-1")
    request.context["timestamp"] = signed_at
    request.headers["X-Amz-Date"] = signed_at
    if key.token:
        request.headers["X-Amz-Security-Token"] = key.token
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signed = signer.signed_headers(signer.headers_to_sign(request))
    return (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )


def test_the_repr_of_a_signing_key_is_masked() -> None:
    assert "wJalr" not in repr(KEY)
    assert "AKIA" not in repr(KEY)
