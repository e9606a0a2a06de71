"""LiteLLM's proxy creates a database, which is imported: `uv run pytest -m frameworks`.

`tests/litellm/test_own_database.py` imports a committed dump of such a database.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command

from tests.clients.environments import Unavailable
from tests.fakes import StrictOpenAI
from tests.litellm.imported_proxy import check_keys_on_a_gateway, check_rows, import_environment
from tests.litellm.own_proxy import installed_packages, running_proxy
from tests.litellm.proxy_calls import set_up_and_use
from tests.litellm.proxy_database import migrations, new_database

pytestmark = [
    *(pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.postgres, pytest.mark.django_db),
    pytest.mark.timeout(1500),
]


def test_keys_made_by_a_litellm_proxy_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        packages = installed_packages()
    except Unavailable as why:
        pytest.skip(str(why))
    directory = tmp_path / "proxy"
    directory.mkdir()
    with new_database(migrations(packages)) as (database, _), StrictOpenAI() as provider:
        with running_proxy(directory, database, provider.url) as proxy:
            reported = set_up_and_use(proxy)
        for name, value in import_environment(provider.url).items():
            monkeypatch.setenv(name, value)
        call_command("import_litellm", database, "--dry-run")
        call_command("import_litellm", database)
        check_rows(reported)
        check_keys_on_a_gateway(tmp_path, database, provider.url, reported)
