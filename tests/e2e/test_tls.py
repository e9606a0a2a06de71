"""`up` over HTTPS without a proxy: certificate, renewal, HSTS and cookies."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from tests.certificates import CertificateAuthority, IssuedCertificate
from tests.e2e.test_up import failed_start, running_up
from tests.waits import wait_until

pytestmark = pytest.mark.e2e


def _write_certificate(folder: Path, issued: IssuedCertificate) -> tuple[str, ...]:
    """Write a certificate into files and return the options of `up` for it."""
    (folder / "key.pem").write_text(issued.key)
    (folder / "certificate.pem").write_text(issued.certificate)
    files = (str(folder / "certificate.pem"), "--ssl-keyfile", str(folder / "key.pem"))
    return ("--ssl-certfile", *files)


def _served_certificate(port: int, authority: str) -> str:
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.wide(every=2)
def test_https_is_served_without_a_proxy(tmp_path: Path, workers: str) -> None:
    authority = CertificateAuthority()
    issued = authority.issue()
    options = ("--workers", workers, *_write_certificate(tmp_path, issued))
    with running_up(tmp_path / "data", *options, authority=authority.pem) as gateway:
        assert "https://localhost:" in gateway.output
        assert gateway.chat(gateway.key).json()["choices"][0]["message"]["content"]
        with httpx.Client(base_url=gateway.base, verify=gateway.verify) as client:
            page = client.get("/", follow_redirects=True)
            assert "max-age=31536000" in page.headers["strict-transport-security"]
            assert {cookie.secure for cookie in client.cookies.jar} == {True}
        port = int(gateway.base.rpartition(":")[2])
        assert _served_certificate(port, authority.pem) == issued.certificate
        (tmp_path / "certificate.pem").write_text("a copy that is not finished")
        wait_until(lambda: "a renewed TLS certificate is unusable" in gateway.output)
        assert _served_certificate(port, authority.pem) == issued.certificate
        renewed = authority.issue()
        _write_certificate(tmp_path, renewed)
        wait_until(lambda: _served_certificate(port, authority.pem) == renewed.certificate)
        assert gateway.end() == 0


def test_an_unusable_certificate_is_named_at_startup(tmp_path: Path) -> None:
    issued, other = CertificateAuthority().issue(), CertificateAuthority().issue()
    options = _write_certificate(tmp_path, IssuedCertificate(issued.certificate, other.key))
    for texts, reason in (
        (options, "the key is not that of the certificate"),
        (("--ssl-certfile", str(tmp_path / "none.pem")), "No such file or directory"),
        (("--ssl-certfile", str(tmp_path / "key.pem")), "no certificate with its unencrypted key"),
        (("--ssl-keyfile", str(tmp_path / "key.pem")), "--ssl-keyfile needs --ssl-certfile"),
    ):
        status, message = failed_start(tmp_path / "data", *texts)
        assert (status, reason in message) == (2, True), message


def test_an_unusable_proxy_variable_is_named_at_startup(tmp_path: Path) -> None:
    status, message = failed_start(tmp_path / "data", HTTPS_PROXY="ftp://user:secret@proxy")
    assert status == 2
    assert "HTTPS_PROXY: the proxy must be a host after one of http://" in message
    assert "secret" not in message
    status, message = failed_start(tmp_path / "data", SSL_CERT_FILE=str(tmp_path / "none.pem"))
    assert status == 2
    assert "SSL_CERT_FILE:" in message
