"""A large passthrough request is searched for secrets, stored once, and read as a whole."""

from __future__ import annotations

import json

import pytest

from gateway.providers.redact import Redactor
from gateway.relay.exchange.log_record import Bodies
from gateway.relay.exchange.recorder import Recorder, may_contain_secret
from gateway.relay.exchange.searched_bodies import SearchedBodies, find_shared_ends
from gateway.store.bodies import pack_bodies, unpack_bodies

LONG_TEXT = "def handler(self, request): return self.process(request)  # the task-list\n" * 400
PROVIDER_SECRET = "provider-credential-0123456789"


def request(model: str, *, text: str = LONG_TEXT) -> bytes:
    fields = {"model": model, "messages": [{"role": "user", "content": text}], "stream": False}
    return json.dumps(fields, separators=(",", ":")).encode()


def record_bodies(client_request: bytes, upstream_request: bytes, *, limit: int = 10**6) -> Bodies:
    recorder = Recorder()
    recorder.enabled, recorder.limit, recorder.passthrough = True, limit, True
    recorder.add_redactor(Redactor([PROVIDER_SECRET]))
    recorder.client_request, recorder.upstream_request = client_request, upstream_request
    recorder.record_upstream(b'{"ok":true}')
    bodies = recorder.bodies({}, [], stream=False)
    assert bodies is not None
    return bodies


def test_a_passthrough_request_is_stored_once_and_read_complete() -> None:
    client, upstream = request("route"), request("gpt-5")
    bodies = record_bodies(client, upstream)
    blob = pack_bodies(bodies)
    assert len(bodies.upstream_request or b"") < 20
    stored = unpack_bodies(blob)
    assert (stored.client_request, stored.upstream_request) == (client, upstream)
    assert stored.shared_ends == (0, 0)


@pytest.mark.parametrize("limit", [5000, 10**6])
def test_unrelated_upstream_bodies_are_stored_completely(limit: int) -> None:
    client = request("route")
    for upstream in (request("gpt-5", text=LONG_TEXT[::-1]), client, client[:4500], client + b" "):
        stored = unpack_bodies(pack_bodies(record_bodies(client, upstream, limit=limit)))
        assert stored.client_request == client[:limit]
        assert stored.upstream_request == upstream[:limit]


@pytest.mark.parametrize("secret", [PROVIDER_SECRET, "sk-" + "a1" * 16, "gsk_" + "b2" * 20])
def test_a_secret_is_masked_at_every_position(secret: str) -> None:
    in_both = record_bodies(request(secret), request(secret))
    only_upstream = record_bodies(request("route"), request(f"x{PROVIDER_SECRET}"))
    # It begins in what both requests have in common and ends in what only one has.
    middle = len(PROVIDER_SECRET) // 2
    across = record_bodies(
        request(PROVIDER_SECRET[:middle] + "--"),
        request(PROVIDER_SECRET[:middle] + PROVIDER_SECRET[middle:]),
    )
    for bodies in (in_both, only_upstream, across):
        stored = unpack_bodies(pack_bodies(bodies))
        stored_bytes = (stored.client_request or b"") + (stored.upstream_request or b"")
        assert secret.encode() not in stored_bytes
        assert PROVIDER_SECRET.encode() not in stored_bytes


def test_a_text_that_ends_like_a_key_prefix_is_stored() -> None:
    text = "task-implementation_details_v2 " + LONG_TEXT
    bodies = record_bodies(request("route", text=text), request("gpt-5", text=text))
    stored = unpack_bodies(pack_bodies(bodies))
    assert stored.client_request == request("route", text=text)
    assert stored.upstream_request == request("gpt-5", text=text)


@pytest.mark.parametrize("before", ["\n", "\t", "\x01", '"', "= "])
def test_a_key_after_an_escape_is_masked(before: str) -> None:
    key = "sk-" + "a1" * 16
    body = json.dumps({"messages": [{"role": "user", "content": f"keys:{before}{key}"}]})
    # A tool's arguments are JSON within JSON.
    for text in (body, json.dumps({"arguments": body})):
        bodies = record_bodies(text.encode(), text.encode())
        assert key.encode() not in (bodies.client_request or b"")
        assert json.loads(bodies.client_request or b"")


def test_a_key_across_the_deltas_of_a_provider_without_a_credential_is_masked() -> None:
    recorder = Recorder()
    recorder.enabled, recorder.limit, recorder.passthrough = True, 10**6, True
    recorder.client_request = request("route", text="hello")
    for text_delta in ("A key: sk-", "a1" * 8, "a1" * 8, " and more"):
        recorder.record_upstream(
            b'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n' % text_delta.encode()
        )
    bodies = recorder.bodies({}, [], stream=True)
    assert bodies is not None
    assert b"a1a1" not in (bodies.upstream_response or b"")
    assert b" and more" in (bodies.upstream_response or b"")


def test_common_prefix_and_suffix_of_two_bodies_do_not_overlap() -> None:
    first, second = b"ab" * 4096, b"ab" * 5000
    start, end = find_shared_ends(first, second)
    assert start + end <= len(first)
    assert first[:start] + second[start : len(second) - end] + first[len(first) - end :] == second
    assert find_shared_ends(b"short", b"short") == (0, 0)


@pytest.mark.parametrize("length", [15, 16])
def test_a_key_that_continues_beyond_a_searched_body_is_found(length: int) -> None:
    searched = SearchedBodies(may_contain_secret)
    turn = request("route", text=f"{LONG_TEXT} sk-{'a' * 15}. ")
    longer = request("route", text=f"{LONG_TEXT} sk-{'a' * length}. {LONG_TEXT}")
    assert not searched.contains(turn, ())
    assert not searched.contains(turn, ())
    assert searched.contains(longer, ()) is (length > 15)
    assert may_contain_secret(longer) is (length > 15)


def test_a_body_is_searched_again_for_new_secrets() -> None:
    searched = SearchedBodies(may_contain_secret)
    body = request("route", text=f"{LONG_TEXT} {PROVIDER_SECRET}")
    assert not searched.contains(body, ())
    assert searched.contains(body, (PROVIDER_SECRET.encode(),))
    assert searched.contains(body, (PROVIDER_SECRET.encode(),))


def test_the_body_cache_is_bounded() -> None:
    searched = SearchedBodies(may_contain_secret)
    for number in range(100):
        assert not searched.contains(request(f"route-{number}"), ())
    assert len(searched) == 32
