"""Frameworks and agents on a live gateway: `uv run pytest -m frameworks`.

Each is installed separately from PyPI or npm and cached for the next run.
"""

from __future__ import annotations

import pytest

from tests.clients.cases import cases
from tests.clients.conftest import Running
from tests.clients.running import client_result
from tests.clients.verdict import find_fault

# The first case of a client installs it and runs all of its scenarios.
pytestmark = [pytest.mark.e2e, pytest.mark.frameworks, pytest.mark.timeout(1500)]


@pytest.mark.parametrize(("client", "upstream", "scenario"), cases(heavy=True))
def test_a_client_gets_the_requested_response(
    client_output: Running, client: str, upstream: str, scenario: str
) -> None:
    assert not find_fault(
        scenario, client_result(client_output(client), client, upstream, scenario)
    )
