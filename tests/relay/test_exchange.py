"""The values of a request: they do not change after admission."""

from __future__ import annotations

import msgspec
import pytest

from gateway.dialects import DIALECTS
from gateway.relay.exchange.call import AttemptState, Call, Exchange
from tests.relay.harness import provider, route, snapshot


def exchange() -> Exchange:
    registry = snapshot(route("r", provider("a")))
    test_exchange = Exchange(
        request_id="req_1",
        endpoint="/v1/chat/completions",
        verb="generate",
        dialect=DIALECTS["openai_chat"],
        snapshot=registry,
        headers={},
        started=0.0,
    )
    test_exchange.route = registry.routes["r"]
    test_exchange.body = b'{"model":"r","messages":[{"role":"user","content":"hi"}]}'
    test_exchange.fields = msgspec.json.decode(test_exchange.body, type=dict[str, msgspec.Raw])
    return test_exchange


def test_an_admitted_request_does_not_change() -> None:
    admitted = exchange()
    admitted.model = "r"
    admitted.freeze()
    with pytest.raises(AttributeError, match="body"):
        admitted.body = b"{}"
    assert admitted.request.turns[0].parts[0].text == "hi"  # type: ignore[union-attr]


def test_a_changed_copy_is_parsed_and_frozen() -> None:
    admitted = exchange()
    admitted.freeze()
    assert admitted.request.turns
    copy = admitted.replace(body=b'{"model":"r","messages":[{"role":"user","content":"ho"}]}')
    assert copy.request.turns[0].parts[0].text == "ho"  # type: ignore[union-attr]
    with pytest.raises(AttributeError):
        copy.model = "other"


def test_a_fork_shares_the_request_and_no_attempt() -> None:
    call = Call(exchange())
    target = call.exchange.route.targets[0]  # type: ignore[union-attr]
    fork = call.fork()
    fork.attempt = AttemptState(target, fork.exchange.new_tap())
    fork.attempt.passthrough = True
    fork.attempts.append(None)  # type: ignore[arg-type]
    assert fork.exchange is call.exchange
    assert call.attempt.target is None and not call.attempts
    call.join(fork)
    assert call.attempt.target is target and call.attempt.passthrough and len(call.attempts) == 1
