"""Hedged requests on a live gateway: the loser is closed, and its usage is billed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.stack import Gateway, litellm_config
from tests.fakes import StrictOpenAI
from tests.fakes.script import ScriptedResponse
from tests.waits import wait_until

pytestmark = pytest.mark.e2e
PROMPT = "Which of you is the faster one? " * 40


@dataclass
class GatewayStack:
    """A gateway in front of a slow and a fast provider, and a key with a budget."""

    gateway: Gateway
    slow: StrictOpenAI
    quick: StrictOpenAI
    secret: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayStack]:
    with StrictOpenAI() as slow_server, StrictOpenAI() as quick:
        slow_server.script.on("faster", ScriptedResponse(text="I am late", first_s=60))
        quick.script.on("faster", ScriptedResponse(text="I am", input_tokens=321, output_tokens=3))
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), litellm_config([])).start()
        try:
            yield GatewayStack(
                gateway, slow_server, quick, create_route_and_key(gateway, slow_server, quick)
            )
        finally:
            gateway.kill()


def post(gateway: Gateway, path: str, body: Any) -> Any:
    headers = {"authorization": f"Bearer {gateway.key}"}
    response = httpx.post(f"{gateway.url}/api/{path}", json=body, headers=headers, timeout=30)
    assert response.is_success, response.text
    return response.json()


def create_route_and_key(gateway: Gateway, slow_server: StrictOpenAI, quick: StrictOpenAI) -> str:
    """Create the route `both` and a key; return the secret once the gateway accepts it."""
    for name, server in (("slow", slow_server), ("quick", quick)):
        row = {"name": name, "preset": "openai", "base_url": f"{server.url}/v1"}
        post(gateway, "providers", row | {"credential": server.key})
        prices = {"input": "4", "output": "10"}
        post(gateway, "models", {"name": f"{name}/gpt-4o", "prices": prices})
    targets = [{"model": "slow/gpt-4o"}, {"model": "quick/gpt-4o"}]
    steps = [{"strategy": "ordered", "targets": targets}]
    route_document = {"name": "both", "retries": 0, "hedge_after_s": 0.1, "steps": steps}
    post(gateway, "routes", route_document)
    key = {"name": "mira", "budget": {"total_usd": "1"}, "markup": "2"}
    return gateway.wait_for_key(str(post(gateway, "keys", key)["key"]))


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_both_hedged_attempts_are_charged_and_one_is_returned(
    stack: GatewayStack, *, streamed: bool
) -> None:
    gateway, slow_server, secret = stack.gateway, stack.slow, stack.secret
    spent = gateway.api("/api/keys/mira/state")["budgets"][-1]["spent"]
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=secret, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="both",
            messages=[{"role": "user", "content": PROMPT}],
            stream=streamed,
            **({"stream_options": {"include_usage": True}} if streamed else {}),  # type: ignore[arg-type]
        )
        response = raw.parse()
        if streamed:
            text = "".join(c.choices[0].delta.content or "" for c in response if c.choices)  # type: ignore[union-attr]
        else:
            text = response.choices[0].message.content  # type: ignore[union-attr]
    assert text == "I am"
    row = gateway.row(raw.headers["x-request-id"])
    losing_attempt, winner = row["attempts"]
    assert (losing_attempt["provider"], losing_attempt["error_kind"]) == ("slow", "hedge_loser")
    assert (row["provider"], row["input_tokens"], winner.get("error_kind")) == ("quick", 321, None)
    wait_until(
        lambda: slow_server.requests[-1].left_at is not None
    )  # the loser's connection is closed
    winner_usd = Decimal(321 * 4 + 3 * 10) / 1_000_000
    # 8 tokens a sentence in o200k_base; its words are shorter than those of most texts.
    assert losing_attempt["input_tokens"] == pytest.approx(40 * 8 + 4, rel=0.25)
    beside = Decimal(losing_attempt["input_tokens"] * 4) / 1_000_000
    assert (Decimal(row["cost_usd"]), Decimal(losing_attempt["cost_usd"])) == (winner_usd, beside)
    reported_spent = gateway.api("/api/keys/mira/state")["budgets"][-1]["spent"]
    assert Decimal(reported_spent) - Decimal(spent) == (winner_usd + beside) * 2
    usage = gateway.api("/api/usage", by="provider", step="all")["items"]
    requests = {attempt_usage["name"]: attempt_usage["requests"] for attempt_usage in usage}
    assert requests["slow"] == 0 and requests["quick"] >= 1
