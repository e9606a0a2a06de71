"""The clients of the development environment on a live gateway."""

from __future__ import annotations

import cohere
import httpx
import pytest
from cohere.errors import NotFoundError

from tests.clients.cases import cases
from tests.clients.conftest import Running
from tests.clients.running import client_result
from tests.clients.upstreams import GatewayStack
from tests.clients.verdict import find_fault

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("client", "upstream", "scenario"), cases(heavy=False))
@pytest.mark.wide(every=6)
def test_a_client_gets_the_requested_response(
    client_output: Running, client: str, upstream: str, scenario: str
) -> None:
    assert not find_fault(
        scenario, client_result(client_output(client), client, upstream, scenario)
    )


def test_coheres_v1_chat_api_is_not_found(stack: GatewayStack) -> None:
    base, key = stack.gateway.url, stack.gateway.key
    with httpx.Client() as http, pytest.raises(NotFoundError, match="/v1/chat"):
        client = cohere.Client(api_key=key, base_url=base, httpx_client=http)
        client.chat(model="gpt-4o", message="Hello")
