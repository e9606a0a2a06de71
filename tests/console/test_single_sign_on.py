"""Sign-in through an OpenID Connect provider: accounts, roles and teams from claims."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.urls import reverse

from console import accounts
from console.single_sign_on.checks import identity_provider
from console.single_sign_on.claims import groups_of
from console.single_sign_on.discovery import find_problem
from gateway.config import oidc as oidc_settings
from gateway.config.oidc import OidcSettings, read_oidc_settings
from gateway.models import Team
from tests.certificates import CertificateAuthority
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, Provider, oidc_provider

pytestmark = pytest.mark.django_db

LOGIN = "/console/sign-in/sso/oidc"


@pytest.fixture(scope="module")
def _provider() -> Iterator[Provider]:
    with oidc_provider() as running:
        yield running


@pytest.fixture
def provider(_provider: Provider, settings: Any) -> Provider:
    _provider.claims = {"sub": "u1", "preferred_username": "mia", "groups": ["staff"]}
    _provider.document = {}
    configure(settings, _provider)
    User.objects.create_superuser("ada", password=None)
    return _provider


def configure(settings: Any, provider: Provider, **values: Any) -> OidcSettings:
    oidc = OidcSettings(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        name="Acme",
        scopes=("openid", "profile"),
        groups_claim="groups",
        role_groups={},
        team_groups={},
        default_role="member",
        domains=(),
        create_users=True,
        password_login=True,
    )._replace(**values)
    app = {
        "provider_id": "oidc",
        "name": oidc.name,
        "client_id": CLIENT_ID,
        "secret": CLIENT_SECRET,
        "settings": {"server_url": oidc.issuer},
    }
    settings.OIDC = oidc
    settings.SOCIALACCOUNT_PROVIDERS = {
        "openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app], "SCOPE": list(oidc.scopes)}
    }
    return oidc


def sign_in(client: Client, *, trusted: Any = True, **query: str) -> Any:
    """Sign in at the provider and return; `trusted` are the authorities the client trusts."""
    redirect = client.get(LOGIN, query)
    assert redirect.status_code == 302, redirect.content
    with httpx.Client(verify=trusted) as browser:
        back = browser.get(redirect.headers["Location"]).headers["location"]
    return client.get(back.removeprefix("http://testserver"))


def text(response: Any) -> str:
    return response.content.decode()


def test_a_new_user_gets_an_account_and_reuses_it(client: Client, provider: Provider) -> None:
    assert f'href="{LOGIN}"' in text(client.get(reverse("sign-in")))
    assert sign_in(client).headers["Location"] == reverse("personal-keys")
    member_user = User.objects.get(username="mia")
    assert accounts.stored_role(member_user) == "member"
    assert not member_user.has_usable_password()
    assert client.session.get_expiry_age() <= 7 * 24 * 3600
    assert client.get(reverse("personal-keys")).status_code == 200
    second = Client()
    assert sign_in(second, next=reverse("connect")).headers["Location"] == reverse("connect")
    assert User.objects.count() == 2


def test_an_account_of_the_same_name_is_not_reused(client: Client, provider: Provider) -> None:
    provider.claims["preferred_username"] = "Ada"
    sign_in(client)
    assert client.get("/console/settings").status_code == 403
    assert sorted(User.objects.values_list("username", flat=True)) == ["Ada-2", "ada"]


def connect_query(client: Client) -> dict[str, str]:
    """The query of the link that connects the account of a signed-in user."""
    (query,) = re.findall(rf'href="{LOGIN}\?([^"]+)"', text(client.get(reverse("mfa_index"))))
    return dict(parse_qsl(unescape(query)))


def test_only_its_owner_can_connect_an_account(client: Client, provider: Provider) -> None:
    admin_user = User.objects.get(username="ada")
    anonymous_client = Client()
    assert anonymous_client.get(LOGIN, {"process": "connect"}).status_code == 302
    assert anonymous_client.get(reverse("mfa_index")).status_code == 302, "not signed in"
    assert not SocialAccount.objects.exists()
    client.force_login(admin_user)
    query = connect_query(client)
    assert query["process"] == "connect"
    assert sign_in(client, **query).headers["Location"] == reverse("mfa_index")
    assert "connected" in text(client.get(reverse("mfa_index")))
    browser = Client()
    assert sign_in(browser).headers["Location"] == reverse("overview")
    assert User.objects.count() == 1
    client.post(reverse("security-disconnect"))
    assert SocialAccount.objects.exists(), "ada has no password"
    admin_user.set_password("correct horse battery")
    admin_user.save()
    client.force_login(admin_user)
    client.post(reverse("security-disconnect"))
    assert not SocialAccount.objects.exists()


def test_a_page_of_another_site_cannot_connect_an_account(
    client: Client, provider: Provider
) -> None:
    """A link elsewhere would connect the account that is signed in at the provider just now."""
    client.force_login(User.objects.get(username="ada"))
    other = Client()
    other.force_login(User.objects.create_superuser("eve", password=None))
    forged_queries: list[dict[str, str]] = [
        {"process": "connect"},
        {"process": "connect", "token": ""},
        {"process": "connect", "token": "\u00e9"},
        connect_query(other),
    ]
    for query in forged_queries:
        response = client.get(LOGIN, query)
        assert (response.status_code, response.headers["Location"]) == (302, reverse("mfa_index"))
        assert "socialaccount_states" not in client.session
    assert not SocialAccount.objects.exists()


def test_groups_decide_role_and_team_at_each_sign_in(
    client: Client, provider: Provider, settings: Any
) -> None:
    roles = {"staff": "viewer", "ml": "editor"}
    configure(settings, provider, role_groups=roles, team_groups={"ml": "Search"})
    team = Team.objects.create(name="Search")
    sign_in(client)
    member_user = User.objects.get(username="mia")
    assert accounts.stored_role(member_user) == "viewer"
    provider.claims["groups"] = ["staff", "ml"]
    sign_in(Client())
    member_user = User.objects.get(username="mia")
    assert (accounts.stored_role(member_user), member_user.account.team) == ("editor", team)
    provider.claims["groups"] = []
    sign_in(Client())
    member_user = User.objects.get(username="mia")
    assert (accounts.stored_role(member_user), member_user.account.team) == ("member", None)


@pytest.mark.parametrize(
    ("values", "claims", "reason"),
    [
        ({"default_role": None, "role_groups": {"ml": "editor"}}, {}, "groups"),
        ({"domains": ("acme.example",)}, {"email": "mia@other.example"}, "email"),
        (
            {"domains": ("acme.example",)},
            {"email": "mia@acme.example", "email_verified": False},
            "email",
        ),
        # Amazon Cognito's userinfo has booleans as text.
        (
            {"domains": ("acme.example",)},
            {"email": "mia@acme.example", "email_verified": "false"},
            "email",
        ),
        ({"create_users": False}, {}, "no account"),
    ],
    ids=["group", "domain", "unverified", "unverified-text", "no-account"],
)
def test_a_user_without_access_sees_the_reason(
    client: Client, provider: Provider, settings: Any, values: Any, claims: Any, reason: str
) -> None:
    configure(settings, provider, **values)
    provider.claims |= claims
    response = sign_in(client)
    assert response.status_code == 403
    assert reason in text(response)
    assert User.objects.count() == 1


def test_a_deactivated_account_stays_out(client: Client, provider: Provider) -> None:
    sign_in(client)
    accounts.set_active(User.objects.get(username="mia"), active=False)
    response = sign_in(Client())
    assert (response.status_code, "deactivated" in text(response)) == (403, True)


def test_claims_of_two_users_are_refused(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.token

    def of_another(*args: Any) -> Any:
        provider.claims["sub"] = "u2"
        response = token(*args)
        provider.claims["sub"] = "u1"
        return response

    monkeypatch.setattr(provider, "token", of_another)
    assert sign_in(client).status_code == 403


def test_a_person_without_a_subject_is_refused(client: Client, provider: Provider) -> None:
    """All of them would share one account, whose subject is the text "None"."""
    provider.claims["sub"] = None
    assert sign_in(client).status_code in {401, 403}
    assert not SocialAccount.objects.exists()


@pytest.mark.parametrize("claims", [{}, {"nonce": "of-another-sign-in"}, {"nonce": None}])
def test_an_id_token_of_another_sign_in_is_refused(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    """OpenID Connect Core, 3.1.3.7 (11): the nonce binds the ID token to the request."""
    monkeypatch.setattr(provider, "id_token_claims", lambda: claims)
    assert sign_in(client).status_code == 403
    assert not SocialAccount.objects.exists()


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": [CLIENT_ID]}, 302),
        ({"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID}, 302),
        ({"aud": [CLIENT_ID, "other"]}, 403),
        ({"aud": [CLIENT_ID, "other"], "azp": "other"}, 403),
        ({"azp": "other"}, 403),
    ],
)
def test_an_id_token_for_another_client_is_refused(
    client: Client,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
    claims: dict[str, Any],
    status: int,
) -> None:
    """OpenID Connect Core, 3.1.3.7 (4, 5): `azp` is the client that the token was issued to."""
    own_claims = provider.id_token_claims
    monkeypatch.setattr(provider, "id_token_claims", lambda: {**own_claims(), **claims})
    assert sign_in(client).status_code == status
    assert SocialAccount.objects.exists() is (status == 302)


def test_a_response_without_an_id_token_is_refused(
    client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = provider.token

    def without_id_token(*args: Any) -> Any:
        return {name: value for name, value in token(*args).items() if name != "id_token"}

    monkeypatch.setattr(provider, "token", without_id_token)
    assert sign_in(client).status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_link_does_not_choose_parameters_of_the_sign_in(
    client: Client, provider: Provider
) -> None:
    """Any page may link to the sign-in page: what it asks for is this server's decision."""
    parameters = "redirect_uri=http://evil.test/&response_type=token&nonce=n&prompt=none"
    response = client.get(LOGIN, {"auth_params": parameters, "scope": "offline_access,admin"})
    query = dict(parse_qsl(urlsplit(response.headers["Location"]).query))
    assert query["redirect_uri"] == f"http://testserver{LOGIN}/callback"
    assert query["response_type"] == "code"
    assert set(query["scope"].split()) == {"openid", "profile"}
    assert len(query["nonce"]) >= 32
    assert "prompt" not in query


@pytest.mark.parametrize(("length", "status"), [(191, 302), (192, 502)])
def test_a_subject_that_cannot_be_stored_is_no_internal_error(
    client: Client, provider: Provider, length: int, status: int
) -> None:
    provider.claims["sub"] = "x" * length
    assert sign_in(client).status_code == status


def test_a_forged_or_cancelled_callback_does_not_sign_in(
    client: Client, provider: Provider
) -> None:
    assert client.get(f"{LOGIN}/callback?code=code-1&state=x").status_code == 401
    location = client.get(LOGIN).headers["Location"]
    state = location.split("state=")[1].split("&")[0]
    response = client.get(f"{LOGIN}/callback?error=access_denied&state={state}")
    assert (response.status_code, "cancelled" in text(response)) == (401, True)


def test_an_unusable_provider_has_a_page_and_a_reason(
    client: Client, provider: Provider, settings: Any
) -> None:
    oidc = configure(settings, provider)
    assert find_problem(oidc) == ""
    assert "another issuer" in find_problem(oidc._replace(issuer=f"{provider.issuer}/a"))
    provider.document = {"token_endpoint": None}
    assert "no token_endpoint" in find_problem(oidc)
    provider.document = {"scopes_supported": ["openid"]}
    assert "scope profile" in find_problem(oidc)
    unreachable_provider = configure(settings, provider, issuer="http://127.0.0.1:1")
    assert "Connection refused" in find_problem(unreachable_provider)
    response = client.get(LOGIN)
    (error,) = identity_provider()
    assert "Connection refused" in error.msg
    assert (response.status_code, "Acme cannot be used" in text(response)) == (502, True)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_provider_of_a_private_authority_is_trusted(
    client: Client,
    provider: Provider,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    """It uses the same environment variables as the providers of models."""
    authority = CertificateAuthority()
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "ca.pem").write_text(authority.pem)
    subprocess.run(["openssl", "rehash", folder], check=True, capture_output=True)
    browser = ssl.create_default_context(cadata=authority.pem)
    with oidc_provider(authority.issue().server_context(tmp_path)) as private:
        oidc = configure(settings, private)
        assert "certificate verify failed" in find_problem(oidc)
        path = folder if variable == "SSL_CERT_DIR" else folder / "ca.pem"
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.setenv(variable, str(path))
        assert find_problem(oidc) == ""
        response = sign_in(client, trusted=browser)
    assert response.headers["Location"] == reverse("personal-keys")
    assert User.objects.filter(username="mia").exists()


def test_passwords_can_be_switched_off(client: Client, provider: Provider, settings: Any) -> None:
    configure(settings, provider, password_login=False)
    assert 'name="password"' not in text(client.get(reverse("sign-in")))
    response = client.post(reverse("sign-in"), {"username": "ada", "password": "x"})
    assert response.status_code == 403


def test_without_a_provider_single_sign_on_is_absent(client: Client) -> None:
    User.objects.create_superuser("ada", password=None)
    assert client.get(LOGIN).status_code == 404
    assert LOGIN not in text(client.get(reverse("sign-in")))


def test_a_claim_may_be_nested() -> None:
    oidc = OidcSettings._make([""] * 12)._replace(groups_claim="realm_access.roles")
    assert groups_of({"realm_access": {"roles": ["a", 1]}}, oidc) == ["a"]
    assert groups_of({"realm_access.roles": "b"}, oidc) == ["b"]
    assert groups_of({"realm_access": []}, oidc) == []


GOOD = {"ISSUER": "https://login.example/", "CLIENT_ID": "a", "CLIENT_SECRET": "b"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ISSUER": "login.example"}, "DRAGOMAN_OIDC_ISSUER must be an https URL"),
        ({"ISSUER": "http://login.example"}, "DRAGOMAN_OIDC_ISSUER must be an https URL"),
        ({"CLIENT_SECRET": ""}, "DRAGOMAN_OIDC_CLIENT_SECRET is required"),
        ({"ROLE_GROUPS": "staff"}, "DRAGOMAN_OIDC_ROLE_GROUPS must be a list"),
        ({"ROLE_GROUPS": "staff"}, 'commas need {"cn=ml,ou=groups,dc=example": "editor"}'),
        ({"ROLE_GROUPS": '{"staff": "king"}'}, "'king' is not one of admin, editor"),
        ({"ROLE_GROUPS": '{"staff": '}, "DRAGOMAN_OIDC_ROLE_GROUPS begins with { but is not JSON"),
        ({"ROLE_GROUPS": '{"a": "editor", "b": ["x"]}'}, "which is wrong at 'b'"),
        ({"TEAM_GROUPS": '{"a": "Search", " a": "Ads"}'}, "contains the group 'a' twice"),
        ({"TEAM_GROUPS": '{"a": {"b": "c"}}'}, "DRAGOMAN_OIDC_TEAM_GROUPS must map names"),
        ({"ROLE_GROUPS": "staff=king"}, "'king' is not one of admin, editor, viewer, member"),
        ({"DEFAULT_ROLE": "boss"}, "DRAGOMAN_OIDC_DEFAULT_ROLE or none: 'boss'"),
        ({"DEFAULT_ROLE": "none"}, "no one could sign in"),
    ],
)
def test_wrong_settings_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], message: str
) -> None:
    for name, value in {**GOOD, **changed}.items():
        monkeypatch.setenv(f"DRAGOMAN_OIDC_{name}", value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(message)):
        read_oidc_settings()


def test_groups_may_be_ldap_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GOOD, "ROLE_GROUPS": "cn=ml;ou=x=editor, staff = member"}.items():
        monkeypatch.setenv(f"DRAGOMAN_OIDC_{name}", value)
    oidc = read_oidc_settings()
    assert oidc is not None
    assert oidc.role_groups == {"cn=ml;ou=x": "editor", "staff": "member"}
    assert oidc.issuer == "https://login.example"
    monkeypatch.setattr(oidc_settings.env.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ImproperlyConfigured, match=r"dragoman\[sso\]"):
        read_oidc_settings()


def test_groups_with_commas_are_given_as_json(
    client: Client, provider: Provider, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admins, search = "cn=admins,ou=groups,dc=example", "cn=search,ou=groups,dc=example"
    for name, value in {
        **GOOD,
        "ROLE_GROUPS": json.dumps({admins: "admin", search: "editor"}),
        "TEAM_GROUPS": json.dumps({search: "Search, Ads"}),
    }.items():
        monkeypatch.setenv(f"DRAGOMAN_OIDC_{name}", value)
    oidc = read_oidc_settings()
    assert oidc is not None
    assert oidc.role_groups == {admins: "admin", search: "editor"}
    configure(settings, provider, role_groups=oidc.role_groups, team_groups=oidc.team_groups)
    team = Team.objects.create(name="Search, Ads")
    provider.claims["groups"] = [search, "cn=admins"]
    sign_in(client)
    member_user = User.objects.get(username="mia")
    assert accounts.stored_role(member_user) == "editor"
    assert member_user.account.team == team
