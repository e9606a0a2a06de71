"""Accounts: roles, the body access grant, and the last admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from console import accounts
from console.access import is_admin, may_read_bodies

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


@pytest.fixture
def admin_user() -> User:
    return User.objects.create_superuser("ada", password=PASSWORD)


@pytest.fixture
def admin_client(client: Client, admin_user: User) -> Client:
    client.force_login(admin_user)
    return client


def reload_user(user: User) -> User:
    return User.objects.get(pk=user.pk)


def create_user(name: str = "vic", **form: Any) -> User:
    return accounts.create_account(name, PASSWORD, **{"role": "viewer", **form})


def test_an_admin_adds_a_viewer(admin_client: Client) -> None:
    form = {"username": "vic", "password": PASSWORD, "role": "viewer"}
    assert admin_client.post(reverse("user-add"), form).status_code == 302
    viewer_user = User.objects.get(username="vic")
    assert not is_admin(viewer_user)
    assert not may_read_bodies(viewer_user)
    assert viewer_user.check_password(PASSWORD)
    assert viewer_user.password.startswith("argon2$argon2id$")


def test_a_viewer_may_be_granted_bodies(admin_client: Client) -> None:
    viewer_user = create_user()
    form = {"role": "viewer", "bodies": "on"}
    assert admin_client.post(reverse("user-edit", args=[viewer_user.pk]), form).status_code == 302
    assert may_read_bodies(reload_user(viewer_user))
    admin_client.post(reverse("user-edit", args=[viewer_user.pk]), {"role": "viewer"})
    assert not may_read_bodies(reload_user(viewer_user))


def test_a_viewer_becomes_admin_and_back(admin_client: Client) -> None:
    viewer_user = create_user()
    admin_client.post(reverse("user-edit", args=[viewer_user.pk]), {"role": "admin"})
    assert is_admin(reload_user(viewer_user))
    admin_client.post(reverse("user-edit", args=[viewer_user.pk]), {"role": "viewer"})
    assert not is_admin(reload_user(viewer_user))


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"username": "ADA"}, "username"),
        ({"username": "no spaces"}, "username"),
        ({"password": "short"}, "password"),
        ({"password": "newperson1", "username": "newperson"}, "password"),
        ({"role": "king"}, "role"),
    ],
)
def test_an_invalid_account_shows_the_error_at_its_field(
    admin_client: Client, form: dict[str, str], field: str
) -> None:
    if field == "password" and "username" in form:
        form = {**form, "password": "password"}
    response = admin_client.post(
        reverse("user-add"), {"username": "vic", "password": PASSWORD, "role": "viewer", **form}
    )
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert PASSWORD not in response.content.decode(), "a password is never rendered back"


@pytest.mark.parametrize(
    ("page", "form"),
    [("user-edit", {"role": "viewer"}), ("user-active", {"active": "no"})],
    ids=["demoted", "deactivated"],
)
def test_the_last_admin_cannot_be_demoted(
    admin_client: Client, admin_user: User, page: str, form: dict[str, str]
) -> None:
    other = create_user("bob", role="admin")
    accounts.set_active(other, active=False)
    response = admin_client.post(reverse(page, args=[admin_user.pk]), form)
    assert response.status_code == 422
    assert "only admin" in response.content.decode()
    assert is_admin(reload_user(admin_user))


def test_the_last_admin_cannot_be_removed(admin_client: Client, admin_user: User) -> None:
    other = create_user("bob", role="admin")
    assert (
        admin_client.post(reverse("user-edit", args=[other.pk]), {"role": "viewer"}).status_code
        == 302
    )
    with pytest.raises(accounts.LastAdmin):
        accounts.set_role(reload_user(admin_user), role="viewer", bodies=False)


def test_a_deactivated_user_is_signed_out_immediately(admin_client: Client) -> None:
    viewer_user = create_user()
    theirs = Client()
    theirs.force_login(viewer_user)
    assert theirs.get(reverse("connect")).status_code == 200
    admin_client.post(reverse("user-active", args=[viewer_user.pk]), {"active": "no"})
    assert theirs.get(reverse("connect")).status_code == 302
    admin_client.post(reverse("user-active", args=[viewer_user.pk]), {"active": "yes"})
    assert reload_user(viewer_user).is_active


def test_a_password_reset_ends_the_users_sessions(admin_client: Client) -> None:
    viewer_user = create_user()
    theirs = Client()
    theirs.force_login(viewer_user)
    url = reverse("user-password", args=[viewer_user.pk])
    assert admin_client.post(url, {"password": "short"}).status_code == 422
    assert admin_client.post(url, {"password": "another long one"}).status_code == 302
    assert theirs.get(reverse("connect")).status_code == 302
    assert reload_user(viewer_user).check_password("another long one")


@pytest.mark.parametrize("name", ["users", "user-add", "settings", "import"])
def test_a_viewer_cannot_open_the_users_page(client: Client, admin_user: User, name: str) -> None:
    client.force_login(create_user())
    assert client.get(reverse(name)).status_code == 403


@pytest.mark.parametrize("name", ["user-edit", "user-password", "user-active"])
def test_a_viewer_cannot_change_users(client: Client, admin_user: User, name: str) -> None:
    client.force_login(create_user())
    form = {"role": "viewer", "password": "another long one", "active": "no"}
    assert client.post(reverse(name, args=[admin_user.pk]), form).status_code == 403
    assert is_admin(reload_user(admin_user))
    assert reload_user(admin_user).check_password(PASSWORD)


def test_the_list_shows_role_and_grant(admin_client: Client) -> None:
    create_user("reader", bodies=True)
    page = admin_client.get(reverse("users")).content.decode()
    assert page.count("can read") == 2
    assert "viewer" in page
    assert "argon2" not in page


def test_the_name_of_a_user_leads_to_its_page(admin_client: Client) -> None:
    """As in all other lists."""
    user = create_user("vic")
    page = admin_client.get(reverse("users")).content.decode()
    assert f'<a href="{reverse("user-edit", args=[user.pk])}">vic</a>' in page
