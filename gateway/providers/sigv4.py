"""AWS Signature Version 4: the headers that sign one request with an AWS key.

Uses botocore's signer, imported with the first signed request: the import takes a quarter
of a second, which installations without AWS need not pay.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

_REGION = re.compile(r"(?:^|[.-])((?:us|eu|ap|sa|ca|me|af|il|mx|cn)(?:-[a-z]+)+-\d)(?=\.|$)")
REGION = "us-east-1"
# Service names in signatures; hosts with `bedrock-mantle` use the first.
_MANTLE = "bedrock-mantle"
_SERVICE = "bedrock"
# preset -> the service, if it is not one of these.
_SERVICES = {"sagemaker": "sagemaker"}
# Only these are signed: a proxy in between may change any other.
_SIGNED_HEADERS = frozenset({"host", "content-type"})


class Key(msgspec.Struct, frozen=True):
    """An AWS key, with the session token if it is a temporary one."""

    id: str
    secret: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Key(***)"


def region_of(host: str, declared_region: str | None = None) -> str:
    """Return the region of a host, or the declared one if the host name has none."""
    match = _REGION.search(host)
    return match[1] if match else declared_region or REGION


def in_region(url: str, region: str | None) -> str:
    """Return the URL of the same service in another region; unchanged without a region."""
    return url.replace(REGION, region) if region else url


def service_of(host: str, preset: str = "") -> str:
    """Return the service of a preset at a host, as signatures name it."""
    if preset in _SERVICES:
        return _SERVICES[preset]
    return _MANTLE if _MANTLE in host else _SERVICE


def sign_headers(
    key: Key,
    region: str,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    preset: str = "",
) -> list[tuple[bytes, bytes]]:
    """Return the headers to add to a request: signature, time, session.

    The URL must be the one that is sent, including percent-encoding. `preset` is the
    provider's, which may determine the service.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    signed_headers = {
        name: value for name, value in headers.items() if name.lower() in _SIGNED_HEADERS
    }
    request: Any = AWSRequest(method=method, url=url, headers=signed_headers, data=body)
    host = url.split("/", 3)[2]
    credentials = Credentials(key.id, key.secret, key.token)
    SigV4Auth(credentials, service_of(host, preset), region).add_auth(request)
    return [
        (name.lower().encode("ascii"), str(value).encode("latin-1"))
        for name, value in request.headers.items()
        if name.lower() not in _SIGNED_HEADERS
    ]
