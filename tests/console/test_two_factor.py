"""Two-factor sign-in: codes, recovery codes, passkeys, rate limit, encryption, audit log."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from console.two_factor import TwoFactorAdapter
from gateway.models import Change
from gateway.store.rotation import rotate_temporary_rows

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _without_earlier_attempts() -> None:
    """Clear allauth's rate limits, which are in a cache that outlives a test."""
    cache.clear()


@pytest.fixture
def admin_user() -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def text(response: Any) -> str:
    return response.content.decode()


def code_of(secret: str, step: int = 0) -> str:
    """The code of the current period, or of one `step` periods later.

    A period is 30 s, and the gateway also accepts the codes of the previous and the next one: the
    current code stays valid if a period ends during a test.
    """
    _previous, current, _next = yield_hotp_counters_from_time()
    return format_hotp_value(hotp_value(secret, current + step))


def sign_in(client: Client) -> Any:
    body = {"username": "ada", "password": PASSWORD}
    return client.post(reverse("sign-in"), body, REMOTE_ADDR="203.0.113.7")


def confirmed(client: Client) -> None:
    """Sign in and confirm the password, as each change requires."""
    sign_in(client)
    response = client.get(reverse("mfa_activate_totp"))
    assert response.headers["Location"].startswith(reverse("account_reauthenticate"))
    reply = client.post(response.headers["Location"], {"password": PASSWORD})
    assert reply.status_code == 302


def with_codes(client: Client) -> str:
    """Activate one-time codes and return the secret."""
    confirmed(client)
    page = text(client.get(reverse("mfa_activate_totp")))
    (secret,) = re.findall(r'<code class="wrap">(\w+)</code>', page)
    assert "data:image/svg+xml;base64," in page
    done = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert done.headers["Location"] == reverse("mfa_view_recovery_codes")
    return secret


def test_without_a_second_factor_the_password_is_enough(client: Client, admin_user: User) -> None:
    assert sign_in(client).headers["Location"] == reverse("overview")
    assert client.get(reverse("overview")).status_code == 200
    assert client.get(reverse("mfa_index")).status_code == 200


def test_a_code_is_required_after_the_password_and_works_once(
    client: Client, admin_user: User
) -> None:
    secret = with_codes(client)
    browser = Client()
    assert sign_in(browser).headers["Location"] == reverse("mfa_authenticate")
    assert browser.get(reverse("overview")).status_code == 302, "not signed in yet"
    assert browser.get(reverse("mfa_authenticate")).status_code == 200
    code = code_of(secret)
    done = browser.post(reverse("mfa_authenticate"), {"code": code})
    assert done.headers["Location"] == reverse("overview")
    assert browser.get(reverse("overview")).status_code == 200
    thief = Client()
    sign_in(thief)
    assert thief.post(reverse("mfa_authenticate"), {"code": code}).status_code == 429
    assert thief.get(reverse("overview")).status_code == 302


@pytest.mark.parametrize("form", ["{0}-{1}", "{0} {1}", "\u00a0{0}{1}", "{0}\t{1}", "{0}{1}."])
def test_a_used_code_in_another_form_is_not_accepted(
    client: Client, admin_user: User, form: str
) -> None:
    """allauth ignores punctuation, and remembers codes in one process for a third of their life."""
    code = code_of(with_codes(client))
    assert sign_in(browser := Client()).status_code == 302
    assert browser.post(reverse("mfa_authenticate"), {"code": code}).status_code == 302
    cache.clear()
    sign_in(thief := Client())
    form_data = {"code": form.format(code[:3], code[3:])}
    assert thief.post(reverse("mfa_authenticate"), form_data).status_code == 429
    assert thief.get(reverse("overview")).status_code == 302


def test_codes_cannot_be_guessed(client: Client, admin_user: User) -> None:
    secret = with_codes(client)
    guesser = Client()
    sign_in(guesser)
    for guess in range(5):
        refused_run = guesser.post(reverse("mfa_authenticate"), {"code": f"00000{guess}"})
        assert refused_run.status_code in {422, 302}
    refused_response = guesser.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert (refused_response.status_code, "Too many" in text(refused_response)) == (429, True)


@pytest.mark.parametrize("page", ["mfa_reauthenticate", "mfa_reauthenticate_webauthn"])
def test_another_way_to_confirm_does_not_forget_wrong_passwords(
    client: Client, admin_user: User, page: str
) -> None:
    """With a stolen session, the password could otherwise be guessed without end."""
    sign_in(client)
    for guess in ("correct horse 1", "correct horse 2"):
        client.post(reverse("account_reauthenticate"), {"password": guess})
    for _ in range(3):
        # Without a second factor it redirects to the password.
        assert client.post(reverse(page), {"credential": "{}"}).status_code == 302
    response = client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    assert response.headers["Location"] == reverse("mfa_index"), "too many attempts"
    page_after = client.get(reverse("mfa_activate_totp"))
    assert page_after.status_code == 302, "still not confirmed"


def test_a_wrong_passkey_does_not_forget_wrong_codes(client: Client, admin_user: User) -> None:
    secret = with_codes(client)
    data = {"name": "x", "credential": {}}
    Authenticator.objects.create(user=admin_user, type="webauthn", data=data)
    for guess in range(3):
        client.post(reverse("mfa_reauthenticate"), {"code": f"00000{guess}"})
    for _ in range(2):
        client.post(reverse("mfa_reauthenticate_webauthn"), {"credential": "{}"})
    response = client.post(reverse("mfa_reauthenticate"), {"code": code_of(secret, 1)})
    assert response.headers["Location"] == reverse("mfa_index"), "too many attempts"


def test_a_recovery_code_replaces_the_second_factor_once(client: Client, admin_user: User) -> None:
    with_codes(client)
    codes = re.findall(r"^\d{8}$", text(client.get(reverse("mfa_download_recovery_codes"))), re.M)
    assert len(codes) == 10
    for expected in (302, 429):
        browser = Client()
        sign_in(browser)
        response = browser.post(reverse("mfa_authenticate"), {"code": codes[0]})
        assert response.status_code == expected


def test_secrets_are_encrypted_and_follow_a_rotation(
    client: Client, admin_user: User, settings: Any
) -> None:
    secret = with_codes(client)
    assert secret not in json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *old]
    rotate_temporary_rows()
    settings.ENCRYPTION_KEYS = settings.ENCRYPTION_KEYS[:1]
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert TwoFactorAdapter().decrypt(stored) == secret


def test_changes_are_in_the_audit_log(client: Client, admin_user: User) -> None:
    with_codes(client)
    change = Change.objects.filter(kind="user").latest("pk")
    assert "two_factor" in str(change.__dict__)
    assert change.actor == "ada"


def test_an_admin_removes_another_users_factors(client: Client, admin_user: User) -> None:
    with_codes(client)
    assert client.post(reverse("user-two-factor", args=[admin_user.pk])).status_code == 302
    assert not Authenticator.objects.exists()
    assert sign_in(Client()).headers["Location"] == reverse("overview")


def test_another_users_passkey_is_not_removed(client: Client, admin_user: User) -> None:
    other = User.objects.create_user("bob")
    key = Authenticator.objects.create(user=other, type="webauthn", data={"name": "x"})
    confirmed(client)
    assert client.post(reverse("mfa_remove_webauthn", args=[key.pk])).status_code == 404


def test_a_forged_passkey_cannot_sign_in(client: Client, admin_user: User) -> None:
    options = client.get(reverse("mfa_login_webauthn"), headers={"accept": "application/json"})
    assert options.json()["request_options"]["publicKey"]["challenge"]
    made_up = {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}}
    for credential in (json.dumps(made_up), "{}", "x"):
        response = client.post(reverse("mfa_login_webauthn"), {"credential": credential})
        assert response.status_code == 302
        assert client.get(reverse("overview")).status_code == 302


# --- the policy that a second factor is required --------------------------------------------


@pytest.fixture
def two_factor_required(settings: Any) -> Any:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "console.two_factor_policy.TwoFactorRequired"]
    settings.REQUIRE_TWO_FACTOR = "everyone"
    return settings


def test_a_user_without_a_required_second_factor_can_only_set_it_up(
    two_factor_required: Any, admin_user: User
) -> None:
    client = Client()
    assert sign_in(client).status_code == 302
    for url in (reverse("overview"), reverse("providers"), reverse("playground")):
        assert client.get(url).headers["Location"] == reverse("mfa_index"), url
    part = client.get(reverse("overview"), headers={"hx-request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (403, reverse("mfa_index"))
    api = client.get("/api/settings")
    assert api.status_code == 403
    assert "two-factor" in api.json()["detail"]
    page = client.get(reverse("mfa_index"))
    assert "Two-factor authentication is required" in text(page)
    with_codes(client)
    assert client.get(reverse("overview")).status_code == 200
    assert client.get("/api/settings").status_code == 200
    # Signed out, the pages of sign-in work.
    client.post(reverse("sign-out"))
    assert sign_in(client).headers["Location"] == reverse("mfa_authenticate")


def test_a_factor_may_be_required_of_admins_only(
    two_factor_required: Any, admin_user: User
) -> None:
    two_factor_required.REQUIRE_TWO_FACTOR = "admins"
    User.objects.create_user("vic", password=PASSWORD)
    viewer = Client()
    viewer.post(reverse("sign-in"), {"username": "vic", "password": PASSWORD})
    assert viewer.get(reverse("overview")).status_code == 200
    client = Client()
    sign_in(client)
    assert client.get(reverse("overview")).headers["Location"] == reverse("mfa_index")


def test_recovery_codes_alone_do_not_count_as_a_factor(
    two_factor_required: Any, admin_user: User, client: Client
) -> None:
    sign_in(client)
    Authenticator.objects.create(user=admin_user, type=Authenticator.Type.RECOVERY_CODES, data={})
    assert client.get(reverse("overview")).headers["Location"] == reverse("mfa_index")


def test_sign_in_at_an_identity_provider_is_exempt(
    two_factor_required: Any, admin_user: User, client: Client
) -> None:
    client.force_login(admin_user)
    assert client.get(reverse("overview")).status_code == 302
    session = client.session
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": 1.0}]
    session.save()
    assert client.get(reverse("overview")).status_code == 200


def test_keys_need_no_second_factor(two_factor_required: Any, admin_user: User) -> None:
    two_factor_required.MASTER_KEY = "master-key-0123456789-abcdef"
    bearer = Client(headers={"authorization": f"Bearer {two_factor_required.MASTER_KEY}"})
    assert bearer.get("/api/settings").status_code == 200
