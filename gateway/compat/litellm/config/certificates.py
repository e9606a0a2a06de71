"""`ssl_verify` and `ssl_certificate`: the TLS columns of an entry's provider."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gateway.compat.litellm.config.reader import Node

_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z ]{1,40})-----[^-]*-----END \1-----")
_MAX_BYTES = 1024 * 1024


def tls_columns(params: Node) -> dict[str, Any]:
    """Return the provider's columns that these two keys set. Raises ConfigError.

    `ssl_verify` is a boolean or the file with the authorities' certificates; `ssl_certificate` is
    a PEM file with the client certificate and its key
    (https://docs.litellm.ai/docs/guides/security_settings).
    """
    columns: dict[str, Any] = {}
    verify = params.get("ssl_verify")
    if verify is not None and not _is_path(verify):
        columns |= {} if verify.boolean() else {"ssl_verify": False}
    elif verify is not None:
        columns["ca_certificates"] = _read_pem(verify)
    client = params.get("ssl_certificate")
    if client is not None:
        pem = _read_pem(client)
        keys = [match[0] for match in _PEM_BLOCK.finditer(pem) if match[1].endswith("PRIVATE KEY")]
        if len(keys) != 1:
            raise client.error("names a file that must also contain the private key, as PEM")
        columns |= {"client_certificate": pem.replace(keys[0], "").strip(), "client_key": keys[0]}
    return columns


def check_names_no_file(params: Node) -> None:
    """Raises ConfigError if these keys name a file.

    Whoever uploads a configuration must not read files of the server.
    """
    verify = params.get("ssl_verify")
    node = verify if verify is not None and _is_path(verify) else params.get("ssl_certificate")
    if node is not None:
        raise node.error(
            "names a file, which an upload cannot read: paste its content on the provider's page"
        )


def _is_path(node: Node) -> bool:
    return isinstance(node.value, str) and any(separator in node.value for separator in "/.\\")


def _read_pem(node: Node) -> str:
    path = Path(node.text())
    try:
        with path.open("rb") as file:
            pem = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise node.error(f"names {path}, which cannot be read: {error.strerror}") from None
    if len(pem) > _MAX_BYTES or b"-----BEGIN " not in pem:
        raise node.error(f"names {path}, which is not a PEM file")
    return pem.decode("utf-8", "replace").strip()
