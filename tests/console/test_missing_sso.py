"""Without the extra `sso`, its existing tables still protect sign-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import connection
from django.test import Client
from django.urls import reverse

from console import accounts
from gateway.store import second_factors

PASSWORD = "correct horse battery"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def admin_user(db: None, settings: Any) -> User:
    user = User.objects.create_superuser("ada", password=PASSWORD)
    Authenticator.objects.create(user=user, type="totp", data={"secret": "x"})
    Authenticator.objects.create(user=user, type="recovery_codes", data={})
    reverse("overview")  # loads the URLs, which other tests need with those of the extra
    settings.SSO_INSTALLED = False
    return user


def sign_in(client: Client, name: str) -> Any:
    return client.post(reverse("sign-in"), {"username": name, "password": PASSWORD})


def test_a_password_alone_does_not_replace_a_second_factor(
    client: Client, admin_user: User
) -> None:
    response = sign_in(client, "ada")
    assert response.status_code == 403
    assert "second factor" in response.content.decode()
    assert client.get(reverse("overview")).status_code == 302, "not signed in"
    User.objects.create_user("mia", password=PASSWORD)
    assert sign_in(client, "mia").status_code == 302
    assert "_auth_user_id" in client.session


def test_checks_count_the_accounts_and_name_the_command(admin_user: User, settings: Any) -> None:
    checks = [m for m in run_checks(include_deployment_checks=True) if m.id == "gateway.E007"]
    assert len(checks) == 1
    assert "1 account has a second factor" in checks[0].msg
    assert "pip install 'dragoman[sso]'" in checks[0].msg
    User.objects.update(is_active=False)
    assert second_factors.missing_package_warning() == ""
    User.objects.update(is_active=True)
    settings.SSO_INSTALLED = True
    assert second_factors.missing_package_warning() == ""


def test_an_admin_removes_factors_and_accounts(client: Client, admin_user: User) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    client.force_login(root)
    assert accounts.two_factor_kinds(admin_user) == ["recovery_codes", "totp"]
    client.post(reverse("user-two-factor", args=[admin_user.pk]))
    assert not Authenticator.objects.exists()
    assert sign_in(Client(), "ada").status_code == 302
    SocialAccount.objects.create(user=admin_user, provider="oidc", uid="u1")
    Authenticator.objects.create(user=admin_user, type="totp", data={})
    accounts.delete(admin_user)
    connection.check_constraints()
    assert not SocialAccount.objects.exists()


# In `sitecustomize`: the package is not found, as if it was uninstalled.
HIDDEN = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, *more: None if name.partition(".")[0] == "allauth" else find(name, *more)
)
"""
BEFORE = """
from django.contrib.auth.models import User
from gateway.management.start.bootstrap import prepare
prepare(4000)
from allauth.mfa.models import Authenticator
ada = User.objects.create_superuser("ada", password=PASSWORD)
Authenticator.objects.create(user=ada, type="totp", data={"secret": "x"})
"""
AFTER = """
from django.test import Client
from gateway.management.start.bootstrap import prepare
notes = prepare(4000).notes
client = Client(headers={"host": "localhost"})
page = client.get("/console/sign-in")
answer = client.post("/console/sign-in", {"username": "ada", "password": PASSWORD})
print(json.dumps([notes, page.status_code, answer.status_code]))
"""


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    start = f"import json, django\nPASSWORD = {PASSWORD!r}\ndjango.setup()\n"
    return subprocess.run(
        [sys.executable, "-c", start + code],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
            "DJANGO_SETTINGS_MODULE": "gateway.config.settings",
            "DRAGOMAN_DATA_DIR": str(folder / "data"),
            "DRAGOMAN_FIND_LOCAL_SERVERS": "false",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_start_without_the_package_names_it(tmp_path: Path) -> None:
    before = run(BEFORE, tmp_path)
    assert before.returncode == 0, before.stderr
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    after = run(AFTER, tmp_path)
    assert after.returncode == 0, after.stderr
    notes, page, response = json.loads(after.stdout.splitlines()[-1])
    assert any("pip install 'dragoman[sso]'" in note for note in notes), notes
    assert (page, response) == (200, 403)
    required = run("", tmp_path, DRAGOMAN_REQUIRE_TWO_FACTOR="admins")
    assert "DRAGOMAN_REQUIRE_TWO_FACTOR needs a package" in required.stderr
