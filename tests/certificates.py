"""A private certificate authority that issues valid and expired certificates for any host.

They have the extensions that RFC 5280 requires (section 4.2.1): Python 3.13 refuses others
(https://docs.python.org/3/whatsnew/3.13.html#ssl).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class IssuedCertificate:
    """A certificate and its key as PEM text."""

    certificate: str
    key: str

    def server_context(self, folder: Path, *, client_ca: str = "") -> ssl.SSLContext:
        """Return a server context; with `client_ca`, only its clients are accepted."""
        path = folder / "server.pem"
        path.write_text(self.certificate + self.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client_ca)
        return context


class CertificateAuthority:
    """A certificate authority; `pem` is its own certificate."""

    def __init__(self, name: str = "Test Authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(self._name, self._name, self._key.public_key(), valid_days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_signs_certificates(), critical=True)
        )
        self.pem = _pem(builder.sign(self._key, hashes.SHA256()))

    def issue(self, host: str = "127.0.0.1", *, valid_days: int = 30) -> IssuedCertificate:
        """Issue a certificate for a host; it is expired if `valid_days` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(subject, self._name, key.public_key(), valid_days=valid_days)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
            .add_extension(authority, critical=False)
        )
        return IssuedCertificate(_pem(builder.sign(self._key, hashes.SHA256())), private_pem(key))


def self_signed(host: str = "127.0.0.1") -> IssuedCertificate:
    """Return a self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = _builder(name, name, key.public_key(), valid_days=30)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_general_name(host)]), critical=False
    )
    return IssuedCertificate(_pem(builder.sign(key, hashes.SHA256())), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> str:
    """Return a private key as PEM text, encrypted if a passphrase is given."""
    sealing: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        sealing = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealing
    ).decode()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, valid_days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=60))
        .not_valid_after(now + dt.timedelta(days=valid_days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _signs_certificates() -> x509.KeyUsage:
    return x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
