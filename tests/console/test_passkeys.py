"""Passkeys of a software authenticator: who may sign in with one, and with which responses."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from fido2.cose import ES256
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from tests.console.test_two_factor import PASSWORD, confirmed

pytestmark = pytest.mark.django_db

HOST = "testserver"
ORIGIN = f"https://{HOST}"
FLAG = AuthenticatorData.FLAG
PRESENT, VERIFIED = FLAG.USER_PRESENT, FLAG.USER_VERIFIED


class Passkey:
    """A passkey of a software authenticator."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(16)

    def registration(self, options: dict[str, Any], origin: str = ORIGIN) -> str:
        """The response to the options of a registration."""
        public_key = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]
        credential = AttestedCredentialData.create(bytes(16), self.id, public_key)
        data = AuthenticatorData.create(
            sha256(HOST.encode()), PRESENT | VERIFIED | FLAG.ATTESTED, 0, bytes(credential)
        )
        attestation = AttestationObject.create("none", data, {})
        client_data = CollectedClientData.create("webauthn.create", _challenge(options), origin)
        return self._render(
            {
                "clientDataJSON": websafe_encode(client_data),
                "attestationObject": websafe_encode(attestation),
            }
        )

    def assertion(
        self,
        options: dict[str, Any],
        user: User,
        *,
        origin: str = ORIGIN,
        host: str = HOST,
        flags: AuthenticatorData.FLAG = PRESENT | VERIFIED,
        counter: int = 1,
        kind: str = "webauthn.get",
    ) -> str:
        """The response to the options of a sign-in."""
        data = AuthenticatorData.create(sha256(host.encode()), flags, counter)
        client_data = CollectedClientData.create(kind, _challenge(options), origin)
        signature = self.key.sign(data + client_data.hash, ec.ECDSA(hashes.SHA256()))
        return self._render(
            {
                "clientDataJSON": websafe_encode(client_data),
                "authenticatorData": websafe_encode(data),
                "signature": websafe_encode(signature),
                "userHandle": websafe_encode(user_pk_to_url_str(user).encode()),
            }
        )

    def _render(self, response: dict[str, str]) -> str:
        credential_id = websafe_encode(self.id)
        extensions = {"credProps": {"rk": True}}
        return json.dumps(
            {
                "id": credential_id,
                "rawId": credential_id,
                "type": "public-key",
                "response": response,
                "clientExtensionResults": extensions,
            }
        )


def _challenge(options: dict[str, Any]) -> str:
    challenge: str = options["publicKey"]["challenge"]
    return challenge


@pytest.fixture(autouse=True)
def _without_earlier_attempts() -> None:
    """Clear allauth's rate limits, which are in a cache that outlives a test."""
    cache.clear()


@pytest.fixture
def admin_user() -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def add_passkey(client: Client, origin: str = ORIGIN) -> tuple[Passkey, Any]:
    """Sign in, confirm the password, and add a passkey."""
    confirmed(client)
    page = client.get(reverse("mfa_add_webauthn"))
    options = page.context["js_data"]["creation_options"]
    passkey = Passkey()
    fields = {
        "name": "x",
        "passwordless": "on",
        "credential": passkey.registration(options, origin),
    }
    return passkey, client.post(reverse("mfa_add_webauthn"), fields)


def sign_in_options(client: Client) -> dict[str, Any]:
    response = client.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})
    options: dict[str, Any] = response.json()["request_options"]
    return options


def is_signed_in(client: Client, credential: str) -> bool:
    client.post(reverse("mfa_login_webauthn"), {"credential": credential})
    return "_auth_user_id" in client.session


def test_a_passkey_signs_in_and_its_response_only_once(client: Client, admin_user: User) -> None:
    passkey, added = add_passkey(client)
    assert added.status_code == 302
    visitor = Client()
    credential = passkey.assertion(sign_in_options(visitor), admin_user)
    assert is_signed_in(visitor, credential)
    assert not is_signed_in(Client(), credential)  # without a challenge
    thief = Client()
    sign_in_options(thief)
    assert not is_signed_in(thief, credential)  # with another challenge
    visitor.post(reverse("sign-out"))
    assert not is_signed_in(visitor, credential)


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://evil.example"},
        {"origin": f"http://{HOST}"},
        {"origin": f"https://{HOST}.evil.example"},
        {"host": "evil.example"},
        {"flags": PRESENT},
        {"flags": FLAG(0)},
        {"kind": "webauthn.create"},
    ],
    ids=str,
)
def test_a_response_for_another_site_or_without_the_person_is_refused(
    client: Client, admin_user: User, change: dict[str, Any]
) -> None:
    passkey, _ = add_passkey(client)
    visitor = Client()
    assert not is_signed_in(
        visitor, passkey.assertion(sign_in_options(visitor), admin_user, **change)
    )


def test_a_passkey_does_not_sign_in_as_another_user(client: Client, admin_user: User) -> None:
    passkey, _ = add_passkey(client)
    other = User.objects.create_superuser("bob", password=PASSWORD)
    visitor = Client()
    assert not is_signed_in(visitor, passkey.assertion(sign_in_options(visitor), other))
    stranger = Passkey()
    assert not is_signed_in(visitor, stranger.assertion(sign_in_options(visitor), admin_user))
    stranger.id = passkey.id
    assert not is_signed_in(visitor, stranger.assertion(sign_in_options(visitor), admin_user))


@pytest.mark.parametrize(
    ("counters", "accepted"),
    [
        ((5, 6, 6, 5, 0, 7), (True, True, False, False, False, True)),
        ((0, 0, 1, 0), (True, True, True, False)),
    ],
)
def test_a_copied_passkey_is_refused_by_its_counter(
    client: Client, admin_user: User, counters: tuple[int, ...], accepted: tuple[bool, ...]
) -> None:
    passkey, _ = add_passkey(client)
    results = []
    for counter in counters:
        visitor = Client()
        credential = passkey.assertion(sign_in_options(visitor), admin_user, counter=counter)
        results.append(is_signed_in(visitor, credential))
    assert tuple(results) == accepted


def test_the_counter_is_checked_as_a_second_step_and_for_a_confirmation(
    client: Client, admin_user: User
) -> None:
    passkey, _ = add_passkey(client)
    body = {"username": "ada", "password": PASSWORD}
    for counter, expected in ((3, True), (3, False)):
        browser = Client()
        browser.post(reverse("sign-in"), body, REMOTE_ADDR="203.0.113.7")
        page = browser.get(reverse("mfa_authenticate"))
        options = page.context["js_data"]["request_options"]
        credential = passkey.assertion(options, admin_user, counter=counter)
        browser.post(reverse("mfa_authenticate"), {"credential": credential})
        assert ("_auth_user_id" in browser.session) is expected
    for counter, expected in ((3, False), (4, True)):
        records = len(client.session.get("account_authentication_methods", []))
        page = client.get(reverse("mfa_reauthenticate_webauthn"))
        options = page.context["js_data"]["request_options"]
        credential = passkey.assertion(options, admin_user, counter=counter)
        client.post(reverse("mfa_reauthenticate_webauthn"), {"credential": credential})
        confirmations = len(client.session.get("account_authentication_methods", []))
        assert (confirmations > records) is expected


def test_a_passkey_of_another_site_is_not_added(client: Client, admin_user: User) -> None:
    _, response = add_passkey(client, origin="https://evil.example")
    assert response.status_code == 422
    assert not Authenticator.objects.filter(type="webauthn").exists()


def test_another_site_cannot_add_a_passkey(client: Client, admin_user: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(admin_user)
    response = browser.post(reverse("mfa_add_webauthn"), {"name": "x", "credential": "{}"})
    assert response.status_code == 403
