"""Pages with thousands of rows: their size and number of queries do not grow with the rows."""

from __future__ import annotations

from cProfile import Profile
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import escape

from console.evaluate.definition import Case, Definition, render_definition
from console.insight import targets
from console.models import Evaluation
from console.pages.evaluate import views
from console.pages.prompts import views as prompts
from gateway import store
from gateway.models import ApiKey, Model, Provider, Route, Target, Team
from gateway.store.keys import new_key_row
from tests.store.factories import provider, route

pytestmark = pytest.mark.django_db

MODELS, KEYS, USERS, ROUTES = 1000, 2000, 1000, 500
MAX_BYTES = 250_000


def fetch(client: Client, url: str, *, max_queries: int, **options: Any) -> str:
    """The page's HTML, within the limits. With htmx options, a part of it."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(url, **options)
    assert response.status_code == 200
    assert len(response.content) < MAX_BYTES, len(response.content)
    assert len(queries) <= max_queries, len(queries)
    return response.content.decode()


@pytest.fixture
def many_models() -> None:
    """Route `all` has every model as a target, `small` has one."""
    big = provider("big")
    rows = Model.objects.bulk_create(
        Model(provider=big, name=f"model-{n:04}") for n in range(MODELS)
    )
    route("small", rows[0])
    row = Route.objects.create(name="all")
    Target.objects.bulk_create(
        Target(route=row, model=model, order=n) for n, model in enumerate(rows)
    )


@pytest.fixture
def many_keys() -> list[ApiKey]:
    return ApiKey.objects.bulk_create(new_key_row(name=f"key {n:05}")[0] for n in range(KEYS))


def test_a_team_with_many_keys_is_searched_for_keys(
    admin_client: Client, many_keys: list[ApiKey]
) -> None:
    page = fetch(admin_client, reverse("team-add"), max_queries=20)
    assert "key 00001" not in page and reverse("team-keys") in page
    first, second = many_keys[:2]
    query = {"q": "key 00001", "members": [first.pk]}
    part = fetch(admin_client, reverse("team-keys"), max_queries=10, data=query)
    assert part.index(f'value="{first.pk}" checked') < part.index(f'value="{second.pk}">')
    assert "key 00002" not in part
    posted = admin_client.post(reverse("team-add"), {"name": "blue", "members": [first.pk]})
    assert posted.status_code == 302
    team = Team.objects.get()
    page = fetch(admin_client, reverse("team-edit", args=[team.pk]), max_queries=30)
    assert f'value="{first.pk}" checked' in page and "key 00001" not in page


def test_a_route_page_with_many_models_and_keys(
    admin_client: Client, many_models: None, many_keys: list[ApiKey]
) -> None:
    page = fetch(admin_client, reverse("route", args=["small"]), max_queries=40)
    assert "big/model-0007" not in page and "key 00001" not in page
    for kind, text, expected in (
        ("models", "big 0007", "big/model-0007"),
        ("names", "MALL", '"small"'),
        ("keys", "key 00001", many_keys[1].prefix),
    ):
        url = reverse("route-choices", args=[kind])
        part = fetch(admin_client, url, max_queries=20, data={"s1-new": text})
        assert expected in part and part.count("<option") == 1
        assert fetch(admin_client, url, max_queries=20).count("<option") == 200
    assert admin_client.get(reverse("route-choices", args=["teams"])).status_code == 404


def test_an_evaluation_searches_many_models(admin_client: Client, many_models: None) -> None:
    page = fetch(admin_client, reverse("evaluation-new"), max_queries=30)
    assert "big/model-0007" in page and "big/model-0900" not in page
    assert "Create evaluation" in page
    url = reverse("evaluation-models")
    query = {"find": "big 0900", "models": ["big/model-0007"]}
    part = fetch(admin_client, url, max_queries=30, data=query)
    assert part.index('"big/model-0007" checked') < part.index('"big/model-0900">')
    assert part.count("<label") == 2
    form = {"name": "Capitals", "models": ["big/model-0900"]}
    page = admin_client.post(reverse("evaluation-new"), form).content.decode()
    assert '"big/model-0900" checked' in page and page.count('name="models"') == 201
    assert "big/model-0007" not in fetch(admin_client, reverse("cost-compare"), max_queries=30)


def test_models_are_paged(admin_client: Client, many_models: None) -> None:
    Model.objects.update(price_input=1, price_output=2)
    page = fetch(admin_client, reverse("models"), max_queries=20)
    assert "1–50 of 1,000" in page and "model-0050" not in page


def test_the_playground_lists_many_models(admin_client: Client, many_models: None) -> None:
    other = provider("other", preset="anthropic")
    first, *_rest = Model.objects.order_by("name")
    for number in range(6):
        route(f"route-{number}", Model.objects.create(provider=other, name=f"m{number}"))
        route(f"route-{number}b", first)
    page = fetch(admin_client, reverse("playground"), max_queries=40)
    assert '"id": "big/model-0999"' in page
    assert page.count('<template data-logo="anthropic">') == 1


def test_health_pages_its_targets(admin_client: Client, many_models: None) -> None:
    page = fetch(admin_client, reverse("health"), max_queries=40)
    assert "1–50 of 1,000" in page and "model-0999" not in page
    page = fetch(admin_client, reverse("health") + "?page=20", max_queries=40)
    assert "model-0999" in page and "951–1,000" in page and "model-0001" not in page
    # The refresh of the page, and a search that starts from there.
    assert 'id="health-page" name="page" value="20"' in page
    page = fetch(admin_client, reverse("health") + "?page=20&q=0999", max_queries=40)
    assert "model-0999" in page
    page = fetch(admin_client, reverse("health"), max_queries=40, data={"q": "BIG 0999"})
    assert "model-0999" in page and "model-0001" not in page


def test_targets_that_were_not_called_cost_little(many_models: None) -> None:
    """A page of the API took seconds with thousands of models: a text for each of their hours."""
    registry = store.load_snapshot()
    with Profile() as profile:
        assert len(targets.target_healths(None, registry)) == MODELS
    assert sum(entry.callcount for entry in profile.getstats()) < 200 * MODELS


def test_users_are_paged_and_searched(admin_client: Client) -> None:
    User.objects.bulk_create(User(username=f"person{n:04}") for n in range(USERS))
    page = fetch(admin_client, reverse("users"), max_queries=20)
    assert "person0500" not in page and "1–100 of 1,001" in page
    page = fetch(admin_client, reverse("users") + "?page=6", max_queries=20)
    assert "person0500" in page
    part = fetch(
        admin_client,
        reverse("users"),
        max_queries=20,
        data={"q": "person0500"},
        headers={"hx-request": "true"},
    )
    assert "person0500" in part and "person0501" not in part and "<html" not in part
    assert "No users match" in fetch(admin_client, reverse("users") + "?q=%00x", max_queries=20)


def test_after_a_change_the_list_of_users_shows_the_same_page(admin_client: Client) -> None:
    User.objects.bulk_create(User(username=f"person{n:04}") for n in range(USERS))
    html = fetch(admin_client, f"{reverse('users')}?q=person&page=6", max_queries=20)
    person = User.objects.get(username="person0500")
    url = f"{reverse('user-edit', args=[person.pk])}?q=person&page=6"
    assert f'href="{escape(url)}"' in html
    html = fetch(admin_client, url, max_queries=20)
    assert f'href="{escape(reverse("users") + "?q=person&page=6")}"' in html
    action = reverse("user-password", args=[person.pk])
    assert f'action="{escape(action + "?q=person&page=6")}"' in html
    saved = admin_client.post(f"{action}?q=person&page=6", {"password": "a long passphrase"})
    assert saved["Location"] == f"{reverse('users')}?q=person&page=6"


def test_providers_are_paged_and_searched(admin_client: Client) -> None:
    for number in range(200):
        provider(f"provider{number:04}")
    url = reverse("providers")
    html = fetch(admin_client, url, max_queries=30)
    assert "provider0099" in html and "provider0100" not in html and "1–100 of 200" in html
    html = fetch(admin_client, f"{url}?q=provider&page=2", max_queries=30)
    assert "provider0199" in html and "provider0099" not in html
    row = Provider.objects.get(name="provider0199")
    action = f"{reverse('provider-enable', args=[row.pk])}?q=provider&page=2"
    assert f'action="{escape(action)}"' in html
    assert admin_client.post(action, {"on": "no"})["Location"] == f"{url}?q=provider&page=2"
    part = fetch(admin_client, f"{url}?q=0150", max_queries=30, headers={"hx-request": "true"})
    assert "provider0150" in part and "provider0151" not in part and "<html" not in part
    assert "No providers match" in fetch(admin_client, f"{url}?q=%00x", max_queries=30)


def test_the_page_of_a_key_or_provider_reads_no_usage_of_others(admin_client: Client) -> None:
    """It summed the usage of all keys and providers since the start, four times."""
    row, _secret = new_key_row(name="key")
    row.save()
    openai = provider("openai")
    for url, column in (
        (reverse("key-edit", args=[row.pk]), '"key_id" IN'),
        (reverse("keys"), '"key_id" IN'),
        (reverse("provider-edit", args=[openai.pk]), '"provider" IN'),
    ):
        with CaptureQueriesContext(connection) as queries:
            assert admin_client.get(url).status_code == 200
        usage = [row["sql"] for row in queries if 'FROM "gateway_usageday"' in row["sql"]]
        assert usage and [sql for sql in usage if column not in sql] == []


def test_routes_are_paged_and_searched(admin_client: Client) -> None:
    Route.objects.bulk_create(Route(name=f"route{n:04}") for n in range(ROUTES))
    url = reverse("routes")
    page = fetch(admin_client, url, max_queries=40)
    assert "route0099" in page and "route0100" not in page and "1–100 of 500" in page
    page = fetch(admin_client, f"{url}?page=5", max_queries=40)
    assert "route0499" in page and "route0399" not in page
    assert "route0300" in fetch(admin_client, f"{url}?q=E03+00", max_queries=40)
    part = fetch(admin_client, f"{url}?q=%00x", max_queries=40, headers={"hx-request": "true"})
    assert "No routes match" in part and "<html" not in part
    page = fetch(admin_client, reverse("route", args=["route0300"]), max_queries=40)
    assert "All 500 routes" in page and "route0499" not in page


def test_teams_and_other_limits_are_paged_and_searched(admin_client: Client) -> None:
    Team.objects.bulk_create(Team(name=f"team{n:04}") for n in range(ROUTES))
    Route.objects.bulk_create(Route(name=f"route{n:04}") for n in range(ROUTES))
    project = Team.objects.create(
        name="very last project", parent=Team.objects.get(name="team0003")
    )
    row, _secret = new_key_row(name="key", team=project)
    row.save()
    url = reverse("teams")
    page = fetch(admin_client, url, max_queries=40)
    assert "team0099" in page and "team0100" not in page and "1–100 of 501" in page
    assert "and 1 in projects" in page
    assert "route0099" in page and "route0100" not in page
    page = fetch(admin_client, f"{url}?page=5&limits=2", max_queries=40)
    assert "team0499" in page and "team0399" not in page
    assert "route0100" in page and "route0099" not in page
    assert "?page=5&amp;limits=3" in page
    part = fetch(admin_client, f"{url}?q=0300", max_queries=40, headers={"hx-request": "true"})
    assert "team0300" in part and "team0301" not in part and "<html" not in part
    assert "No teams match" in fetch(admin_client, f"{url}?q=nobody", max_queries=40)


def test_prompts_are_paged_and_searched(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompts, "PAGE_ROWS", 2)
    for number in range(5):
        typed = {"rows": "1", "name": f"prompt-{number}", "role-0": "user", "content-0": "Hi"}
        assert admin_client.post(reverse("prompt-new"), typed).status_code == 302
    url = reverse("prompts")
    page = fetch(admin_client, url, max_queries=20)
    assert "prompt-1" in page and "prompt-2" not in page and "1–2 of 5" in page
    page = fetch(admin_client, f"{url}?page=3", max_queries=20)
    assert "prompt-4" in page and "prompt-3" not in page
    part = fetch(admin_client, f"{url}?q=-3", max_queries=20, headers={"hx-request": "true"})
    assert "prompt-3" in part and "prompt-4" not in part and "<html" not in part
    assert "No prompts match" in fetch(admin_client, f"{url}?q=nobody", max_queries=20)


def test_evaluations_and_their_runs_are_paged(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those after the first 200, and runs before the last 50, could not be reached."""
    owner = User.objects.get(username="ada")
    monkeypatch.setattr(views, "LIST_ROWS", 2)
    monkeypatch.setattr(views, "RUN_ROWS", 2)
    monkeypatch.setattr(views, "PAGE_CASES", 2)
    document = render_definition(
        Definition(name="e", cases=tuple(Case(variables={"input": f"c{n}"}) for n in range(5)))
    )
    for number in range(5):
        row = Evaluation.objects.create(
            owner=owner, name=f"evaluation {number}", document=document, case_count=5
        )
    for number in range(1, 6):
        row.runs.create(owner=owner, number=number, document=document, total=5)
    page = fetch(admin_client, reverse("evaluate") + "?page=3", max_queries=20)
    assert "evaluation 0" in page and "evaluation 1" not in page and "5–5 of 5" in page
    url = reverse("evaluation", args=[row.pk])
    page = fetch(admin_client, f"{url}?page=2&cases=2", max_queries=20)
    assert ">#3<" in page and ">#2<" in page and ">#4<" not in page
    assert ">3. c2<" in page and "3–4" in page
    assert "?page=3&amp;cases=2" in page and "?page=2&amp;cases=3" in page
    assert ">5. c4<" in fetch(admin_client, f"{url}?cases=99", max_queries=20)
