"""Fixtures: one gateway for all clients, and one run of each client for all its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from subprocess import TimeoutExpired

import pytest

from tests.clients.environments import Unavailable
from tests.clients.running import ClientOutput, run
from tests.clients.table import CLIENTS
from tests.clients.upstreams import GatewayStack, running_stack

Running = Callable[[str], ClientOutput]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the heavy clients unless requested: they need registries and minutes."""
    if "frameworks" in (config.getoption("markexpr") or ""):
        return
    heavy = [item for item in items if item.get_closest_marker("frameworks")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in set(heavy)]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as test_stand:
        yield test_stand


@pytest.fixture(scope="session")
def client_output(stack: GatewayStack, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A function that returns what a client received; the client is run on first use."""
    completed_by_name: dict[str, ClientOutput | BaseException] = {}

    def telling(name: str) -> ClientOutput:
        if name not in completed_by_name:
            try:
                completed_by_name[name] = run(CLIENTS[name], stack, tmp_path_factory.mktemp(name))
            except (Unavailable, AssertionError, OSError, ValueError, TimeoutExpired) as error:
                completed_by_name[name] = error
        actual_completed_by_name = completed_by_name[name]
        if isinstance(actual_completed_by_name, Unavailable):
            pytest.skip(str(actual_completed_by_name))
        if isinstance(actual_completed_by_name, BaseException):
            raise actual_completed_by_name
        return actual_completed_by_name

    return telling
