"""Sign-in and sign-out: credentials, rate limit and redirect."""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from console import hashing
from console.models import Throttle
from console.models.throttle import MAX_ROWS, WINDOW
from console.pages.session.views import MAX_PER_ADDRESS, MAX_PER_NAME, MAX_PER_NAME_AND_ADDRESS
from gateway.config import settings as product

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def admin_user(db: None) -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


def sign_in(client: Client, name: str = "ada", password: str = PASSWORD, **more: str):
    address = more.pop("address", "127.0.0.1")
    body = {"username": name, "password": password, **more}
    return client.post(reverse("sign-in"), body, REMOTE_ADDR=address)


def test_a_user_signs_in_with_a_password(client: Client) -> None:
    response = sign_in(client)
    assert response.status_code == 302
    assert response.headers["Location"] == reverse("overview")
    cookie = client.cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_a_wrong_password_does_not_reveal_the_name(client: Client) -> None:
    known_name, unknown = sign_in(client, password="x"), sign_in(client, name="bob", password="x")
    assert (known_name.status_code, unknown.status_code) == (422, 422)
    for response in (known_name, unknown):
        assert "Incorrect username or password" in response.content.decode()
    assert 'value="ada"' in known_name.content.decode(), "what was typed stays"


def test_a_wrong_password_is_not_shown_again(client: Client) -> None:
    assert "hunter-2-hunter" not in sign_in(client, password="hunter-2-hunter").content.decode()


def test_an_inactive_user_cannot_sign_in(client: Client, admin_user: User) -> None:
    admin_user.is_active = False
    admin_user.save()
    assert sign_in(client).status_code == 422


def test_signing_in_again_after_an_expired_session_returns_to_the_page(client: Client) -> None:
    page_url = f"{reverse('settings')}?a=1&b=2"
    response = client.get(page_url)
    assert response.status_code == 302
    page = client.get(response.headers["Location"])
    assert "Sign in to continue" in page.content.decode()
    reply = sign_in(client, next=page.context["next"])
    assert reply.headers["Location"] == page_url


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("playground-history", {"Sec-Fetch-Mode": "cors"}),
        ("playground-history", {}),
        ("palette", {"HX-Request": "true"}),
    ],
)
def test_signing_in_again_leads_to_the_page_of_a_script(
    client: Client, name: str, headers: dict[str, str]
) -> None:
    """Not to the data that the script has read."""
    page_url = "/console/playground?models=demo"
    response = client.get(
        reverse(name), headers={**headers, "Referer": f"http://testserver{page_url}"}
    )
    assert response.status_code == 401
    is_json = response.headers["Content-Type"] == "application/json"
    url = response.json()["sign_in"] if is_json else response.headers["HX-Redirect"]
    assert url == f"{reverse('sign-in')}?{urlencode({'next': page_url})}"


@pytest.mark.parametrize(
    "evil",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "http:evil.example",
        "\t//evil.example",
        "evil.example",
    ],
)
def test_the_next_parameter_never_leads_to_another_host(client: Client, evil: str) -> None:
    assert sign_in(client, next=evil).headers["Location"] == reverse("overview")


def test_signing_in_starts_a_new_session(client: Client) -> None:
    session = client.session
    session["planted"] = True
    session.save()
    before = client.cookies["sessionid"].value
    sign_in(client)
    assert client.cookies["sessionid"].value != before


def test_signing_out_ends_the_session_on_the_server(client: Client) -> None:
    sign_in(client)
    stolen = client.cookies["sessionid"].value
    assert client.get(reverse("sign-out")).status_code == 405
    client.post(reverse("sign-out"))
    thief = Client()
    thief.cookies["sessionid"] = stolen
    assert thief.get(reverse("connect")).status_code == 302


def test_signing_out_requires_the_csrf_token(admin_user: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(reverse("sign-out")).status_code == 403


def test_sign_in_attempts_per_address_and_name_are_limited(client: Client) -> None:
    for _ in range(MAX_PER_NAME_AND_ADDRESS):
        assert sign_in(client, password="x").status_code == 422
    response = sign_in(client)
    assert response.status_code == 429
    assert "Try again in 10 minutes" in response.content.decode()
    assert sign_in(client, address="10.0.0.9").status_code == 302, "others are not kept out"


def test_sign_in_attempts_per_address_are_limited(client: Client) -> None:
    credentials = {"password": "x", "address": "10.0.0.9"}
    for number in range(MAX_PER_ADDRESS):
        assert sign_in(client, name=f"n{number}", **credentials).status_code == 422
    assert sign_in(client, name="other", **credentials).status_code == 429


def test_an_ipv6_network_counts_as_one_address(client: Client) -> None:
    for number in range(MAX_PER_ADDRESS):
        sign_in(client, name=f"n{number}", password="x", address=f"2001:db8::{number + 1:x}")
    assert sign_in(client, name="m", password="x", address="2001:db8::ffff").status_code == 429
    assert sign_in(client, address="2001:db8:0:1::1").status_code == 302


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_failures_through_an_unknown_proxy_do_not_block_others(
    client: Client, address: str
) -> None:
    for number in range(MAX_PER_ADDRESS + 5):
        assert sign_in(client, name=f"n{number}", password="x", address=address).status_code == 422
    assert sign_in(client, address=address).status_code == 302


def test_behind_a_trusted_proxy_a_loopback_client_address_is_limited_too(
    client: Client, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    for number in range(MAX_PER_ADDRESS):
        sign_in(client, name=f"n{number}", password="x")
    assert sign_in(client).status_code == 429


def test_sign_in_is_503_while_too_many_passwords_are_checked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_slots", threading.BoundedSemaphore(1))
    with hashing._slots:
        response = sign_in(client)
    assert response.status_code == 503
    assert "Try again in a few seconds" in response.content.decode()
    assert sign_in(client).status_code == 302


def test_passwords_are_hashed_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running, max_concurrent = 0, 0

    def verify(self: object, password: str, encoded: str) -> bool:
        nonlocal running, max_concurrent
        running += 1
        max_concurrent = max(max_concurrent, running)
        time.sleep(0.005)
        running -= 1
        return True

    monkeypatch.setattr(Argon2PasswordHasher, "verify", verify)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: hashing.QueuedArgon2().verify("x", "y"), range(16)))
    assert max_concurrent == 1


def test_passwords_are_hashed_with_argon2() -> None:
    assert product.PASSWORD_HASHERS == ["console.hashing.QueuedArgon2"]


def test_over_https_the_cookie_is_secure_and_hsts_is_sent(client: Client) -> None:
    body = {"username": "ada", "password": PASSWORD}
    response = client.post(reverse("sign-in"), body, secure=True)
    assert client.cookies["sessionid"]["secure"]
    assert "max-age=31536000" in response.headers["Strict-Transport-Security"]
    plain = sign_in(Client())
    assert "Strict-Transport-Security" not in plain.headers


def test_a_foreign_host_takes_one_line_of_the_log(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Anyone can send one; a traceback would take fifty lines each time."""
    settings.ALLOWED_HOSTS = ["gateway.example"]
    response = client.get(reverse("sign-in"), headers={"host": "evil.example"})
    assert response.status_code == 400
    (record,) = (r for r in caplog.records if r.name == "django.security.DisallowedHost")
    assert "evil.example" in record.getMessage()
    assert record.exc_info is None


def test_sign_in_attempts_per_name_are_limited_over_all_addresses(client: Client) -> None:
    limits = [("name:ada", MAX_PER_NAME)]
    for _ in range(MAX_PER_NAME - 1):
        assert Throttle.objects.take(limits) is None
    assert sign_in(client, password="x", address="10.0.0.1").status_code == 422
    assert sign_in(client, name="ADA", address="10.0.0.2").status_code == 429


def test_the_sign_in_limit_expires(client: Client) -> None:
    for _ in range(MAX_PER_NAME_AND_ADDRESS + 1):
        last = sign_in(client, password="x")
    assert last.status_code == 429
    Throttle.objects.update(window_start=timezone.now() - WINDOW)
    assert sign_in(client).status_code == 302


def test_the_sign_in_limit_expires_if_the_clock_is_set_back(client: Client) -> None:
    limits = [("name:ada", 1)]
    assert Throttle.objects.take(limits) is None
    assert Throttle.objects.take(limits) is not None
    Throttle.objects.update(window_start=timezone.now() + dt.timedelta(hours=1))
    assert Throttle.objects.take(limits) is None


def test_a_successful_sign_in_resets_the_failed_attempts(client: Client) -> None:
    for _ in range(MAX_PER_NAME_AND_ADDRESS - 1):
        sign_in(client, password="x")
    sign_in(client)
    client.post(reverse("sign-out"))
    for _ in range(MAX_PER_NAME_AND_ADDRESS - 1):
        assert sign_in(client, password="x").status_code == 422


def test_sign_in_counters_are_bounded() -> None:
    now = timezone.now()
    Throttle.objects.bulk_create(
        Throttle(key=str(number), window_start=now - dt.timedelta(seconds=number % 300), attempts=1)
        for number in range(MAX_ROWS + 1)
    )
    Throttle.objects.take([("name:x", 5)])
    assert Throttle.objects.count() < MAX_ROWS


def test_a_flood_of_names_does_not_reset_an_exhausted_limit() -> None:
    for _ in range(5):
        Throttle.objects.take([("name:x", 5)])
    now = timezone.now()
    Throttle.objects.bulk_create(
        Throttle(key=str(number), window_start=now + dt.timedelta(seconds=1), attempts=1)
        for number in range(MAX_ROWS + 1)
    )
    Throttle.objects.take([("name:y", 5)])
    assert Throttle.objects.take([("name:x", 5)]) is not None


def test_a_typed_user_name_is_not_stored(client: Client) -> None:
    sign_in(client, name="my-secret-password", password="x")
    assert not [row for row in Throttle.objects.all() if "secret" in row.key]


def test_changing_the_own_password_ends_other_sessions(client: Client) -> None:
    sign_in(client)
    other = Client()
    sign_in(other)
    body = {
        "current": PASSWORD,
        "password": "another long one",
        "confirmation": "another long one",
    }
    assert client.post(reverse("password"), body).status_code == 302
    assert client.get(reverse("password")).status_code == 200
    assert other.get(reverse("password")).status_code == 302
    assert sign_in(Client(), password="another long one").status_code == 302


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"current": "wrong"}, "current", "current password is incorrect"),
        ({"confirmation": "different one"}, "confirmation", "do not match"),
        ({"password": "short", "confirmation": "short"}, "password", "too short"),
        ({"password": "password123", "confirmation": "password123"}, "password", "too common"),
    ],
)
def test_an_invalid_password_change_shows_the_error_at_its_field(
    client: Client, change: dict[str, str], field: str, reason: str
) -> None:
    sign_in(client)
    fields = {
        "current": PASSWORD,
        "password": "another long one",
        "confirmation": "another long one",
    }
    response = client.post(reverse("password"), {**fields, **change})
    assert response.status_code == 422
    assert reason in str(response.context["form"].errors[field])


def test_the_password_page_cannot_be_used_to_guess(client: Client) -> None:
    sign_in(client)
    fields = {"current": "x", "password": "another long one", "confirmation": "another long one"}
    for _ in range(MAX_PER_NAME_AND_ADDRESS):
        client.post(reverse("password"), fields)
    response = client.post(reverse("password"), {**fields, "current": PASSWORD})
    assert "Too many attempts" in response.content.decode()


def test_session_pages_are_not_cached_by_browsers(client: Client) -> None:
    assert "no-store" in client.get(reverse("sign-in")).headers["Cache-Control"]
