"""Passthrough endpoints of providers: complete data, and every path is matched."""

from __future__ import annotations

from gateway.dialects import DIALECTS
from gateway.edge.endpoints import find_endpoint as endpoint_at
from gateway.edge.endpoints import is_edge_path
from gateway.providers.catalog import PRESETS
from gateway.providers.passthrough_catalog import (
    OPERATIONS,
    PASSTHROUGH_PATHS,
    REALTIME,
    Operation,
    family_path,
    find_operation,
)
from tests.each import each

FAMILIES = {operation.family for operation in (*OPERATIONS, REALTIME)}
operations = each(
    "operation", OPERATIONS, ids=[f"{o.method} {o.family} {o.path}" for o in OPERATIONS]
)


def test_every_preset_has_a_row_and_every_row_a_preset() -> None:
    assert PASSTHROUGH_PATHS.keys() == PRESETS.keys()


@each("name", PASSTHROUGH_PATHS)
def test_a_row_has_families_and_paths(name: str) -> None:
    for family, path in PASSTHROUGH_PATHS[name].items():
        assert family in FAMILIES
        assert path.startswith("/")
        assert not path.endswith("/")
        assert not PRESETS[name].base_url.endswith(path)


def test_generic_server_presets_have_passthrough_paths() -> None:
    assert all(
        PASSTHROUGH_PATHS[name] for name in ("custom", "custom-completions", "custom-embeddings")
    )


def test_anthropic_paths_are_only_at_anthropic_messages_providers() -> None:
    for name, offered in PASSTHROUGH_PATHS.items():
        if any(family.startswith("anthropic/") for family in offered):
            assert PRESETS[name].dialect == "anthropic_messages"


@operations
@each("prefix", ["/v1/", "/"])
def test_an_operation_is_found_at_its_path(operation: Operation, prefix: str) -> None:
    path = prefix + operation.path.replace("{id}", "file-1")
    assert is_edge_path(path)
    endpoint = endpoint_at(path)
    assert endpoint is not None
    assert endpoint.action == "passthrough"
    text = operation.path.replace("{id}", "file-1")
    actual_operation, id_, _ = find_operation(operation.method, text, operation.dialect)
    assert (actual_operation, id_) == (operation, "file-1" if "{id}" in operation.path else "")


@operations
def test_an_operation_has_a_known_error_dialect(operation: Operation) -> None:
    assert operation.dialect in DIALECTS or operation.dialect == "rerank"


def test_a_row_of_an_operator_takes_precedence() -> None:
    assert family_path("openai", {}, "rerank") is None
    assert family_path("openai", {"rerank": "/mine"}, "rerank") == "/mine"
    assert family_path("no-such-preset", {}, "files") is None


@each("path", ["files/a/b", "files//content", "images/nothing", "rerank/x"])
def test_unknown_paths_are_not_in_the_catalog(path: str) -> None:
    assert find_operation("GET", path, "openai_chat")[0] is None
