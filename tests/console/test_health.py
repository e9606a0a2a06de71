"""The health page: results by target, cooldowns, and lost records."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.insight import process, targets
from gateway import store
from gateway.api.runtime import SCOPE_KEY
from gateway.models import LogExport, RequestLog
from gateway.relay.exchange.log_record import Attempt, LogRecord
from gateway.relay.health.circuit_breaker import Breaker
from gateway.relay.journal.journal import JournalCounters, WriterStatus
from gateway.relay.run import readiness
from gateway.routing.circuit_breaker import CircuitState
from tests.store.factories import make_record, model, provider, route

pytestmark = pytest.mark.django_db


def status(**changes: Any) -> WriterStatus:
    well: dict[str, Any] = {"waiting": 3, "on_disk": 0, "unrecorded": 0, "disk_bytes": 1 << 20}
    well |= {
        "failing_s": 0.0,
        "error": "",
        "disk_full": False,
        "dropping": False,
        "refusing": False,
    }
    return WriterStatus(**(well | changes))


@pytest.fixture
def runtime(request: pytest.FixtureRequest) -> Any:
    """The runtime of a process that has served requests: health, registry, journal counters."""
    breaker = Breaker()
    runtime = SimpleNamespace(
        breaker=breaker,
        health=breaker.states,
        snapshot=store.load_snapshot(),
        journal=SimpleNamespace(depth=3, counters=JournalCounters(written=41), status=status()),
        run_in_loop=lambda work: work(),
        draining=False,
        drain_announced=False,
        redis_limiter=None,
        registry=SimpleNamespace(unavailable=False, stored_at=None),
        config=SimpleNamespace(version="9.9"),
    )
    for name in {"admin_client", "viewer_client"}.intersection(request.fixturenames):
        request.getfixturevalue(name).defaults[SCOPE_KEY] = SimpleNamespace(current=runtime)
    return runtime


def log_record_of_call(id: str = "req_1", *, failed: str = "", **values: Any) -> LogRecord:
    attempt = Attempt(
        target="openai/gpt-5",
        provider="openai",
        model="gpt-5",
        dialect="openai_chat",
        status=429 if failed else 200,
        error_kind=failed or None,
        error="slow down" if failed else None,
    )
    fields: dict[str, Any] = {
        "started_at": timezone.now().timestamp() - 5,
        "provider": "openai",
        "model": "gpt-5",
        "attempts": [attempt],
        "first_token_ms": 400.0,
        "duration_ms": 900.0,
        "outcome": "error" if failed else "ok",
    }
    return make_record(id, **(fields | values))


def page(client: Client) -> str:
    response = client.get(reverse("health"))
    assert response.status_code == 200
    return response.content.decode()


def single_target_health(runtime: Any = None, label: str = "openai/gpt-5") -> targets.TargetHealth:
    healths = targets.target_healths(runtime, targets.registry_snapshot(runtime))
    (target_health,) = [t for t in healths if t.label == label]
    return target_health


def test_without_any_model_the_health_page_links_to_providers(viewer_client: Client) -> None:
    assert f'href="{reverse("providers")}"' in page(viewer_client)


def test_a_target_of_a_route_is_listed_before_it_was_called() -> None:
    route("fast", model())
    target_health = single_target_health()
    assert (
        target_health.state,
        target_health.attempts,
        target_health.error_rate,
        target_health.routes,
    ) == (
        "quiet",
        0,
        None,
        ("fast",),
    )


@pytest.mark.usefixtures("frozen_now")
def test_a_target_shows_its_latency_and_error_rate() -> None:
    store.write(
        [log_record_of_call(f"req_{n}") for n in range(3)]
        + [log_record_of_call("bad", failed="rate_limit")]
    )
    target_health = single_target_health()
    assert (target_health.attempts, target_health.failed, target_health.error_rate) == (4, 1, 0.25)
    assert target_health.ttft_p50 == pytest.approx(400, rel=0.15)
    assert target_health.duration_p50 == pytest.approx(900, rel=0.15)
    assert target_health.cells[-1]["level"] == "bad"
    assert {cell["level"] for cell in target_health.cells[:-1]} == {""}


def test_the_last_error_links_to_its_request(viewer_client: Client) -> None:
    store.write([log_record_of_call("bad", failed="rate_limit")])
    link = reverse("request", args=[RequestLog.objects.get().pk])
    text = page(viewer_client)
    assert f'href="{link}"' in text
    assert "slow down" in text


def test_an_error_that_a_fallback_recovered_is_still_shown() -> None:
    saved = log_record_of_call(
        "req_1", failed="overloaded", outcome="ok", provider="other", model="m"
    )
    store.write([saved])
    error = single_target_health().error
    assert error is not None
    assert error.kind == "overloaded"


def test_client_errors_do_not_count_against_a_target() -> None:
    store.write([log_record_of_call("bad", failed="invalid_request")])
    assert (single_target_health().failed, single_target_health().error) == (0, None)


def test_a_target_in_cooldown_shows_the_time_left_and_a_reset_button(
    admin_client: Client, runtime: Any
) -> None:
    runtime.health["openai/gpt-5"] = CircuitState(3, time.monotonic() + 18.5, "rate_limit")
    store.write([log_record_of_call()])
    text = page(admin_client)
    assert re.search(r"Cooldown 1\d s", text)
    assert f'action="{reverse("health-reset")}"' in text


def test_a_viewer_has_no_reset_button_and_may_not_reset(
    viewer_client: Client, runtime: Any
) -> None:
    runtime.health["openai/gpt-5"] = CircuitState(3, time.monotonic() + 18, "rate_limit")
    store.write([log_record_of_call()])
    text = page(viewer_client)
    assert re.search(r"Cooldown 1\d s", text)
    assert reverse("health-reset") not in text
    assert (
        viewer_client.post(reverse("health-reset"), {"target": "openai/gpt-5"}).status_code == 403
    )
    assert "openai/gpt-5" in runtime.health


def test_a_reset_ends_the_cooldown(admin_client: Client, runtime: Any) -> None:
    runtime.health["openai/gpt-5"] = CircuitState(3, time.monotonic() + 18, "rate_limit")
    response = admin_client.post(reverse("health-reset"), {"target": "openai/gpt-5"}, follow=True)
    assert "openai/gpt-5 is available again." in response.content.decode()
    assert runtime.health == {}


def test_a_reset_keeps_the_search_and_the_page(admin_client: Client, runtime: Any) -> None:
    runtime.health["openai/gpt-5"] = CircuitState(3, time.monotonic() + 18, "rate_limit")
    store.write([log_record_of_call()])
    url = f"{reverse('health-reset')}?q=gpt&page=2"
    text = admin_client.get(f"{reverse('health')}?q=gpt&page=2").content.decode()
    assert f'action="{url.replace("&", "&amp;")}"' in text
    response = admin_client.post(url, {"target": "openai/gpt-5"})
    assert response.headers["Location"] == f"{reverse('health')}?q=gpt&page=2"


def test_a_reset_of_a_target_without_cooldown_is_reported(
    admin_client: Client, runtime: Any
) -> None:
    response = admin_client.post(
        reverse("health-reset"), {"target": "<b>no</b>"}, headers={"HX-Request": "true"}
    )
    text = response.content.decode()
    assert "&lt;b&gt;no&lt;/b&gt; is not in cooldown." in text
    assert "<html" not in text


@pytest.mark.parametrize(
    ("failures", "expected"), [(1, "degraded"), (2, "degraded"), (3, "failing"), (4, "failing")]
)
def test_failures_in_a_row_without_cooldown_count_from_the_third(
    runtime: Any, failures: int, expected: str
) -> None:
    runtime.health["openai/gpt-5"] = CircuitState(failures, 0.0, "timeout")
    store.write([log_record_of_call()])
    assert single_target_health(runtime).state == expected


@pytest.mark.usefixtures("frozen_now")
@pytest.mark.parametrize(
    ("failed_count", "answered_count", "kind", "text"),
    [
        (4, 0, "rate_limit", "Rate limited"),
        (1, 0, "rate_limit", "Degraded"),
        (2, 0, "timeout", "Degraded"),
        (3, 0, "timeout", "Timing out"),
        (4, 4, "rate_limit", "Rate limited"),
        (4, 0, "quota", "Out of quota"),
        (4, 0, "upstream_error", "Failing"),
        (1, 5, "rate_limit", "Degraded"),
        (1, 30, "rate_limit", "Healthy"),
        (1, 1, "rate_limit", "Healthy"),
        (0, 4, "", "Healthy"),
    ],
)
def test_a_targets_health_follows_its_newest_calls(
    viewer_client: Client, failed_count: int, answered_count: int, kind: str, text: str
) -> None:
    bad = [log_record_of_call(f"bad_{n}", failed=kind) for n in range(failed_count)]
    store.write([*bad, *(log_record_of_call(f"ok_{n}") for n in range(answered_count))])
    assert re.findall(
        r'<span class="pill[^>]*>(?:<svg.*?</svg>)?([A-Z][^<]*)</span>', page(viewer_client)
    ) == [text]


@pytest.mark.usefixtures("frozen_now")
def test_old_failures_are_ignored_after_a_success() -> None:
    old = timezone.now().timestamp() - 3 * 3600
    store.write(
        [log_record_of_call(f"bad_{n}", failed="rate_limit", started_at=old) for n in range(9)]
    )
    assert single_target_health().state == "degraded"
    store.write([log_record_of_call(f"ok_{n}") for n in range(3)])
    assert (single_target_health().state, single_target_health().error_rate) == ("ok", 0.75)


def test_a_target_after_cooldown_is_unhealthy_until_it_answers(runtime: Any) -> None:
    runtime.health["openai/gpt-5"] = CircuitState(0, time.monotonic() - 1, "rate_limit")
    store.write([log_record_of_call()])
    assert (single_target_health(runtime).state, str(single_target_health(runtime).failing[0])) == (
        "failing",
        "Rate limited",
    )


def test_failing_targets_are_listed_first(runtime: Any) -> None:
    runtime.health["z/slow"] = CircuitState(3, time.monotonic() + 9, "timeout")
    slow_attempt = Attempt(
        target="z/slow", provider="z", model="slow", dialect="openai_chat", status=200
    )
    store.write(
        [
            log_record_of_call(),
            log_record_of_call("b", provider="z", model="slow", attempts=[slow_attempt]),
        ]
    )
    healths = targets.target_healths(runtime, targets.registry_snapshot(runtime))
    assert healths[0].label == "z/slow"


def test_warnings_of_the_registry_are_shown(viewer_client: Client) -> None:
    provider(credential_env="NOT_SET_ANYWHERE")
    assert "NOT_SET_ANYWHERE" in page(viewer_client)


def test_facts_of_the_process_are_shown(viewer_client: Client, runtime: Any) -> None:
    runtime.journal.counters.rows_refused = 7
    text = page(viewer_client)
    assert re.search(r"Rows rejected by the database</dt><dd>7<", text)
    assert "data lost" in text
    assert "9.9" in text
    facts = process.process_status(runtime)
    assert facts.started_at <= timezone.now()
    assert facts.database.startswith(("SQLite 3", "PostgreSQL "))
    assert facts.database_bytes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"failing_s": 3.0}, "The request log cannot be written"),
        ({"disk_full": True}, "no disk space left"),
        ({"dropping": True}, "served but not logged"),
        ({"refusing": True}, "rejected rows"),
        ({"unrecorded": 2}, "only in memory"),
    ],
)
def test_problems_of_the_log_are_shown(
    viewer_client: Client, runtime: Any, changes: dict[str, Any], expected: str
) -> None:
    assert "callout bad" not in page(viewer_client)
    runtime.journal.status = status(**changes)
    assert expected in page(viewer_client)


def test_a_failed_export_of_the_log_is_shown(viewer_client: Client) -> None:
    LogExport.objects.create(pk=1, failed_at=timezone.now(), error="the bucket is gone")
    assert "The request log is not exported: the bucket is gone" in page(viewer_client)


def test_every_problem_has_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "missing_workers", lambda: 1)
    everything = SimpleNamespace(
        journal=SimpleNamespace(
            status=status(failing_s=1.0, disk_full=True, dropping=True, unrecorded=1, refusing=True)
        ),
        draining=True,
        drain_announced=False,
        redis_limiter=SimpleNamespace(is_up=False),
        registry=SimpleNamespace(unavailable=True, stored_at=1.0),
    )
    runtime = readiness.find_problems(everything)  # type: ignore[arg-type]
    assert {problem.code for problem in runtime} == set(process.PROBLEMS)


def test_the_size_of_the_data_directory_counts_its_files(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 10_000)
    assert process.process_status(None).data_bytes >= 10_000


# The state on the page of providers


def test_providers_with_a_model_in_cooldown_say_so(viewer_client: Client, runtime: Any) -> None:
    provider("openai")
    runtime.health["openai/gpt-5"] = CircuitState(3, time.monotonic() + 18, "rate_limit")
    text = viewer_client.get(reverse("providers")).content.decode()
    assert "Models in cooldown: 1" in text


@pytest.mark.parametrize(("failed_count", "level"), [(1, "warn"), (2, "warn"), (3, "bad")])
def test_a_few_failed_calls_do_not_mark_a_provider_as_failing(
    viewer_client: Client, failed_count: int, level: str
) -> None:
    provider("openai")
    store.write([log_record_of_call(f"b{n}", failed="timeout") for n in range(failed_count)])
    text = viewer_client.get(reverse("providers")).content.decode()
    assert f'<span class="dot {level}"></span><span>{failed_count} of {failed_count}' in text


def test_the_list_of_providers_and_the_sidebar_agree(viewer_client: Client) -> None:
    """Both count attempts: a retry that succeeds hides no failure, a client's error is none."""
    provider("openai")
    failed, succeeded = (
        Attempt(
            target="openai/gpt-5",
            provider="openai",
            model="gpt-5",
            dialect="openai_chat",
            status=code,
            error_kind=kind,
        )
        for code, kind in ((429, "rate_limit"), (200, None))
    )
    store.write([log_record_of_call(f"a{n}", attempts=[failed, succeeded]) for n in range(3)])
    client_error = {"attempts": [], "outcome": "error", "error_kind": "bad_request"}
    store.write([log_record_of_call(f"b{n}", **client_error) for n in range(9)])
    assert sidebar_health(viewer_client)["unhealthy"] == ["openai"]
    text = viewer_client.get(reverse("providers")).content.decode()
    assert '<span class="dot bad"></span><span>3 of 6 attempts failed' in text


def test_the_list_of_providers_names_failing_models(viewer_client: Client) -> None:
    row = provider("openai")
    model("gpt-5", row)
    store.write([log_record_of_call(f"a{n}", failed="timeout") for n in range(3)])
    fine = Attempt(
        target="openai/o", provider="openai", model="o", dialect="openai_chat", status=200
    )
    store.write([log_record_of_call(f"b{n}", attempts=[fine], model="o") for n in range(9)])
    assert "1 target failing" in sidebar_health(viewer_client)["message"]
    text = viewer_client.get(reverse("providers")).content.decode()
    assert '<span class="dot warn"></span><span>Models failing: 1' in text


# The sidebar's line


def sidebar_health(client: Client) -> dict[str, Any]:
    return client.get(reverse("health-status")).json()


def test_all_providers_are_healthy_until_one_fails(viewer_client: Client) -> None:
    provider("openai")
    provider("other", preset="custom", base_url="http://127.0.0.1:1/v1", auth="none")
    assert sidebar_health(viewer_client)["message"] == "2 of 2 providers healthy"
    store.write([log_record_of_call(f"req_{n}", failed="timeout") for n in range(3)])
    assert sidebar_health(viewer_client) == {
        "healthy": 1,
        "total": 2,
        "unhealthy": ["openai"],
        "level": "warn",
        "message": "1 of 2 providers healthy, 1 target failing",
    }


def test_one_failure_does_not_mark_a_provider_unhealthy(viewer_client: Client) -> None:
    provider("openai")
    store.write([log_record_of_call("bad", failed="timeout")])
    assert sidebar_health(viewer_client)["level"] == "ok"


def test_a_target_in_cooldown_marks_its_provider_unhealthy(
    viewer_client: Client, runtime: Any
) -> None:
    provider("openai")
    runtime.snapshot = store.load_snapshot()
    runtime.health["openai/gpt-5"] = CircuitState(3, time.monotonic() + 18, "rate_limit")
    assert sidebar_health(viewer_client)["level"] == "bad"


def test_the_line_for_the_sidebar_is_html_for_htmx(viewer_client: Client) -> None:
    provider("openai")
    response = viewer_client.get(reverse("health-status"), headers={"HX-Request": "true"})
    assert "1 of 1 provider healthy" in response.content.decode()


def test_the_last_error_is_found_under_many_newer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "RECENT_ROWS", 2)
    rescued = log_record_of_call(
        "req_rescued", failed="rate_limit", outcome="ok", provider="b", model="c"
    )
    store.write([rescued])
    store.write([log_record_of_call("req_failed", failed="timeout")])
    store.write(
        [log_record_of_call(f"req_{n}", attempts=[], provider="x", model="y") for n in range(5)]
    )
    failures = [
        log_record_of_call(f"req_x{n}", failed="timeout", attempts=[], provider="x")
        for n in range(3)
    ]
    store.write(failures)
    error = single_target_health().error
    assert error is not None
    assert error.error_kind == "timeout"
    RequestLog.objects.filter(request_id="req_failed").delete()
    error = single_target_health().error
    assert error is not None, "it failed in a row that another target answered"
    assert error.error_kind == "rate_limit"


def test_the_sidebar_counts_the_targets_that_the_page_calls_failing() -> None:
    """Also if the hour before was fine, and not those that failed hours ago."""
    row = provider("openai")
    for name in ("gpt-5", "old"):
        route(name, model(name, row))
    hour = timezone.now().timestamp() // 3600 * 3600
    calls = [
        *((f"fine{n}", "gpt-5", 200, hour - 1800) for n in range(9)),
        *((f"bad{n}", "gpt-5", 429, hour) for n in range(3)),
        *((f"old{n}", "old", 429, hour - 6 * 3600) for n in range(3)),
    ]
    for request_id, name, code, started_at in calls:
        attempt = Attempt(
            target=f"openai/{name}",
            provider="openai",
            model=name,
            dialect="openai_chat",
            status=code,
            error_kind="rate_limit" if code == 429 else None,
        )
        values = {"attempts": [attempt], "model": name, "started_at": started_at}
        store.write([log_record_of_call(request_id, failed=attempt.error_kind or "", **values)])
    registry = store.load_snapshot()
    states = {t.model: t.state for t in targets.target_healths(None, registry)}
    assert states == {"gpt-5": "failing", "old": "degraded"}
    assert targets.health_summary(None, registry).failing == 1


def test_the_sidebar_counts_targets_that_fail() -> None:
    row = provider("openai")
    route("fast", model("gpt-5", row))
    store.write([log_record_of_call(f"req_{n}", failed="timeout") for n in range(4)])
    fine = Attempt(
        target="openai/o", provider="openai", model="o", dialect="openai_chat", status=200
    )
    store.write([log_record_of_call(f"req_f{n}", attempts=[fine], model="o") for n in range(9)])
    runtime = targets.health_summary(None, store.load_snapshot())
    assert runtime.message == "1 of 1 provider healthy, 1 target failing"
    assert runtime.level == "warn"
