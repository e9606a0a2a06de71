"""What providers serve beside texts: the data are complete, and every path is found."""

from __future__ import annotations

from gateway.dialects import DIALECTS
from gateway.edge.endpoints import find_endpoint as endpoint_at
from gateway.edge.endpoints import is_edge_path
from gateway.providers.catalog import PRESETS
from gateway.providers.offers import ANY, FAMILIES, OFFERS, OPERATIONS, Operation, find, path_of
from tests.each import each

operations = each(
    "operation", OPERATIONS, ids=[f"{o.method} {o.family} {o.path}" for o in OPERATIONS]
)


def test_every_preset_has_a_row_and_every_row_a_preset() -> None:
    assert OFFERS.keys() == PRESETS.keys()


@each("name", OFFERS)
def test_a_row_has_families_and_paths(name: str) -> None:
    for family, path in OFFERS[name].items():
        assert family in FAMILIES
        assert path.startswith("/")
        assert not path.endswith("/")
        assert not PRESETS[name].base_url.endswith(path)


def test_a_preset_that_stands_for_any_server_offers_something() -> None:
    assert all(OFFERS[name] for name in ANY)


def test_claudes_things_are_at_providers_that_speak_as_it_does() -> None:
    for name, offered in OFFERS.items():
        if any(family.startswith("anthropic/") for family in offered):
            assert PRESETS[name].dialect == "anthropic_messages"


@operations
@each("prefix", ["/v1/", "/"])
def test_an_operation_is_found_at_its_path(operation: Operation, prefix: str) -> None:
    path = prefix + operation.path.replace("{id}", "file-1")
    assert is_edge_path(path)
    endpoint = endpoint_at(path)
    assert endpoint is not None
    assert endpoint.action == "forward"
    asked = operation.path.replace("{id}", "file-1")
    found, id_, _ = find(operation.method, asked, operation.dialect)
    assert (found, id_) == (operation, "file-1" if "{id}" in operation.path else "")


@operations
def test_an_operation_tells_errors_in_a_known_dialect(operation: Operation) -> None:
    assert operation.dialect in DIALECTS or operation.dialect == "rerank"


def test_a_row_of_an_operator_comes_first() -> None:
    assert path_of("openai", {}, "rerank") is None
    assert path_of("openai", {"rerank": "/mine"}, "rerank") == "/mine"
    assert path_of("no-such-preset", {}, "files") is None


@each("path", ["files/a/b", "files//content", "images/nothing", "rerank/x"])
def test_nothing_is_found_elsewhere(path: str) -> None:
    assert find("GET", path, "openai_chat")[0] is None
