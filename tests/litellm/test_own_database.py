"""Import of a database that LiteLLM itself created; see `make_database`."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from gateway.models import ApiKey, Registry, UsageHour
from tests.fakes import StrictOpenAI
from tests.litellm.imported_proxy import (
    Reported,
    check_keys_on_a_gateway,
    check_rows,
    import_environment,
)
from tests.litellm.make_database import DUMP, REPORTED
from tests.litellm.proxy_database import new_database
from tests.litellm.test_database import import_database

pytestmark = pytest.mark.postgres

_MOMENT = re.compile(r"\b(20\d\d-\d\d-\d\d)([ T])?(?(2)\d\d:\d\d:\d\d)")


@pytest.fixture
def shift_dates() -> Callable[[str], str]:
    """A function that shifts the dates in a text as if the database had just been created."""
    keys = json.loads(REPORTED.read_text(encoding="utf-8"))["key_info"].values()
    recorded_at, now = (
        dt.datetime.fromisoformat(max(row["updated_at"] for row in keys)),
        timezone.now(),
    )
    days = now.date() - recorded_at.date()
    seconds = dt.timedelta(seconds=int((now - recorded_at).total_seconds()))

    def moved(match: re.Match[str]) -> str:
        if match[2] is None:
            return str(dt.date.fromisoformat(match[1]) + days)
        moment = dt.datetime.fromisoformat(match[0]) + seconds
        return moment.isoformat(sep=match[2])

    return lambda text: _MOMENT.sub(moved, text)


@pytest.fixture
def reported(shift_dates: Callable[[str], str]) -> Reported:
    """The API reports of the LiteLLM proxy."""
    responses: Reported = json.loads(shift_dates(REPORTED.read_text(encoding="utf-8")))
    return responses


@pytest.fixture
def database(shift_dates: Callable[[str], str]) -> Iterator[str]:
    """The URL of the database that the LiteLLM proxy created."""
    dump = gzip.decompress(DUMP.read_bytes()).decode()
    with new_database(shift_dates(dump)) as (url, _):
        yield url


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in import_environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)


@pytest.mark.django_db
def test_everything_that_litellms_api_reported_is_imported(
    database: str, reported: Reported
) -> None:
    assert "nothing was imported" in import_database(database, "--dry-run")
    assert not ApiKey.objects.exists()
    import_database(database)
    check_rows(reported)
    version, usage = Registry.objects.version(), list(UsageHour.objects.order_by("pk").values())
    import_database(database)
    check_rows(reported)
    assert Registry.objects.version() == version
    assert list(UsageHour.objects.order_by("pk").values()) == usage


@pytest.mark.django_db
def test_the_report_has_only_omitted_fields(database: str) -> None:
    _, _, remarks = import_database(database).partition("\n\n")
    remarks = re.sub(r" \(\d+ \w+\)", "", remarks)
    subjects_by_text: dict[str, list[str]] = {}
    for line in remarks.splitlines():
        subjects, _, text = line.partition(": ") if ": " in line else ("", "", line)
        subjects_by_text.setdefault(text, []).extend(subjects.split(", ") if subjects else [])
    for subjects_of_one in subjects_by_text.values():
        subjects_of_one.sort()
    assert subjects_by_text == {
        "serves only names with the prefix openai/, which clients of LiteLLM may omit: add an "
        "alias for each name that they use": ["model openai/*"],
        "aliases are not imported (gpt-4o of smart): an alias here is for all keys": [
            "team search"
        ],
        "is named `search (t-second)` here": ["team search"],
        "its spend counter is 0.0008 US dollars higher than the imported spend, because keys were "
        "deleted: its budget starts with the imported spend": ["team search"],
        "allowed_routes is not imported": ["key chat only"],
        "is a management key of LiteLLM: it cannot use any model": [
            "key management",
            "key read only",
        ],
        "is revoked in Dragoman, since its team or project is blocked": ["key closed"],
        "soft_budget is not 1 to 100 percent of max_budget: skipped": ["key gold"],
        "object_permission_id is not imported": ["key stores"],
        "descriptive metadata is not stored": ["key ci", "key robot"],
        "rpm_limit 0 rejects every request": ["key zero"],
        "metadata.model_rpm_limit is not imported": ["key by model"],
        "keys of sessions of LiteLLM's pages are skipped": [],
        "aliases are not imported (best of smart): an alias here is for all keys": ["key group"],
        "not imported": [
            "budgets and models of tags",
            "guardrails",
            "spend by end user",
            "spend by tag",
        ],
        "keys keep the user_id as a label; accounts of the console are created there, or at "
        "the first single sign-on": ["3 users"],
        "budgets of single members of a team are not imported": [],
    }


@pytest.mark.django_db
def test_usage_has_the_names_of_models_here(database: str) -> None:
    import_database(database)
    models = set(UsageHour.objects.exclude(model="").values_list("model", flat=True))
    assert models == {"gpt-4o", "gpt-4o-mini", "gpt-4.1", "best"}


@pytest.mark.e2e
def test_litellms_keys_work_unchanged(database: str, reported: Reported, tmp_path: Path) -> None:
    with StrictOpenAI() as provider:
        check_keys_on_a_gateway(tmp_path, database, provider.url, reported)
