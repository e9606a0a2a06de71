"""Import of a database that LiteLLM's proxy made itself: `make_database` tells how."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from gateway.models import ApiKey, Registry, UsageHour
from tests.e2e.litellm_gateway import running
from tests.fakes import StrictOpenAI
from tests.fakes.openai import KEY as PROVIDER_KEY
from tests.litellm.imported_proxy import Reported, check_calls, check_rows
from tests.litellm.make_database import DUMP, REPORTED
from tests.litellm.proxy_calls import BASE, KEY, MASTER_KEY, SALT_KEY
from tests.litellm.proxy_database import new_database

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).resolve().parent.parent.parent
SECRETS = {"LITELLM_SALT_KEY": SALT_KEY, "LITELLM_MASTER_KEY": MASTER_KEY}


_CONFIG = "general_settings: {master_key: sk-1234}"
_DATE = re.compile(r"\b20\d\d-\d\d-\d\d")


def brought_up_to_date(text: str) -> str:
    """The text with all its dates later by as many days as have passed since it was made."""
    made = json.loads(REPORTED.read_text(encoding="utf-8"))["key_info"]["all"]["created_at"][:10]
    later = timezone.now().date() - dt.date.fromisoformat(made)
    return _DATE.sub(lambda date: str(dt.date.fromisoformat(date[0]) + later), text)


@pytest.fixture
def reported() -> Reported:
    """What the API of LiteLLM's proxy reported of its database."""
    answers: Reported = json.loads(brought_up_to_date(REPORTED.read_text(encoding="utf-8")))
    return answers


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of the database that LiteLLM's proxy made."""
    dump = gzip.decompress(DUMP.read_bytes()).decode()
    with new_database(brought_up_to_date(dump)) as (url, _):
        yield url


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(BASE, "http://127.0.0.1:9/v1")
    monkeypatch.setenv(KEY, PROVIDER_KEY)


def imported(url: str, *options: str) -> str:
    out = StringIO()
    call_command("import_litellm", url, *options, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_all_that_its_api_reported_is_there(database: str, reported: Reported) -> None:
    assert "nothing was imported" in imported(database, "--dry-run")
    assert not ApiKey.objects.exists()
    imported(database)
    check_rows(reported)
    version, usage = Registry.objects.version(), list(UsageHour.objects.order_by("pk").values())
    imported(database)
    check_rows(reported)
    assert Registry.objects.version() == version
    assert list(UsageHour.objects.order_by("pk").values()) == usage


@pytest.mark.e2e
def test_its_keys_work_unchanged(database: str, reported: Reported, tmp_path: Path) -> None:
    with StrictOpenAI() as provider:
        variables = {BASE: f"{provider.url}/v1", KEY: PROVIDER_KEY}
        with running(tmp_path, _CONFIG, **variables) as gateway:
            subprocess.run(
                [sys.executable, "manage.py", "import_litellm", database],
                cwd=ROOT,
                env={
                    **gateway.environment(),
                    **SECRETS,
                    "DRAGOMAN_DATA_DIR": str(gateway.data_dir),
                },
                check=True,
                capture_output=True,
            )
            gateway.known(reported["keys"]["all"])
            check_calls(lambda key, model: gateway.ask(model, key=key).status_code, reported)
