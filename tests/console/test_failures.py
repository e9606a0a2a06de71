"""Error pages, and the redirect back to the page after a session has ended."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import Client
from django.urls import get_resolver, reverse

from console.pages import overview
from gateway import store

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
    assert "Page not found" in html
    assert "matches the given query" not in html
    assert 'aria-label="Main"' in html


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/console/requests/req_nothing", "requests"),
        ("/console/personal/requests/req_nothing", "personal-requests"),
        ("/console/traces/nothing", "traces"),
        ("/console/teams/999999999/delete", "teams"),
    ],
)
def test_the_page_of_a_missing_row_leads_to_its_list(
    admin_client: Client, path: str, page: str
) -> None:
    html = admin_client.get(path).content.decode()
    main = html[html.index("<main") :]
    assert f'href="{reverse(page)}"' in main
    assert f'<a href="{reverse(page)}" aria-current="page">' in html


def test_a_missing_page_leads_to_no_list_that_the_role_may_not_see(viewer_client: Client) -> None:
    html = viewer_client.get("/console/users/nothing").content.decode()
    assert "Go to your start page" in html
    assert f'href="{reverse("users")}"' not in html


def test_a_request_that_is_not_in_the_log_may_have_expired(admin_client: Client) -> None:
    html = admin_client.get("/console/requests/req_nothing").content.decode()
    assert "Requests are deleted from it after 30 days." in html
    store.set_options({"row_days": 1})
    html = admin_client.get("/console/personal/requests/req_nothing").content.decode()
    assert "Requests are deleted from it after 1 day." in html


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
def test_an_unavailable_database_is_a_503_and_one_line_in_the_log(
    admin_client: Client,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    content_type: str,
) -> None:
    def fault(*_: Any) -> None:
        raise OperationalError("could not connect to 10.0.0.7")

    monkeypatch.setattr(overview, "render_page_or_part", fault)
    response = admin_client.get("/console/", CONTENT_TYPE=content_type)
    assert response.status_code == 503
    assert response["Content-Type"].startswith(content_type)
    assert response["Retry-After"]
    assert "he database is not responding" in response.content.decode()
    assert "not affected" not in response.content.decode(), "some requests need the database"
    assert "10.0.0.7" not in response.content.decode()
    (record,) = caplog.records
    assert record.exc_info is None
    assert vars(record)["error"] == "could not connect to 10.0.0.7"


def test_a_script_of_the_console_gets_the_reason_in_its_format(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The playground said only "The server returned HTTP 503."."""

    def fault(*_: Any) -> None:
        raise OperationalError("could not connect to 10.0.0.7")

    monkeypatch.setattr(overview, "render_page_or_part", fault)
    response = admin_client.get("/console/", CONTENT_TYPE="application/json")
    assert response.status_code == 503
    assert response.json() == {"errors": {"": "The database is not responding; try again"}}
    response = admin_client.get("/console/nothing", CONTENT_TYPE="application/json")
    assert response.status_code == 404
    assert list(response.json()["errors"]) == [""]


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


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("users/7/password", "users/7"),
        ("keys/7/revoke?page=2", "keys/7?page=2"),
        ("evaluate/runs/5f3a0c4e-0d1f-4f0e-9a51-2f6f1f0a7c11/pause", None),
        ("playground/links/7/revoke", "playground/links"),
        ("route-restore/coding", ""),
        ("sign-out", ""),
    ],
)
def test_the_address_of_a_forms_action_leads_to_its_page(
    admin_client: Client, path: str, page: str | None
) -> None:
    """It was an empty page, after a reload of a form with errors."""
    expected = path.rpartition("/")[0] if page is None else page
    response = admin_client.get(f"/console/{path}", headers={"accept": "text/html,*/*;q=0.8"})
    assert (response.status_code, response["Location"]) == (302, f"/console/{expected}")
    # Scripts, and htmx for a part of a page, learn of their mistake.
    assert admin_client.get(f"/console/{path}").status_code == 405
    part = {"accept": "text/html", "hx-request": "true"}
    assert admin_client.get(f"/console/{path}", headers=part).status_code == 405


def test_every_action_leads_to_a_page(admin_client: Client) -> None:
    """No redirect goes in circles."""
    for entry in get_resolver("console.urls").url_patterns:
        path = "/console/" + re.sub("<[^>]*>", "7", str(entry.pattern))
        response = admin_client.get(path, headers={"accept": "text/html"})
        if response.status_code == 302:
            response = admin_client.get(path, headers={"accept": "text/html"}, follow=True)
        assert response.status_code != 405, path
