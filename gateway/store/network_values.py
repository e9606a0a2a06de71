"""A provider's connection settings: its columns -> the value of the hot path."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

from django.utils import timezone

from gateway import models
from gateway.models.sealed import UndecryptableError, refuse_sealed
from gateway.providers.auth import VARIABLE_PREFIX
from gateway.providers.network import DIRECT, Network, parse_proxy
from gateway.providers.profile import Secret
from gateway.relay.upstream.tls import create_context
from gateway.store.credentials import variable_value
from gateway.store.field_values import InvalidField

# Few providers have certificates: a start does not import what reads them (40 modules).
if TYPE_CHECKING:
    from cryptography import x509

MAX_PEM_CHARS = 1024 * 1024
# Warnings begin this long before a certificate expires.
EXPIRES_SOON = dt.timedelta(days=14)
_NOT_PEM = (
    "must be PEM text, with `-----BEGIN %s-----`, or os.environ/NAME; a file is named by the "
    "environment variable NAME_FILE"
)


def network_value(row: models.Provider) -> Network | None:
    """The connection settings of a provider; None if it has none of its own.

    Raises:
        InvalidField: a proxy, certificate or key is unusable; no secret is quoted.
    """
    proxy = _resolve_column(row, "proxy")
    if proxy and proxy != DIRECT:
        try:
            parse_proxy(proxy)
        except ValueError as error:
            raise InvalidField("proxy", str(error)) from None
    network = Network(
        proxy=Secret(proxy),
        ca_certificates=_resolve_column(row, "ca_certificates"),
        client_certificate=_resolve_column(row, "client_certificate"),
        client_key=Secret(_resolve_column(row, "client_key")),
        ssl_verify=row.ssl_verify,
    )
    if network == Network():
        return None
    _parse_certificates(network.ca_certificates, "ca_certificates")
    _check_client_certificate(network)
    try:
        create_context(network)
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        message = f"its certificates cannot be used for TLS ({reason})"
        raise InvalidField("ca_certificates", message) from None
    return network


def network_warnings(network: Network | None) -> list[str]:
    """What is unsafe about the settings, or will fail soon."""
    if network is None:
        return []
    warnings = []
    if not network.ssl_verify:
        warnings.append(
            "its TLS certificates are not verified (ssl_verify): anyone on the network path "
            "can read its API key and all prompts"
        )
    for label, expires_at in certificate_expiries(network):
        if expires_at < timezone.now():
            warnings.append(f"its {label} expired on {expires_at:%Y-%m-%d}: TLS will fail")
        elif expires_at < timezone.now() + EXPIRES_SOON:
            warnings.append(f"its {label} expires on {expires_at:%Y-%m-%d}")
    return warnings


def certificate_expiries(network: Network | None) -> list[tuple[str, dt.datetime]]:
    """What each certificate of a provider is, and when it expires."""
    if network is None:
        return []
    return [
        (label, certificate.not_valid_after_utc)
        for field, label in (
            ("ca_certificates", "authority"),
            ("client_certificate", "client certificate"),
        )
        for certificate in _parse_certificates(getattr(network, field), field)
    ]


def pem_expiry(pem: bytes) -> dt.datetime:
    """When the first certificate of a chain expires. Raises ValueError if there is none."""
    from cryptography import x509

    return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc


def _resolve_column(row: models.Provider, field: str) -> str:
    """The text of a column, or of the variable that it refers to."""
    text = str(getattr(row, field) or "").strip()
    try:
        refuse_sealed(text)
        if text.startswith(VARIABLE_PREFIX):
            text = variable_value(text.removeprefix(VARIABLE_PREFIX))
    except LookupError as error:
        raise InvalidField(field, str(error.args[0]), label=field) from None
    except UndecryptableError as error:
        raise InvalidField(field, str(error), label=field) from None
    if len(text) > MAX_PEM_CHARS:
        message = f"it is longer than {MAX_PEM_CHARS} characters"
        raise InvalidField(field, message, label=field)
    return text


def _parse_certificates(pem: str, field: str) -> list[x509.Certificate]:
    if not pem:
        return []
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise InvalidField(field, f"it {_NOT_PEM % 'CERTIFICATE'}", label=field) from None


def _check_client_certificate(network: Network) -> None:
    certificates = _parse_certificates(network.client_certificate, "client_certificate")
    if not certificates:
        if network.client_key:
            raise InvalidField("client_certificate", "a client key needs its certificate")
        return
    if not network.client_key:
        raise InvalidField("client_key", "a client certificate needs its key")
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(network.client_key.reveal().encode(), None)
    except TypeError:
        message = "it is encrypted; remove its passphrase (openssl pkey -in FILE)"
        raise InvalidField("client_key", message, label="client_key") from None
    except ValueError:
        message = f"it {_NOT_PEM % 'PRIVATE KEY'}"
        raise InvalidField("client_key", message, label="client_key") from None
    if key.public_key() != certificates[0].public_key():
        raise InvalidField("client_key", "the client key is not that of the client certificate")
