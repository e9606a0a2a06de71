"""docs/clients.md matches the table of clients, and the table is complete."""

from __future__ import annotations

import re

from gateway.dialects import DIALECTS
from tests.clients.cases import expected_results_of
from tests.clients.client import Client
from tests.clients.listing import TARGET, render_listing
from tests.clients.running import SCRIPTS, route_of
from tests.clients.table import CLIENTS
from tests.clients.upstreams import UPSTREAMS
from tests.each import each

EACH = each("client", CLIENTS.values(), ids=CLIENTS)
# The dialect of each provider, to tell whether a client meets foreign ones.
CHATS = ("chat", "deepseek")


def test_the_document_is_fresh() -> None:
    assert TARGET.read_text(encoding="utf-8") == render_listing(), (
        "run `python -m tests.clients.listing`"
    )


@EACH
def test_a_client_row_is_complete(client: Client) -> None:
    assert client.dialect in DIALECTS
    assert (SCRIPTS / client.script).is_file()
    assert set(client.upstreams) <= set(UPSTREAMS)
    assert len(set(client.upstreams) - set(CHATS)) >= 2, "two providers of other dialects"
    assert len({route_of(client, name) for name in client.upstreams}) == len(client.upstreams)


@EACH
def test_packages_are_bounded(client: Client) -> None:
    assert all(re.search(r"<\d", package) for package in client.packages)
    assert all(re.search(r"@\^\d", module) for module in client.modules)


@EACH
def test_a_known_failure_is_of_a_case_that_is_run(client: Client) -> None:
    for cell in client.known_failures:
        upstream, _, scenario = cell.rpartition(" ")
        assert upstream in client.upstreams
        assert scenario in expected_results_of(client, upstream)


def test_a_route_leads_to_one_provider() -> None:
    named = [
        (name, upstream) for client in CLIENTS.values() for upstream, name in client.names.items()
    ]
    assert len(dict(named)) == len({(name, upstream) for name, upstream in named})


def test_every_script_is_used() -> None:
    driven = {path.name for path in SCRIPTS.glob("drive_*")}
    assert driven == {client.script for client in CLIENTS.values()}
