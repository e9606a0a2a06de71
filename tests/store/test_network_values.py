"""A provider's proxy and certificates: validated, encrypted, masked, and bound to its host."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from gateway import store
from gateway.models import Change, Provider
from gateway.providers.network import environment_proxies, mask_proxy, parse_proxy
from gateway.store.documents import KINDS, Refused
from tests.certificates import CertificateAuthority, IssuedCertificate, private_pem
from tests.store.factories import provider

pytestmark = pytest.mark.django_db
PROVIDERS = KINDS["providers"]
PROXY = "http://relay:proxy-secret@proxy.test:3128"
MASKED = "http://relay:***@proxy.test:3128"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority()


@pytest.fixture(scope="module")
def client_issued(authority: CertificateAuthority) -> IssuedCertificate:
    return authority.issue("gateway")


@pytest.fixture
def admin_client(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("ada"))
    return client


def test_secrets_are_encrypted_masked_and_absent_from_the_audit_log(
    client_issued: IssuedCertificate,
) -> None:
    document = {
        "name": "own",
        "base_url": "https://provider.test/v1",
        "proxy": PROXY,
        "client_certificate": client_issued.certificate,
        "client_key": client_issued.key,
    }
    row = PROVIDERS.write(document, None)
    read = PROVIDERS.read(row)
    assert (read["proxy"], read["client_key"]) == (MASKED, "***")
    with connection.cursor() as cursor:
        cursor.execute("SELECT proxy, client_key FROM gateway_provider")
        stored = "".join(cursor.fetchone())
    assert stored.count("sealed:") == 2
    assert "proxy-secret" not in stored
    assert "PRIVATE KEY" not in stored
    PROVIDERS.write(read, Provider.objects.get())
    network = store.provider_value(Provider.objects.get()).network
    assert network is not None
    assert network.proxy.reveal() == PROXY
    assert network.client_key.reveal() == client_issued.key.strip()
    for change in Change.objects.all():
        assert "proxy-secret" not in str(change.after)
        assert "PRIVATE KEY" not in str(change.after)


def test_sealed_columns_are_encrypted_again_with_a_new_key(settings: Any) -> None:
    provider(base_url="https://provider.test", proxy=PROXY)
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *old]
    assert store.rotate_credentials() == 1
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    assert Provider.objects.get().proxy == PROXY


def test_a_variable_or_the_file_it_names_is_read(
    authority: CertificateAuthority, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("OUR_PROXY", PROXY)
    monkeypatch.setenv("OUR_CA_FILE", str(tmp_path / "ca.pem"))
    row = provider(proxy="os.environ/OUR_PROXY", ca_certificates="os.environ/OUR_CA")
    network = store.provider_value(row).network
    assert network is not None
    assert network.proxy.reveal() == PROXY
    assert network.ca_certificates == authority.pem.strip()
    assert PROVIDERS.read(row)["proxy"] == "os.environ/OUR_PROXY"


def _encrypted(_: CertificateAuthority, issued: IssuedCertificate) -> dict[str, str]:
    key = private_pem(ec.generate_private_key(ec.SECP256R1()), "passphrase")
    return {"client_certificate": issued.certificate, "client_key": key}


def _of_another(authority: CertificateAuthority, issued: IssuedCertificate) -> dict[str, str]:
    return {"client_certificate": issued.certificate, "client_key": authority.issue("b").key}


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"proxy": "ftp://proxy.test"}, "proxy", "must be a host after one of http://"),
        ({"proxy": "http://u:proxy-secret@p:99999"}, "proxy", "is not a URL"),
        ({"proxy": "http://proxy.test/path"}, "proxy", "must end after the port"),
        ({"ca_certificates": "/etc/ssl/ca.pem"}, "ca_certificates", "must be PEM text"),
        ({"client_key": "x"}, "client_certificate", "needs its certificate"),
        (_encrypted, "client_key", "is encrypted; remove its passphrase"),
        (_of_another, "client_key", "is not that of the client certificate"),
    ],
    ids=["scheme", "port", "path", "file", "no-certificate", "passphrase", "other-key"],
)
def test_invalid_input_is_refused_at_its_field(
    authority: CertificateAuthority,
    client_issued: IssuedCertificate,
    admin_client: Client,
    values: Any,
    field: str,
    reason: str,
) -> None:
    if callable(values):
        values = values(authority, client_issued)
    with pytest.raises(Refused) as error:
        PROVIDERS.write({"name": "own", "base_url": "https://p.test", **values}, None)
    assert (error.value.field, reason in error.value.reason) == (field, True)
    assert "proxy-secret" not in str(error.value)
    form = {"name": "own", "base_url": "https://p.test", "mode": "none", **values}
    response = admin_client.post(reverse("provider-add", args=["custom"]), form)
    assert response.status_code == 422
    assert reason in " ".join(response.context["form"].errors[field])


@pytest.mark.parametrize(
    ("url", "change", "is_refused"),
    [
        ("https://p.test", {"proxy": "http://other.test:3128"}, False),
        ("https://p.test", {"ssl_verify": False}, True),
        ("http://p.test", {"proxy": "http://other.test:3128"}, True),
    ],
    ids=["private", "unverified", "plain"],
)
def test_a_stored_key_is_entered_again_if_a_change_could_reveal_it(
    admin_client: Client, url: str, change: dict[str, Any], is_refused: bool
) -> None:
    row = provider(name="own", preset="custom", base_url=url)
    store.set_credential(row, "sk-stored-credential")
    form = {"name": "own", "base_url": url, "mode": "stored"}
    form |= {name: "no" if value is False else value for name, value in change.items()}
    response = admin_client.post(reverse("provider-edit", args=[row.pk]), form)
    assert response.status_code == (422 if is_refused else 302)
    document = {**PROVIDERS.read(Provider.objects.get()), "proxy": "", "ssl_verify": True}
    row.proxy, row.ssl_verify = "", True
    row.save()
    if is_refused:
        with pytest.raises(Refused, match="enter the key again"):
            PROVIDERS.write({**document, **change}, Provider.objects.get())
    else:
        PROVIDERS.write({**document, **change}, Provider.objects.get())


def test_the_form_keeps_masked_values_and_warns_of_unsafe_ones(
    admin_client: Client, authority: CertificateAuthority
) -> None:
    expired = authority.issue("gateway", valid_days=-3)
    row = provider(
        name="own",
        preset="custom",
        base_url="https://p.test",
        proxy=PROXY,
        client_certificate=expired.certificate,
        client_key=expired.key,
        ssl_verify=False,
    )
    edit = reverse("provider-edit", args=[row.pk])
    page = admin_client.get(edit).content.decode()
    assert "proxy-secret" not in page
    assert expired.key.splitlines()[1] not in page
    assert "TLS certificates are not verified" in page
    assert "client certificate expired on" in page
    form = {
        "name": "own",
        "base_url": "https://p.test",
        "mode": "none",
        "proxy": MASKED,
        "client_certificate": expired.certificate,
        "ssl_verify": "no",
    }
    assert admin_client.post(edit, form).status_code == 302
    saved = Provider.objects.get()
    assert (saved.proxy, saved.client_key.strip()) == (PROXY, expired.key.strip())
    warnings = [warning.reason for warning in store.load_snapshot().warnings]
    assert any("not verified" in reason for reason in warnings)
    assert any("expired on" in reason for reason in warnings)
    assert (
        admin_client.post(edit, {**form, "client_certificate": "", "proxy": ""}).status_code == 302
    )
    saved.refresh_from_db()
    assert (saved.proxy, saved.client_key) == ("", "")


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "is_proxied"),
    [
        ("", "api.test", 443, True),
        ("", "127.0.0.1", 443, False),
        ("", "localhost", 443, False),
        ("*", "api.test", 443, False),
        ("api.test", "api.test", 443, False),
        ("test", "api.test", 443, False),
        (".test", "api.test", 443, False),
        ("*.api.test", "v1.api.test", 443, False),
        ("pi.test", "api.test", 443, True),
        ("other.test, API.test", "api.test", 443, False),
        ("api.test:443", "api.test", 443, False),
        ("api.test:80", "api.test", 443, True),
        ("10.0.0.0/8", "10.1.2.3", 443, False),
        ("10.0.0.0/8", "11.1.2.3", 443, True),
        ("10.1.2.3", "10.1.2.3", 443, False),
        ("fd00::/8", "fd00::1", 443, False),
        ("[fd00::1]:443", "fd00::1", 443, False),
        ("not/a/network", "api.test", 443, True),
    ],
)
def test_no_proxy_excludes_hosts(no_proxy: str, host: str, port: int, is_proxied: bool) -> None:
    environment = {"HTTPS_PROXY": "proxy.test:3128", "NO_PROXY": no_proxy}
    proxies = environment_proxies(environment)
    assert proxies.select("https", host, port) == ("http://proxy.test:3128" if is_proxied else "")
    assert proxies.select("http", host, port) == ""


def test_a_variable_of_a_proxy_that_is_no_url_is_named() -> None:
    with pytest.raises(ValueError, match="ALL_PROXY: the proxy must be a host after one of"):
        environment_proxies({"ALL_PROXY": "ftp://proxy-secret@proxy.test"})


def test_a_proxys_url_is_decoded_and_masked() -> None:
    proxy = parse_proxy("https://us%40er:p%3Ass@[fd00::1]")
    assert (proxy.host, proxy.port, proxy.username) == ("fd00::1", 3129, "us@er")
    assert proxy.password.reveal() == "p:ss"
    assert mask_proxy(PROXY) == MASKED
    assert mask_proxy("http://user@proxy.test") == "http://user@proxy.test"
