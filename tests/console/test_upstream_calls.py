"""Requests with several upstream calls on the request page: search rounds and choices."""

from __future__ import annotations

from django.test import Client

from gateway.relay.exchange.log_record import Attempt, SearchRecord, UpstreamCall
from tests.console.test_requests import detail, logged
from tests.markup import normalize_html
from tests.store.factories import bodies


def test_the_conversation_of_several_calls_has_the_clients_response(admin_client: Client):
    """The upstream's responses are stored one after another."""
    message = {"role": "assistant", "content": "Found it."}
    response = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    request = {"model": "fast", "messages": [{"role": "user", "content": "Oslo?"}]}
    stored = bodies(request, response, upstream_response=b'{"choices":[]}{"choices":[]}')
    attempt = Attempt(
        target="a/m", provider="a", model="m", dialect="openai_chat", calls=[UpstreamCall()] * 2
    )
    row = logged(
        attempts=[attempt],
        bodies=stored,
        client_dialect="openai_chat",
        upstream_dialect="openai_chat",
    )
    assert "Found it." in detail(admin_client, row)


def test_the_calls_and_searches_of_an_attempt_are_shown(admin_client: Client):
    searches = [
        SearchRecord(query="Oslo <b>", results=2),
        SearchRecord(query="Bergen", error="the search did not finish within 10 s"),
    ]
    call = UpstreamCall(
        started_ms=10, ended_ms=260, input_tokens=1200, output_tokens=5, searches=searches
    )
    attempt = Attempt(target="a/m", provider="a", model="m", dialect="openai_chat", calls=[call])
    text = normalize_html(detail(admin_client, logged(attempts=[attempt])))
    assert "call 1: 1,200 input tokens, 5 output tokens, 0.25 s" in text
    assert "web search “Oslo &lt;b&gt;”: 2 results" in text
    assert "“Bergen”: the search did not finish within 10 s" in text
