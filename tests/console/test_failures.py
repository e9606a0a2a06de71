"""Error pages, and the redirect back to the page after a session has ended."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client

from console.pages import overview

PAGES = (
    "/nothing",
    "/console/nothing",
    "/console/requests/req_nothing",
    "/console/teams/999999999",
)


@pytest.fixture
def admin_client(db: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(get_user_model().objects.create_superuser("ada"))
    return client


@pytest.mark.parametrize("path", PAGES)
def test_an_unknown_page_is_a_404_with_the_navigation(admin_client: Client, path: str) -> None:
    response = admin_client.get(path)
    assert response.status_code == 404
    html = response.content.decode()
    assert "Go to your start page" in html
    assert "matches the given query" not in html
    assert 'aria-label="Main"' in html


@pytest.mark.django_db
def test_an_anonymous_user_gets_an_error_page_without_navigation() -> None:
    response = Client().get("/nothing")
    assert response.status_code == 404
    html = response.content.decode()
    assert "Page not found" in html
    assert 'aria-label="Main"' not in html


def test_an_unknown_path_of_the_api_is_json(admin_client: Client) -> None:
    response = admin_client.get("/api/nothing")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("application/json")


def test_an_internal_error_page_hides_the_exception(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(overview, "render_page_or_part", fault)
    response = admin_client.get("/console/")
    assert response.status_code == 500
    html = response.content.decode()
    assert "Something went wrong" in html
    assert "secret detail" not in html
    assert "/static/css/" in html


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_an_unavailable_database_is_a_503(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, content_type: str
) -> None:
    def fault(*_: Any) -> None:
        raise OperationalError("could not connect to 10.0.0.7")

    monkeypatch.setattr(overview, "render_page_or_part", fault)
    response = admin_client.get("/console/", CONTENT_TYPE=content_type)
    assert response.status_code == 503
    assert response["Content-Type"].startswith(content_type)
    assert response["Retry-After"]
    assert "the database is not responding" in response.content.decode()
    assert "10.0.0.7" not in response.content.decode()


def test_an_error_page_needs_no_database(django_assert_num_queries: Any, rf: Any, db: None) -> None:
    from console.pages.failures import server_error

    with django_assert_num_queries(0):
        assert server_error(rf.get("/console/")).status_code == 500


@pytest.mark.django_db
def test_a_form_without_its_token_has_a_page() -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post("/console/sign-in", {"username": "ada"})
    assert response.status_code == 403
    assert "The form has expired" in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://testserver/console/keys/7?x=1", "%2Fconsole%2Fkeys%2F7%3Fx%3D1"),
        ("https://elsewhere.example/", "%2Fconsole%2F"),
        ("", "%2Fconsole%2F"),
    ],
    ids=["same site", "other site", "none"],
)
def test_after_signing_in_a_form_is_shown_again(referer: str, back: str) -> None:
    """The target of a form may not be a page: `/keys/7/revoke` has no GET."""
    response = Client().post(
        "/console/keys/7/revoke", headers={"referer": referer} if referer else {}
    )
    assert response.status_code == 302
    assert response["Location"].endswith(f"sign-in?next={back}")
