"""Each request row has a gateway-generated id, next to the id that the client chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import store
from gateway.models import RequestLog
from tests.relay.harness import completion, gateway, provider, refusal, route, snapshot
from tests.store.factories import make_record

BODY = {"model": "r", "messages": [{"role": "user", "content": "x"}]}
# What a client may call its request, and what it may try.
IDS = st.one_of(
    st.sampled_from(["106", "1", "req_0", "a" * 64, "a" * 65, "a\nb", "a b", "../1", "\u00e9", ""]),
    st.text(alphabet="abc019._-/%\r\n ", max_size=70),
    st.from_regex(r"\A[A-Za-z0-9._\-]{1,64}\Z"),
)


@settings(max_examples=25)
@given(chosen=st.lists(IDS, min_size=4, max_size=4))
async def test_no_client_chooses_the_id_of_its_row(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[str]
) -> None:
    registry = snapshot(route("r", provider("up")))
    path = tmp_path_factory.mktemp("ids")
    async with gateway(path, registry, up=lambda _: completion()) as gw:
        for name in chosen:
            reply = await gw.post("/v1/chat/completions", BODY, headers={"x-request-id": name})
            assert reply.status == 200
            echoed, gateway_id = (
                reply.headers["x-request-id"],
                reply.headers.get("x-dragoman-request-id"),
            )
            assert (echoed == name) == (gateway_id is not None)
            assert gateway_id is not None or echoed.startswith("req_")
        rows = await gw.rows(len(chosen))
        assert all(row.id.startswith("req_") for row in rows)
        assert len({row.id for row in rows}) == len(rows)
        assert {row.client_request_id for row in rows} <= {*chosen, ""}


@pytest.mark.parametrize("responses", [completion, lambda: refusal(400)], ids=["answer", "error"])
async def test_a_clients_request_id_is_returned_beside_the_rows_id(
    tmp_path: Path, responses: Any
) -> None:
    registry = snapshot(route("r", provider("up")))
    async with gateway(tmp_path, registry, up=lambda _: responses()) as gw:
        reply = await gw.post("/v1/chat/completions", BODY, headers={"x-request-id": "my-trace.1"})
        row = await gw.record()
        assert reply.headers["x-request-id"] == "my-trace.1"
        assert reply.headers["x-dragoman-request-id"] == row.id
        assert row.client_request_id == "my-trace.1"


@pytest.mark.django_db
def test_a_link_by_row_id_shows_that_row(admin_client: Client) -> None:
    """A client cannot replace a row by using its id as a request id."""
    store.write([make_record("req_mine", endpoint="/v1/chat/completions", requested_model="mine")])
    own_row = RequestLog.objects.get(request_id="req_mine")
    for n, chosen in enumerate((str(own_row.pk), "req_mine", str(own_row.pk + 1000))):
        store.write(
            [make_record(f"req_other{n}", client_request_id=chosen, requested_model="forged")]
        )
    for address in (str(own_row.pk), "req_mine"):
        page = admin_client.get(f"/console/requests/{address}").content.decode()
        assert '<h2 class="mono trunc" id="detail-title">req_mine</h2>' in page
    assert admin_client.get(f"/console/requests/{own_row.pk + 1000}").status_code == 404


@pytest.mark.django_db
def test_a_clients_id_is_found(admin_client: Client) -> None:
    store.write([make_record(f"req_{n}", client_request_id="trace-1") for n in range(2)])
    newest = RequestLog.objects.latest("pk")
    page = admin_client.get("/console/requests/trace-1").content.decode()
    assert f'data-id="{newest.pk}"' in page
    assert "trace-1" in page
    assert RequestLog.objects.with_any_id("trace-1").count() == 2
    assert RequestLog.objects.with_any_id("").count() == 0
