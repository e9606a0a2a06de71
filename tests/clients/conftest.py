"""One gateway for all clients, and each client run once for all its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.clients.environments import Unavailable
from tests.clients.running import Told, run
from tests.clients.table import CLIENTS
from tests.clients.upstreams import Stand, standing

Running = Callable[[str], Told]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The heavy clients run only where they are asked for: they need registries and minutes."""
    if "frameworks" in (config.getoption("markexpr") or ""):
        return
    heavy = [item for item in items if item.get_closest_marker("frameworks")]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in set(heavy)]


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with standing(tmp_path_factory.mktemp("stand")) as made:
        yield made


@pytest.fixture(scope="session")
def told(stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """What a client saw, by its name; it is run when it is first asked for."""
    kept: dict[str, Told | BaseException] = {}

    def telling(name: str) -> Told:
        if name not in kept:
            try:
                kept[name] = run(CLIENTS[name], stand, tmp_path_factory.mktemp(name))
            except (Unavailable, AssertionError, OSError, ValueError) as error:
                kept[name] = error
        found = kept[name]
        if isinstance(found, Unavailable):
            pytest.skip(str(found))
        if isinstance(found, BaseException):
            raise found
        return found

    return telling
