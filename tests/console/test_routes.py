"""The route editor without JavaScript: each button sends the whole form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.dialects import CONSOLE_DIALECTS, title
from console.pages.routes.labels import changes
from gateway import models
from gateway.routing.route_spec import RouteSpec, StepSpec, TargetSpec
from gateway.store import set_credential
from gateway.store.routes import current_state, save_route, spec_of

pytestmark = pytest.mark.django_db

SMART = "/console/routes/smart"
STEPS = (
    StepSpec(
        name="Primary",
        strategy="weighted",
        targets=(TargetSpec(model="openai/gpt-4.1", weight=60), TargetSpec(model="deepseek/deepseek-chat", weight=40)),
    ),
    StepSpec(fallback_on=("rate_limit",), targets=(TargetSpec(model="openai/gpt-4.1-mini"),)),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _known_models() -> Iterator[None]:
    cache.clear()
    for name, labels in {"openai": ("gpt-4.1", "gpt-4.1-mini"), "deepseek": ("deepseek-chat",)}.items():  # fmt: skip
        row = models.Provider(name=name, preset=name)
        set_credential(row, "sk-something-secret")
        row.save()
        for label in labels:
            models.Model.objects.create(provider=row, name=label)
    smart()
    yield
    cache.clear()


def smart() -> models.Route:
    document = RouteSpec(name="smart", aliases=("claude-*", "gpt-4o"), steps=STEPS)
    return save_route(document, route=None, number=0, author="ada").route


def stored_spec(name: str = "smart") -> RouteSpec:
    return spec_of(models.Route.objects.get(name=name))


FIELD = re.compile(r"<(?:input|select|option)\b[^>]*>|</select>")


def fields(html: str) -> dict[str, list[str]]:
    """Return the values of the editor's form that a browser would send."""
    form = html[html.index('id="route-form"') :]
    form = form[: form.index("</form>")]
    values_by_name: dict[str, list[str]] = {}
    select, options = "", []
    for tag in FIELD.findall(form):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        flags = re.sub(r'"[^"]*"', "", tag)
        if tag.startswith("<select"):
            select, options = attributes["name"], []
        elif tag == "</select>":
            chosen = [value for value, on in options if on] or [value for value, _ in options[:1]]
            values_by_name.setdefault(select, []).extend(chosen)
        elif tag.startswith("<option"):
            options.append((attributes.get("value", ""), "selected" in flags))
        elif "name" in attributes and (attributes.get("type") != "checkbox" or "checked" in flags):
            usual = "on" if attributes.get("type") == "checkbox" else ""
            values_by_name.setdefault(attributes["name"], []).append(attributes.get("value", usual))
    return values_by_name


def press(client: Client, do: str, path: str = SMART, page: Any = None, **typed: Any) -> Any:
    """Fill in the current form and press a button."""
    page = page or client.get(path)
    return client.post(path, {**fields(page.content.decode()), **typed, "do": do})


# Looking


def test_the_list_describes_each_route(admin_client: Client) -> None:
    page = admin_client.get("/console/routes").content.decode()
    assert 'href="/console/routes/smart"' in page
    assert "Weighted, 3 targets" in page


def test_without_a_route_the_page_explains_how_to_create_one(admin_client: Client) -> None:
    models.Route.objects.all().delete()
    page = admin_client.get("/console/routes").content.decode()
    assert "No routes yet" in page
    assert reverse("route-new") in page


def test_a_name_with_a_slash_has_a_page(admin_client: Client) -> None:
    save_route(RouteSpec(name="a/b c?", steps=STEPS), route=None, number=0, author="ada")
    url = reverse("route", args=["a/b c?"])
    assert "a/b c?" in admin_client.get(url).content.decode()


def test_a_viewer_sees_all_and_changes_nothing(viewer_client: Client) -> None:
    page = viewer_client.get(SMART)
    assert page.status_code == 200
    assert b"gpt-4.1" in page.content
    assert b'value="save"' not in page.content
    for path in ("/console/routes/smart", "/console/route-delete/smart", "/console/new-route"):
        assert viewer_client.post(path, {"do": "save"}).status_code == 403
    number = {"number": "1", "version": "1"}
    assert viewer_client.post("/console/route-restore/smart", number).status_code == 403
    assert stored_spec().steps == STEPS


def test_no_secret_is_on_any_page(admin_client: Client) -> None:
    for path in (SMART, "/console/routes", "/console/route-yaml/smart"):
        assert b"sk-something-secret" not in admin_client.get(path).content


# The draft


def test_the_unchanged_form_equals_the_saved_route(admin_client: Client) -> None:
    page = press(admin_client, "check")
    assert page.context["state"].spec == stored_spec()
    assert page.context["changes"] == []


def test_a_button_returns_the_changed_draft_without_saving(admin_client: Client) -> None:
    page = press(
        admin_client, "add-target:s2", **{"s2-new": "deepseek/deepseek-chat", "t1-weight": "7,5"}
    )
    step = page.context["state"].spec.steps[1]
    assert [t.model for t in step.targets] == ["openai/gpt-4.1-mini", "deepseek/deepseek-chat"]
    assert page.context["state"].spec.steps[0].targets[0].weight == 7.5
    page = press(admin_client, "add-step", page=page)
    assert len(page.context["state"].spec.steps) == 3
    assert page.context["state"].spec.steps[0].targets[0].weight == 7.5
    assert stored_spec().steps == STEPS


def test_a_target_can_be_moved_to_every_place_by_buttons(admin_client: Client) -> None:
    def order(page: Any) -> list[list[str]]:
        document = page.context["state"].spec
        return [[t.model.partition("/")[2] for t in step.targets] for step in document.steps]

    page = press(admin_client, "down:t1")
    assert order(page) == [["deepseek-chat", "gpt-4.1"], ["gpt-4.1-mini"]]
    key = page.context["state"].draft.steps[0].targets[1].key
    page = press(admin_client, f"down:{key}", page=page)
    assert order(page) == [["deepseek-chat"], ["gpt-4.1", "gpt-4.1-mini"]]
    page = press(admin_client, f"down:{key}", page=page)
    assert order(page) == [["deepseek-chat"], ["gpt-4.1-mini", "gpt-4.1"]]
    page = press(admin_client, f"up:{key}", page=press(admin_client, f"up:{key}", page=page))
    assert order(page) == [["deepseek-chat", "gpt-4.1"], ["gpt-4.1-mini"]]
    page = press(admin_client, "up:s2", page=page)
    assert order(page) == [["gpt-4.1-mini"], ["deepseek-chat", "gpt-4.1"]]


def test_a_target_moved_past_the_end_of_a_step_enters_the_next(admin_client: Client) -> None:
    page = press(admin_client, "down:t2")
    steps = page.context["state"].spec.steps
    assert [len(step.targets) for step in steps] == [1, 2]
    assert steps[1].targets[0].model == "deepseek/deepseek-chat"
    assert "moved to step 2, position 1" in page.context["state"].status_message


def test_a_row_that_was_dragged_is_where_its_field_is(admin_client: Client) -> None:
    typed = fields(admin_client.get(SMART).content.decode())
    typed["item"] = ["step:s1", "target:t2", "step:s2", "target:t3", "target:t1"]
    page = admin_client.post(SMART, {**typed, "do": "check"})
    steps = page.context["state"].spec.steps
    assert [len(step.targets) for step in steps] == [1, 2]
    assert steps[1].targets[1] == STEPS[0].targets[0]
    assert page.context["changes"] == ["moved gpt-4.1 to step 2"]


def test_changes_are_described_in_text(admin_client: Client) -> None:
    page = press(
        admin_client,
        "add-target:s2",
        **{"t1-weight": "70", "s2-new": "openai/gpt-4.1", "alias": ["gpt-4o", "o3"], "strict": "1"},
    )
    text = ", ".join(page.context["changes"])
    assert "added alias o3" in text
    assert "removed alias claude-*" in text
    assert "reject unsupported fields: no → yes" in text
    page = press(admin_client, "drop:t3")
    assert "removed gpt-4.1-mini" in page.context["changes"]
    page = press(admin_client, "check", **{"t1-weight": "70"})
    assert page.context["changes"] == ["gpt-4.1 weight 60 to 70"]
    page = press(admin_client, "down:t1")
    assert page.context["changes"] == ["moved deepseek-chat"]
    assert b"1 unsaved change" in page.content


def test_changed_guardrails_are_listed_by_name() -> None:
    before, after = RouteSpec(name="r"), RouteSpec(name="r", guardrails=("email", "keys"))
    assert changes(before, after) == ["guardrails: none → email, keys"]


def test_an_unreadable_value_stays_with_its_error(admin_client: Client) -> None:
    page = press(admin_client, "save", **{"t1-weight": "many", "s2-max_context": "-5"})
    assert page.status_code == 422
    html = page.content.decode()
    assert 'value="many"' in html
    assert 'value="-5"' in html
    assert "a number from 0 to" in html
    assert stored_spec().steps == STEPS


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ("retries", "retry rounds"),
        ("cache_ttl", "cache TTL"),
        ("shadow_share", "shadow share"),
        ("retries_by_kind-timeout", "retries by error"),
        ("t1-weight", "weight"),
        ("s2-max_context", "max tokens"),
        ("s2-active_hours", "active hours"),
    ],
)
def test_the_check_of_an_unreadable_value_names_its_field(
    admin_client: Client, field: str, label: str
) -> None:
    page = press(admin_client, "check", **{field: "-5"})
    assert f"Invalid {label}:" in page.content.decode()
    assert page.context["changes"] == [f"invalid {label}"]


def test_a_button_without_a_chosen_model_changes_nothing(admin_client: Client) -> None:
    page = press(admin_client, "add-target:s1", **{"s1-new": ""})
    assert "choose a model first" in page.content.decode()
    assert page.context["changes"] == []


def test_conditions_are_saved(admin_client: Client) -> None:
    typed = {
        "s2-fallback_on": ["timeout", "context_length"],
        "s2-images": "without",
        "s2-tools": "with",
        "s2-max_context": "200 000",
        "s2-first_token_s": "2,5",
        "s2-require_capabilities": "1",
    }
    assert press(admin_client, "save", **typed).status_code == 302
    step = stored_spec().steps[1]
    assert step.fallback_on == ("timeout", "context_length")
    assert (step.requires, step.excludes) == (("tools",), ("images",))
    assert (step.max_context, step.first_token_s, step.require_capabilities) == (200_000, 2.5, True)


def test_a_new_route_is_created_from_an_empty_form(admin_client: Client) -> None:
    path = reverse("route-new")
    page = press(admin_client, "add-target:s1", path, name="fast", **{"s1-new": "openai/gpt-4.1"})
    response = press(admin_client, "save", path, page=page)
    assert response.headers["location"] == "/console/routes/fast"
    assert stored_spec("fast").steps[0].targets[0].model == "openai/gpt-4.1"
    assert models.RouteVersion.objects.get(route__name="fast").saved_by == "ada"


def form_messages(page: Any) -> tuple[list[str], list[str]]:
    """Return the errors and the missing steps on the form."""
    text = page.content.decode()
    bad = re.findall(r'callout bad">.*?Error: </span>(.*?)</b>', text, re.S)
    return bad, re.findall(r'callout">.*?<b>(.*?)</b>', text, re.S)


def test_a_new_route_has_no_errors_before_it_is_saved(admin_client: Client) -> None:
    path = reverse("route-new")
    missing = ["The route has no name.", "The route has no target."]
    page = admin_client.get(path)
    assert form_messages(page) == ([], missing)
    assert "2 to do" in page.content.decode()
    # Typing goes on; only what was left empty is wrong.
    typed = press(admin_client, "check", path, name="fast")
    assert form_messages(typed) == ([], missing[1:])
    checked_page = press(admin_client, "check", path, submitted="name nonsense")
    assert form_messages(checked_page) == (missing[:1], missing[1:])
    tried = press(admin_client, "save", path)
    assert tried.status_code == 422
    assert form_messages(tried) == (missing, [])
    second = press(admin_client, "check", path, page=tried)
    assert form_messages(second) == (missing, []), "who has tried is told from then on"


def test_a_new_route_shows_all_its_errors(admin_client: Client) -> None:
    bad, todo = form_messages(press(admin_client, "check", reverse("route-new"), name="smart"))
    assert bad == ["A route named smart already exists."]
    assert todo == ["The route has no target."]


def test_a_route_without_a_name_is_an_error(admin_client: Client) -> None:
    assert form_messages(press(admin_client, "check", name=""))[0] == ["The route has no name."]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"do": "up:nothing"},
        {"do": "add-target:s9", "item": ["target:t1", "step:", "step:s1", "what", "target:t2"]},
        {"do": "dry-run", "dry-dialect": "x", "dry-sample": "x", "dry-failure": "x", "dry-key": "x"},
        {"do": "save-over:x", "version": "x"},
        {"do": "save", "item": ["step:s1", "target:t1"], "t1-model": "openai/gpt-4.1", "t1-extra": "[", "t1-weight": "nan"},
        {"do": "review", "item": ["step:s1", "target:t1"], "s1-strategy": "x", "t1-extra": '{"edits": [1], "timeouts": {"x": 1}}'},
    ],
)  # fmt: skip
def test_a_tampered_route_form_is_answered_without_a_server_error(
    admin_client: Client, form: dict[str, Any]
) -> None:
    page = admin_client.post(SMART, form)
    assert page.status_code in {200, 422}
    assert stored_spec().steps == STEPS


# Saving


def test_a_save_is_a_version_and_the_next_request_sees_it(admin_client: Client) -> None:
    assert press(admin_client, "save", **{"t1-weight": "70"}).status_code == 302
    assert stored_spec().steps[0].targets[0].weight == 70
    version = models.RouteVersion.objects.order_by("-number").first()
    assert version is not None
    assert (version.number, version.saved_by) == (2, "ada")
    assert version.note == "gpt-4.1 weight 60 to 70"


def test_htmx_returns_the_form_and_redirects_after_a_save(admin_client: Client) -> None:
    typed = {**fields(admin_client.get(SMART).content.decode()), "do": "add-step"}
    part = admin_client.post(SMART, typed, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith("<form")
    live = admin_client.post(
        SMART + "?live=1", typed, headers={"HX-Request": "true"}
    ).content.decode()
    assert "<form" not in live
    assert 'hx-target="#route-bar"' in live
    typed["do"] = "save"
    del typed["t3-model"]
    typed["item"] = ["step:s1", "target:t1"]
    response = admin_client.post(SMART, typed, headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == SMART


def test_two_tabs_cannot_overwrite_each_other(admin_client: Client) -> None:
    first, second = admin_client.get(SMART), admin_client.get(SMART)
    assert press(admin_client, "save", page=first, strict="1").status_code == 302
    page = press(admin_client, "save", page=second, **{"t1-weight": "70"})
    assert page.status_code == 409
    html = page.content.decode()
    assert "reject unsupported fields: no → yes" in html
    assert "gpt-4.1 weight 60 to 70" in html
    assert stored_spec().steps == STEPS
    assert fields(html)["t1-weight"] == ["70"]
    assert press(admin_client, "save", page=page).status_code == 409
    assert press(admin_client, "save-over:2", page=page).status_code == 302
    assert not stored_spec().strict
    assert stored_spec().steps[0].targets[0].weight == 70


def test_each_conflicting_save_is_reported(admin_client: Client) -> None:
    page = admin_client.get(SMART)
    press(admin_client, "save", strict="1")
    page = press(admin_client, "save", page=page, retries="3")
    press(admin_client, "save", retries="2")
    page = press(admin_client, "save-over:2", page=page)
    assert page.status_code == 409
    assert page.context["state"].conflicting_version == 3


def test_an_external_change_is_a_version(admin_client: Client) -> None:
    page = admin_client.get(SMART)
    models.Route.objects.filter(name="smart").update(retries=4)
    assert press(admin_client, "save", page=page, strict="1").status_code == 409


def test_errors_block_saving_and_warnings_do_not(admin_client: Client) -> None:
    page = press(admin_client, "save", **{"t1-weight": "0", "t2-weight": "0"})
    assert page.status_code == 422
    assert b"All weights of step 1 are 0." in page.content
    page = press(admin_client, "check")
    assert any("deepseek-chat does not support" in c.title for c in page.context["checks"])
    assert press(admin_client, "save", **{"t1-weight": "1"}).status_code == 302


def test_a_refused_name_is_reported_at_its_field(admin_client: Client) -> None:
    """On a phone, the checks are below the whole form."""
    html = press(admin_client, "save", name="a b").content.decode()
    assert 'aria-invalid="true" aria-describedby="route-name-error"' in html
    assert '<ul class="errors" id="route-name-error"><li>This name is not allowed.</li>' in html
    assert "route-name-error" not in press(admin_client, "check").content.decode()


def action_labels(page: Any, level: str) -> str:
    return " | ".join(c.title for c in page.context["checks"] if c.level == level)


@pytest.mark.parametrize(
    ("typed", "level", "lead"),
    [
        ({"name": ""}, "bad", "has no name"),
        ({"name": "other"}, "bad", "A route named other already exists"),
        ({"name": "a b"}, "bad", "not allowed"),
        ({"name": "smarter"}, "warn", "will be renamed"),
        ({"alias": ["taken"]}, "bad", "taken is an alias of other"),
        ({"alias": ["other"]}, "bad", "other is the name of another route"),
        ({"alias": ["oth*"]}, "warn", "oth* does not match other"),
        ({"alias": ["wild-a*"]}, "warn", "wild-a* and wild-* of other overlap"),
        ({"alias": ["wild-*"]}, "bad", "wild-* is an alias of other"),
        ({"fallback": ["smart"]}, "bad", "falls back to itself"),
        ({"fallback": ["gone"]}, "bad", "Route gone does not exist"),
        ({"fallback": ["other"]}, "warn", "other also falls back to this route"),
        ({"item": ["step:s1"]}, "bad", "has no target"),
        ({"t1-model": "openai/gone"}, "bad", "gone is not available"),
        ({"s1-fallback_on": ["timeout"]}, "warn", "first step has error conditions"),
        ({"s2-min_context": "9000000"}, "bad", "context window of gpt-4.1-mini is too small"),
        ({"s2-fallback_on": ["context_length"]}, "warn", "Step 2 does not help with long contexts"),
    ],
)
def test_route_checks_report_errors_and_warnings(
    admin_client: Client, typed: dict[str, Any], level: str, lead: str
) -> None:
    other = RouteSpec(name="other", aliases=("taken", "wild-*"), fallbacks=("smart",), steps=STEPS)
    save_route(other, route=None, number=0, author="ada")
    assert lead in action_labels(press(admin_client, "check", **typed), level)


def test_a_missing_key_is_an_error_only_without_another_credential(admin_client: Client) -> None:
    models.Provider.objects.filter(name="deepseek").update(credential="")
    assert "deepseek has no API key" in action_labels(press(admin_client, "check"), "warn")
    models.Provider.objects.filter(name="openai").update(credential="")
    assert "deepseek has no API key" in action_labels(press(admin_client, "check"), "bad")


def test_a_warnings_button_fixes_it(admin_client: Client) -> None:
    page = press(admin_client, "check")
    (fix,) = {c.fix.action for c in page.context["checks"] if c.fix}
    assert f'value="{fix}"' in page.content.decode()
    page = press(admin_client, fix, page=page)
    assert not [c for c in page.context["checks"] if c.fix]


# Versions


def test_versions_list_changes_and_can_be_restored(admin_client: Client) -> None:
    press(admin_client, "save", **{"t1-weight": "70"})
    page = admin_client.get("/console/route-versions/smart?show=1").content.decode()
    assert "gpt-4.1 weight 60 to 70" in page
    assert "weight: 60" in page
    response = admin_client.post("/console/route-restore/smart", {"number": "1", "version": "2"})
    assert response.headers["location"] == SMART
    assert stored_spec().steps == STEPS
    assert current_state(models.Route.objects.get(name="smart")).number == 3


def test_restoring_a_version_does_not_overwrite_a_newer_change(admin_client: Client) -> None:
    press(admin_client, "save", strict="1")
    admin_client.post("/console/route-restore/smart", {"number": "1", "version": "1"})
    assert stored_spec().strict
    for invalid_fields in ({"number": "x", "version": "2"}, {"number": "99", "version": "2"}, {}):
        assert admin_client.post("/console/route-restore/smart", invalid_fields).status_code == 404


def test_the_review_shows_changed_words_and_lines(admin_client: Client) -> None:
    page = press(admin_client, "review", **{"t1-weight": "70"})
    html = page.content.decode()
    assert "gpt-4.1 weight 60 to 70" in html
    kinds = {line.kind: line.text for line in page.context["lines"] if line.kind}
    assert "60" in kinds["drop"]
    assert "70" in kinds["add"]


def test_a_route_is_shown_as_yaml(admin_client: Client) -> None:
    page = admin_client.get("/console/route-yaml/smart").content.decode()
    assert "model: openai/gpt-4.1" in page
    assert "strategy: weighted" in page


def test_a_route_is_deleted_after_confirmation(admin_client: Client) -> None:
    save_route(RouteSpec(name="other", fallbacks=("smart",)), route=None, number=0, author="ada")
    page = admin_client.get("/console/route-delete/smart").content.decode()
    assert "This route falls back to it: other" in page
    assert models.Route.objects.filter(name="smart").exists()
    response = admin_client.post("/console/route-delete/smart")
    assert response.headers["location"] == "/console/routes"
    assert not models.Route.objects.filter(name="smart").exists()


# Dry run


@pytest.mark.parametrize("sample", ["text", "tools", "schema", "result"])
@pytest.mark.parametrize("dialect", CONSOLE_DIALECTS)
@pytest.mark.wide(every=4)
def test_a_dry_run_works_in_every_dialect(admin_client: Client, dialect: str, sample: str) -> None:
    """The upstream request is equivalent for every client dialect."""
    form = {"dry-dialect": dialect, "dry-sample": sample, "dry-model": "claude-opus"}
    page = press(admin_client, "dry-run", **form)
    trial = page.context["dry_run_panel"]
    assert (trial.dialect, trial.error_body) == (dialect, "")
    body = json.loads(trial.upstream_body)
    assert body["stream"] is True
    assert "What is the weather in Bergen?" in json.dumps(body)
    if sample == "tools" and dialect != "openai_completions":
        assert body["tools"][0]["function"]["name"] == "weather"
    assert title(dialect) in trial.lines[-1].text


def test_a_dry_run_lists_conditions_of_live_traffic_only(admin_client: Client) -> None:
    """A sample cannot contain reasoning state that the gateway has stored for a turn."""
    models.Model.objects.filter(name="deepseek-chat").update(name="deepseek-v4-pro")
    steps = (StepSpec(targets=(TargetSpec(model="deepseek/deepseek-v4-pro"),)),)
    save_route(RouteSpec(name="thinks", steps=steps), route=None, number=0, author="ada")
    headers = {"dry-dialect": "openai_chat", "dry-sample": "result"}
    page = press(admin_client, "dry-run", SMART.replace("smart", "thinks"), **headers)
    (result,) = page.context["dry_run_panel"].live_only
    assert result.field == "messages[2]"
    assert result.note in page.content.decode()


def test_a_dry_run_of_the_draft_shows_candidates_and_the_upstream_request(
    admin_client: Client,
) -> None:
    page = press(
        admin_client,
        "dry-run",
        **{
            "dry-dialect": "anthropic_messages",
            "dry-sample": "image",
            "dry-model": "claude-opus",
            "dry-target": "openai/gpt-4.1",
            "dry-failure": "429",
            "s1-strategy": "ordered",
        },
    )
    trial = page.context["dry_run_panel"]
    assert [line.kind for line in trial.lines[:4]] == ["ok", "ok", "failed", "pick"]
    assert trial.lines[0].text == "smart, by a pattern matching claude-opus"
    assert trial.lines[2].text.startswith("simulated 429")
    assert trial.url == "https://api.deepseek.com/chat/completions"
    assert '"model": "deepseek-chat"' in trial.upstream_body
    assert any(item.action for item in trial.adaptations)
    assert not models.RequestLog.objects.exists()


def test_a_weighted_dry_run_skips_the_failing_target(admin_client: Client) -> None:
    for target in ("openai/gpt-4.1", "deepseek/deepseek-chat"):
        page = press(admin_client, "dry-run", **{"dry-target": target, "dry-failure": "timeout"})
        failures = [line for line in page.context["dry_run_panel"].lines if line.kind == "failed"]
        assert [line.title for line in failures] == [target.partition("/")[2]]


def test_if_all_fail_the_clients_error_is_shown(admin_client: Client) -> None:
    page = press(admin_client, "dry-run", **{"dry-target": "*", "dry-failure": "529"})
    trial = page.context["dry_run_panel"]
    assert trial.lines[-1].title == "Error returned to the client"
    assert '"overloaded_error"' in trial.error_body


def test_a_key_that_may_not_use_the_route_is_refused_in_the_dry_run_too(
    admin_client: Client,
) -> None:
    key = models.ApiKey.objects.create(name="k", prefix="k", digest=b"k", routes=["else"])
    page = press(admin_client, "dry-run", **{"dry-key": str(key.pk)})
    assert page.context["dry_run_panel"].lines[0].title == "Rejected before any target"


def test_an_invalid_draft_is_shown_in_the_dry_run(admin_client: Client) -> None:
    page = press(admin_client, "dry-run", **{"s1-images": "with", "s1-strategy": "best"})
    assert page.context["dry_run_panel"].lines[0].title == "The draft is invalid"


# Routes of a file


def test_a_route_of_a_file_is_read_only(admin_client: Client) -> None:
    models.Route.objects.filter(name="smart").update(source="file", source_ref="x.yaml")
    page = admin_client.get(SMART)
    html = page.content.decode()
    assert "x.yaml" in html
    assert 'id="save"' not in html
    assert '<fieldset class="plain-fieldset" disabled>' in html
    assert "x.yaml" in admin_client.get("/console/routes").content.decode()
    for path in (SMART, "/console/route-delete/smart", "/console/route-restore/smart"):
        response = press(admin_client, "save", path, page, **{"t1-weight": "70", "number": "1"})
        assert response.status_code == 409, path
    assert admin_client.get("/console/route-delete/smart").status_code == 409
    assert stored_spec().steps == STEPS
    assert models.Route.objects.get(name="smart").source == "file"
    tried = press(admin_client, "dry-run", SMART, page)
    assert tried.status_code == 200
    assert 'name="dry-ran"' in tried.content.decode()


def test_a_route_of_a_file_is_copied_to_the_database(admin_client: Client) -> None:
    models.Route.objects.filter(name="smart").update(source="file", source_ref="x.yaml")
    assert admin_client.post("/console/route-copy/smart").status_code == 302
    assert press(admin_client, "save", **{"t1-weight": "70"}).status_code == 302


def test_a_copy_is_a_new_route_without_the_aliases(admin_client: Client) -> None:
    path = "/console/new-route"
    page = admin_client.get(f"{path}?from=smart")
    assert press(admin_client, "save", path, page).status_code == 302
    assert stored_spec("smart-copy").steps == STEPS
    assert stored_spec("smart-copy").aliases == ()


def test_a_target_fails_only_by_its_own_fault(admin_client: Client) -> None:
    """As on the page Health: a hedge loser and a request that is invalid say nothing about it."""
    kinds = {"openai/gpt-4.1": "hedge_loser", "deepseek/deepseek-chat": "upstream_error"}
    models.RequestLog.objects.create(
        request_id="req_hedged",
        started_at=timezone.now(),
        attempts=[{"target": label, "error_kind": kind} for label, kind in kinds.items()],
    )
    page = admin_client.get(SMART).content.decode()
    assert re.findall(r"(\d+ %) errors", page) == ["0 %", "100 %"]
    assert page.count(">Failing<") == 1


def test_prices_have_the_format_of_the_list_of_models(admin_client: Client) -> None:
    page = admin_client.get(SMART).content.decode()
    assert "$2.00 / $8.00<small>per 1M tokens</small>" in page
    models.Model.objects.update(price_input=0, price_output=0)
    page = admin_client.get(SMART).content.decode()
    assert "Free" in page
    assert "per 1M tokens" not in page
