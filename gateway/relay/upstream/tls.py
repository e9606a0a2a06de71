"""TLS toward providers: contexts, and what a failure means."""

from __future__ import annotations

import os
import ssl
import tempfile
from pathlib import Path

import certifi

from gateway.providers.network import Network

# Variables that name the trusted authorities of all providers, as in OpenSSL and httpx.
CA_FILE, CA_DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"


def create_context(network: Network | None = None) -> ssl.SSLContext:
    """The TLS context of a provider; None for that of the process.

    Raises:
        OSError, ssl.SSLError: a file of authorities, or the provider's certificate, is unusable.
    """
    network = network or Network()
    if network.ca_certificates:
        context = ssl.create_default_context(cadata=network.ca_certificates)
    else:
        context = _default_context()
    if not network.ssl_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if network.client_certificate:
        _load_client_certificate(context, network)
    return context


def _default_context() -> ssl.SSLContext:
    """Trust the authorities that the environment names, or else certifi's."""
    if path := os.environ.get(CA_FILE):
        return ssl.create_default_context(cafile=path)
    if path := os.environ.get(CA_DIRECTORY):
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=certifi.where())


def check_environment() -> None:
    """Raises ValueError, naming the variable, if the environment's authorities are unusable."""
    name = CA_FILE if os.environ.get(CA_FILE) else CA_DIRECTORY
    path = Path(os.environ.get(name) or certifi.where())
    try:
        _default_context()
        readable = path.is_dir() or path.is_file()
    except (OSError, ssl.SSLError):
        readable = False
    if not readable:
        raise ValueError(f"{name}: {path} has no certificates in PEM format that can be read")


def _load_client_certificate(context: ssl.SSLContext, network: Network) -> None:
    """Load certificate and key; Python's ssl reads them from a file only.

    On Linux that file is in memory: a container's file system may be read-only, and the key
    must not reach a disk.
    """
    pem = f"{network.client_certificate}\n{network.client_key.reveal()}\n".encode()
    # Without a password, OpenSSL would ask for that of an encrypted key on the terminal.
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client-certificate")
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by this user only
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name, password="")


# OpenSSL's verification errors (x509_vfy.h, openssl-verify(1)).
_VERIFICATION = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate is from an authority that is not trusted",
    20: "its certificate is from an authority that is not trusted",
    21: "its certificate is from an authority that is not trusted",
    23: "its certificate was revoked",
    62: "its certificate is for another host name",
    64: "its certificate is for another address",
}
# Reasons of other TLS errors. Those with ALERT are sent by the peer.
_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
    "HTTP_REQUEST": "it does not speak TLS on this port",
    "RECORD_LAYER_FAILURE": "it does not speak TLS on this port",
    "UNSUPPORTED_PROTOCOL": "it speaks an old version of TLS only",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it accepts other versions of TLS only",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it requires a client certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused the handshake; it may need a client certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refused the client certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it refused the client certificate as expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refused the client certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority of the client certificate",
}


def describe_tls_failure(error: ssl.SSLError) -> str:
    """What is wrong, as the end of a sentence about the server; without its address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = _VERIFICATION.get(error.verify_code, f"its certificate: {error.verify_message}")
    else:
        code = error.reason or ""
        reason = _REASONS.get(code, code.replace("_", " ").lower() or "the connection was closed")
    return f"TLS failed: {reason}"
