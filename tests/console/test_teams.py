"""The pages of teams and limits: create, assign keys, limit, delete."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import yaml
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.pages.keys.spend import team_gauges
from console.pages.routes import yaml_text
from console.pages.routes.forms import draft_from_spec, spec_from
from console.pages.teams.forms import MAX_LISTED_KEYS
from gateway import store
from gateway.models import ApiKey, Guardrail, Provider, Route, RowSource, Setting, Target, Team
from gateway.routing.limits import UNITS, Budget, Limits, calendar_window
from gateway.routing.snapshot import Snapshot
from gateway.store.routes import current_state
from tests.store.factories import make_record, model, provider, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("frozen_now")]


def text(response: Any) -> str:
    return response.content.decode()


def value_of(plain: str) -> Any:
    return store.load_snapshot().keys[store.digest(plain)]


def test_only_admins_see_teams() -> None:
    client = Client()
    assert client.get(reverse("teams")).status_code == 302
    client.force_login(User.objects.create_user("vic"))
    for name, args in (("teams", []), ("team-add", []), ("limits", ["route", 1])):
        assert client.get(reverse(name, args=args)).status_code == 403


@pytest.mark.parametrize("member", ["9" * 40, "²", "-1", "x"])
def test_unknown_keys_are_refused(admin_client: Client, member: str) -> None:
    response = admin_client.post(reverse("team-add"), {"name": "blue", "members": [member]})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["members"]


def test_a_team_is_created_with_its_keys_and_in_the_snapshot(admin_client: Client) -> None:
    key, plain = store.create_key("one")
    response = admin_client.post(
        reverse("team-add"),
        {"name": "blue", "members": [key.pk], "budget_week_usd": "2.5", "limit_tph": "9000",
         "budget_soft_percent": "80"},
    )  # fmt: skip
    assert response.status_code == 302
    team = value_of(plain).team
    assert (team.name, team.limits.tokens_per_hour) == ("blue", 9000)
    assert (team.budget.week_usd, team.budget.soft_percent) == (Decimal("2.5"), 80)
    page = text(admin_client.get(reverse("teams")))
    assert "blue" in page
    assert "9k tokens/h" in page.replace(".0", "")


def test_a_team_has_guardrails(admin_client: Client) -> None:
    add = reverse("team-add")
    assert 'name="guardrails"' not in text(admin_client.get(add))
    settings = {"pii": ["email"]}
    Guardrail.objects.create(name="pii", kind="patterns", settings=settings)
    assert 'name="guardrails"' in text(admin_client.get(add))
    admin_client.post(add, {"name": "search", "guardrails": ["pii"]})
    team = Team.objects.get()
    assert team.guardrails == ["pii"]
    page = text(admin_client.get(reverse("team-edit", args=[team.pk])))
    assert re.search(r'value="pii"[^>]*checked', page)
    admin_client.post(reverse("team-edit", args=[team.pk]), {"name": "search"})
    team.refresh_from_db()
    assert team.guardrails == []


def test_a_key_leaves_its_team_and_can_join_another(admin_client: Client) -> None:
    key, plain = store.create_key("solo key")
    other, _ = store.create_key("two")
    team = Team.objects.create(name="blue")
    ApiKey.objects.set_team_members(team.pk, [key.pk, other.pk])
    assert "solo key" not in text(admin_client.get(reverse("team-add")))
    admin_client.post(reverse("team-edit", args=[team.pk]), {"name": "blue", "members": [other.pk]})
    assert value_of(plain).team is None
    assert "solo key" in text(admin_client.get(reverse("team-add")))


def test_an_error_is_shown_at_its_field_and_the_value_stays(admin_client: Client) -> None:
    Team.objects.create(name="blue")
    response = admin_client.post(
        reverse("team-add"), {"name": "blue", "limit_rpm": "0", "budget_day_usd": "7"}
    )
    assert response.status_code == 422
    page = text(response)
    assert "already exists" in page
    assert "greater than or equal to 1" in page
    assert 'value="7"' in page
    assert Team.objects.count() == 1


def test_a_deleted_team_leaves_its_keys(admin_client: Client) -> None:
    key, plain = store.create_key("one")
    gone, _ = store.create_key("two")
    team = Team.objects.create(name="blue")
    ApiKey.objects.set_team_members(team.pk, [key.pk, gone.pk])
    ApiKey.objects.with_pk(gone.pk).revoke()
    admin_client.post(reverse("team-delete", args=[team.pk]))
    assert not Team.objects.exists()
    assert value_of(plain).team is None


def test_a_key_chooses_its_team_and_all_its_limits(admin_client: Client) -> None:
    key, plain = store.create_key("one")
    team = Team.objects.create(name="blue")
    form = {"name": "one", "scope": "all", "bodies": "", "team": team.pk, "limit_rpd": "5"}
    page = text(admin_client.get(reverse("key-edit", args=[key.pk])))
    assert all(f'name="{name}"' in page for name in (*form, "budget_week_usd", "limit_tph"))
    assert admin_client.post(reverse("key-edit", args=[key.pk]), form).status_code == 302
    assert value_of(plain).limits.requests_per_day == 5
    assert value_of(plain).team.name == "blue"


def test_a_team_with_many_keys_lists_some_and_keeps_all(admin_client: Client) -> None:
    team = Team.objects.create(name="blue")
    ApiKey.objects.bulk_create(
        ApiKey(name=f"member-{n:03}", prefix=f"sk-dgm-{n:03}", digest=b"%032d" % n, team=team)
        for n in range(MAX_LISTED_KEYS + 20)
    )
    url = reverse("team-edit", args=[team.pk])
    page = text(admin_client.get(url))
    assert page.count('name="members"') == MAX_LISTED_KEYS
    assert "20 more keys belong to this team. Remove them on their own pages." in page
    hidden, shown = "member-119", ApiKey.objects.get(name="member-001")
    assert hidden not in page
    others = [key.pk for key in ApiKey.objects.of_team(team.pk) if key.name in page]
    others.remove(shown.pk)
    admin_client.post(url, {"name": "blue", "members": others})
    members = {key.name for key in ApiKey.objects.of_team(team.pk)}
    assert hidden in members
    assert shown.name not in members
    assert len(members) == MAX_LISTED_KEYS + 19


OWNERS: dict[str, tuple[type[Any], Callable[[Snapshot], Any]]] = {
    "route": (Route, lambda snapshot: snapshot.routes["r"]),
    "provider": (Provider, lambda snapshot: snapshot.providers["p"]),
    "target": (Target, lambda snapshot: snapshot.routes["r"].targets[0]),
}


@pytest.mark.parametrize("kind", OWNERS)
def test_every_target_has_its_own_limits(admin_client: Client, kind: str) -> None:
    route("r", model("m", provider("p")))
    table, value_in = OWNERS[kind]
    row = table.objects.get()
    url = reverse("limits", args=[kind, row.pk])
    assert admin_client.post(url, {"limit_rpm": "x"}).status_code == 422
    assert admin_client.post(url, {"limit_rpm": "30", "limit_concurrency": "2"}).status_code == 302
    value = value_in(store.load_snapshot())
    assert (value.limits.requests_per_minute, value.limits.concurrency) == (30, 2)
    assert 'value="30"' in text(admin_client.get(url))


@pytest.mark.parametrize("kind", ["provider", "target"])
def test_providers_and_targets_have_budgets(admin_client: Client, kind: str) -> None:
    route("r", model("m", provider("p")))
    table, value_in = OWNERS[kind]
    url = reverse("limits", args=[kind, table.objects.get().pk])
    assert admin_client.post(url, {"budget_day_usd": "2.50"}).status_code == 302
    assert value_in(store.load_snapshot()).budget == Budget(day_usd=Decimal("2.5"))
    assert 'value="2.5"' in text(admin_client.get(url))


def test_a_routes_page_has_the_limits_of_each_key_and_of_its_targets(admin_client: Client) -> None:
    test_route = route("r", model("m", provider("p")), key_limits={"concurrency": 4})
    url = reverse("limits", args=["route", test_route.pk])
    assert admin_client.post(url, {"each_rpm": "7"}).status_code == 302
    key_limits = store.load_snapshot().routes["r"].key_limits
    assert key_limits == Limits(requests_per_minute=7, concurrency=4)
    page = text(admin_client.get(url))
    assert 'value="7"' in page
    assert reverse("limits", args=["target", Target.objects.get().pk]) in page


@pytest.mark.parametrize("kind", ["route", "target", "provider"])
def test_limits_are_below_the_page_of_their_section(admin_client: Client, kind: str) -> None:
    """The breadcrumb said Teams while the sidebar marked Routes or Providers."""
    test_route = route("r", model("m", provider("p")))
    row: Any = {
        "route": test_route,
        "target": Target.objects.get(),
        "provider": Provider.objects.get(),
    }
    page = text(admin_client.get(reverse("limits", args=[kind, row[kind].pk])))
    crumbs = re.findall(r'<a class="crumb[^>]+href="([^"]+)"', page)
    section = "providers" if kind == "provider" else "routes"
    assert crumbs[0] == reverse(section)
    assert f'<a class="btn ghost" href="{crumbs[-1]}">' in page, "Cancel leads to the page above"


def test_the_limits_of_a_target_are_in_its_routes_next_version(admin_client: Client) -> None:
    """The editor does not show them and does not lose them."""
    test_route = route("r", model("m", provider("p")))
    url = reverse("limits", args=["target", Target.objects.get().pk])
    admin_client.post(url, {"limit_rpm": "30", "budget_week_usd": "9"})
    document = current_state(test_route).spec
    assert spec_from(draft_from_spec(document)) == document
    (page_text,) = yaml.safe_load(yaml_text.text(document))["steps"][0]["targets"]
    assert page_text["limits"] == {"requests_per_minute": 30}
    assert page_text["budget"] == {"week_usd": "9"}


def test_limits_of_all_requests_are_shared(admin_client: Client) -> None:
    url = reverse("all-limits")
    assert url in text(admin_client.get(reverse("teams")))
    assert admin_client.post(url, {"limit_concurrency": "0"}).status_code == 422
    form = {"limit_concurrency": "8", "budget_month_usd": "50"}
    assert admin_client.post(url, form).status_code == 302
    snapshot = store.load_snapshot()
    assert snapshot.limits == Limits(concurrency=8)
    assert snapshot.budget == Budget(month_usd=Decimal(50))
    assert 'value="50"' in text(admin_client.get(url))
    admin_client.post(url, {"limit_concurrency": ""})
    assert store.load_snapshot().limits == Limits()


def test_limits_of_all_requests_from_a_file_are_read_only(admin_client: Client) -> None:
    value = {"value": {"concurrency": 5}, "source": RowSource.FILE, "source_ref": "litellm.yaml:9"}
    Setting.objects.create(name="limits", **value)
    url = reverse("all-limits")
    assert "litellm.yaml:9" in text(admin_client.get(url))
    admin_client.post(url, {"limit_concurrency": "8", "budget_month_usd": "50"})
    snapshot = store.load_snapshot()
    assert snapshot.limits == Limits(concurrency=5)
    assert snapshot.budget == Budget(month_usd=Decimal(50))


def test_limits_of_a_row_that_a_file_owns_are_read_only(admin_client: Client) -> None:
    test_route = route("r", model("m", provider("p")))
    Route.objects.filter(pk=test_route.pk).update(source=RowSource.FILE)
    url = reverse("limits", args=["route", test_route.pk])
    assert admin_client.post(url, {"limit_rpm": "30"}).status_code == 409
    assert Route.objects.get().limit_rpm is None
    assert admin_client.get(reverse("limits", args=["nothing", 1])).status_code == 404


def test_a_teams_spend_is_the_sum_of_its_keys(admin_client: Client) -> None:
    now = timezone.now()
    keys = [store.create_key(name)[0] for name in ("one", "two", "three")]
    team = Team.objects.create(name="blue", budget_total_usd=Decimal(10))
    ApiKey.objects.set_team_members(team.pk, [key.pk for key in keys[:2]])
    store.write(
        [
            make_record(f"r{n}", key_id=key.pk, cost_usd=Decimal(n), started_at=now.timestamp())
            for n, key in enumerate(keys, 1)
        ]
    )
    total = team_gauges([team], now)[team.pk][-1]
    assert (total.spent, total.share) == (3, 30)
    assert "$3" in text(admin_client.get(reverse("team-edit", args=[team.pk])))


def test_the_limiter_starts_with_the_spend_of_the_sums() -> None:
    now = timezone.now()
    key, _ = store.create_key("one", budget_day_usd=Decimal(5), budget_total_usd=Decimal(9))
    mate, _ = store.create_key("two")
    team = Team.objects.create(name="blue", budget_month_usd=Decimal(50))
    ApiKey.objects.set_team_members(team.pk, [key.pk, mate.pk])
    store.write(
        [
            make_record("a", key_id=key.pk, cost_usd=Decimal("1.5"), started_at=now.timestamp()),
            make_record("b", key_id=mate.pk, cost_usd=Decimal("0.25"), started_at=now.timestamp()),
        ]
    )
    spend = store.recorded_spend(store.load_snapshot(), now)
    timestamp = now.timestamp()
    assert sorted(spend) == sorted(
        [
            (f"key:{key.pk}/usd/day", calendar_window(timestamp, "day")[0], UNITS * 3 // 2),
            (f"key:{key.pk}/usd/total", 1, UNITS * 3 // 2),
            (f"team:{team.pk}/usd/month", calendar_window(timestamp, "month")[0], UNITS * 7 // 4),
        ]
    )


def test_the_limiter_starts_with_the_spend_of_providers_and_targets() -> None:
    now, timestamp = timezone.now(), timezone.now().timestamp()
    budget = {"budget_day_usd": Decimal(5)}
    first, second = (provider(name, **budget) for name in ("p", "q"))
    shared, alone = model("m", first), model("n", second)
    route("r", shared, alone)
    route("s", shared)
    Target.objects.update(**budget)
    store.set_options({"budget": {"total_usd": "99"}})
    calls = [("r", "p", "m", 1), ("s", "p", "m", 2), ("s", "q", "n", 4), ("x", "gone", "m", 8)]
    store.write(
        [
            make_record(
                f"t{usd}", route=r, provider=p, model=m, cost_usd=Decimal(usd), started_at=timestamp
            )
            for r, p, m, usd in calls
        ]
    )
    units_by_name = {
        name: units // UNITS for name, _, units in store.recorded_spend(store.load_snapshot(), now)
    }
    of = {str(target): target.pk for target in Target.objects.all()}
    assert units_by_name == {
        "all/usd/total": 15,
        f"provider:{first.pk}/usd/day": 3,
        f"provider:{second.pk}/usd/day": 4,
        f"target:{of['r -> p/m']}/usd/day": 1,
        f"target:{of['s -> p/m']}/usd/day": 2,
        # It answered for the other route too, which fell back to it.
        f"target:{of['r -> q/n']}/usd/day": 4,
    }


def test_a_project_of_a_team_is_limited_together_with_it(admin_client: Client) -> None:
    team = Team.objects.create(name="blue", limit_rpm=9)
    key, plain = store.create_key("one")
    form = {"name": "app", "parent": team.pk, "members": [key.pk], "limit_rpm": "5"}
    admin_client.post(reverse("team-add"), form)
    value = value_of(plain).team
    assert [(t.name, t.limits.requests_per_minute) for t in value.with_ancestors] == [
        ("app", 5),
        ("blue", 9),
    ]
    assert "project of blue" in text(admin_client.get(reverse("teams")))
    # There are no projects of projects, and no team is its own.
    app = Team.objects.get(name="app")
    assert (
        admin_client.post(reverse("team-add"), {"name": "x", "parent": app.pk}).status_code == 422
    )
    edit = reverse("team-edit", args=[team.pk])
    other = Team.objects.create(name="red")
    assert admin_client.post(edit, {"name": "blue", "parent": team.pk}).status_code == 422
    assert admin_client.post(edit, {"name": "blue", "parent": other.pk}).status_code == 422


def test_a_deleted_team_leaves_its_projects(admin_client: Client) -> None:
    team = Team.objects.create(name="blue")
    app = Team.objects.create(name="app", parent=team)
    admin_client.post(reverse("team-delete", args=[team.pk]))
    app.refresh_from_db()
    assert app.parent is None


def test_a_key_shows_its_user(admin_client: Client) -> None:
    key, _ = store.create_key("one")
    edit = reverse("key-edit", args=[key.pk])
    admin_client.post(edit, {"name": "one", "scope": "all", "bodies": "", "user": "mira"})
    assert "mira" in text(admin_client.get(reverse("keys")))
    key.refresh_from_db()
    assert key.user == "mira"
    assert 'value="mira"' in text(admin_client.get(edit))


def test_a_teams_spend_includes_its_projects() -> None:
    now = timezone.now()
    team = Team.objects.create(name="blue", budget_total_usd=Decimal(10))
    app = Team.objects.create(name="app", parent=team, budget_total_usd=Decimal(4))
    keys = [store.create_key(name, team=owner)[0] for name, owner in (("one", team), ("two", app))]
    store.write(
        [
            make_record(f"p{n}", key_id=key.pk, cost_usd=Decimal(n), started_at=now.timestamp())
            for n, key in enumerate(keys, 1)
        ]
    )
    spend_by_pk = {pk: gauges[-1].spent for pk, gauges in team_gauges([team, app], now).items()}
    assert spend_by_pk == {team.pk: 3, app.pk: 2}
    assert sorted(store.recorded_spend(store.load_snapshot(), now)) == sorted(
        [(f"team:{team.pk}/usd/total", 1, 3 * UNITS), (f"team:{app.pk}/usd/total", 1, 2 * UNITS)]
    )


def test_the_list_shows_the_budget_use_of_each_provider(admin_client: Client) -> None:
    provider("p", budget_month_usd=10, budget_soft_percent=20)
    provider("q")
    store.set_options({"budget": {"day_usd": "9"}, "limits": {"requests_per_minute": 70}})
    now = timezone.now()
    store.write([make_record("r1", started_at=now.timestamp(), provider="p", cost_usd=Decimal(3))])
    response = admin_client.get(reverse("teams"))
    gauges = {row["row"].name: row["gauge"] for row in response.context["owners"]}
    assert (gauges["p"].span, gauges["p"].spent, gauges["p"].level) == ("month", 3, "warn")
    assert (gauges["q"].spent, gauges["q"].budget) == (0, None)
    all_providers = response.context["all"]
    assert (all_providers["gauge"].span, all_providers["gauge"].remaining) == ("day", 6)
    assert "70 requests/min" in text(response)


def test_a_team_shows_how_many_keys_its_projects_have(admin_client: Client) -> None:
    team = Team.objects.create(name="blue")
    project = Team.objects.create(name="search", parent=team)
    key, _ = store.create_key("one")
    ApiKey.objects.set_team_members(project.pk, [key.pk])
    assert "and 1 in projects" in text(admin_client.get(reverse("teams")))
