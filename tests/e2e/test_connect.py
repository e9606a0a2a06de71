"""`dragoman connect` on a live gateway: it tests the connection in each client's API."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from console.client_files.clients import CLIENTS
from tests.e2e.stack import GatewayStack

pytestmark = pytest.mark.e2e


def connect(
    stack: GatewayStack, client: str, capsys: pytest.CaptureFixture[str], **options: str
) -> str:
    address = {"base_url": stack.gateway.url, "key": stack.gateway.key}
    call_command("connect", client, **{**address, **options})
    return capsys.readouterr().out


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_is_checked_in_its_own_api(
    stack: GatewayStack, client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = connect(stack, client, capsys, model="claude-sonnet-4-5")
    assert f"Checked: claude-sonnet-4-5 answers at {stack.gateway.url}." in connection


def test_connect_errors_name_the_cause(
    stack: GatewayStack, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CommandError, match=r"the test request failed: HTTP 404: .*`nobody`"):
        connect(stack, "claude-code", capsys, model="nobody")
    with pytest.raises(CommandError, match="HTTP 401"):
        connect(stack, "codex", capsys, key="sk-nobody")
    with pytest.raises(CommandError, match=r"choose a model with --model: .*claude-sonnet-4-5"):
        connect(stack, "codex", capsys)
