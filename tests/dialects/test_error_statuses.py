"""HTTP statuses of providers whose class says too little: all dialects read them alike."""

from __future__ import annotations

import pytest

from gateway.dialects import DIALECTS

# What a proxy or an edge network between the gateway and the model says is not the client's
# fault, so that a retry or a fallback may help.
KINDS = {
    405: "upstream_error",
    407: "upstream_auth",
    410: "not_found",
    421: "upstream_error",
    423: "upstream_error",
    425: "upstream_error",
    451: "upstream_error",
    522: "timeout",
    524: "timeout",
    598: "timeout",
}


@pytest.mark.parametrize("dialect", [n for n, d in DIALECTS.items() if d.provider is not None])
def test_the_statuses_of_intermediaries_are_no_fault_of_the_client(dialect: str) -> None:
    parse_error = DIALECTS[dialect].provider.parse_error
    parsed_kinds = {status: parse_error(status, {}, b"").kind for status in KINDS}
    assert parsed_kinds == KINDS
