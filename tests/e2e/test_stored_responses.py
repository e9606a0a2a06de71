"""Stored responses are retrieved by id, with the real SDK on two processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.e2e.response_nodes import CHAT, MESSAGES, OWN, ResponseNodes, response_nodes
from tests.fakes import Refusal, ScriptedResponse
from tests.waits import wait_until

pytestmark = pytest.mark.e2e

FOREIGN = pytest.mark.parametrize("model", [CHAT, MESSAGES], ids=["on_chat", "on_messages"])
ALL = pytest.mark.parametrize(
    "model", [OWN, CHAT, MESSAGES], ids=["on_responses", "on_chat", "on_messages"]
)
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResponseNodes]:
    with response_nodes(tmp_path_factory.mktemp("response_nodes")) as nodes:
        yield nodes


@pytest.fixture
def client(site: ResponseNodes) -> Iterator[openai.OpenAI]:
    with site.client() as api_client:
        yield api_client


def create_response(client: openai.OpenAI, *, stream: bool = False, **fields: Any) -> Any:
    """Return the response, whole or joined by the SDK."""
    if not stream:
        return client.responses.create(**fields)
    with client.responses.stream(**fields) as events:
        return events.get_final_response()


def request_with_text(site: ResponseNodes, text: str) -> Any:
    """Return the body of the newest upstream request with this text."""
    servers = (site.openai, site.deepseek, site.anthropic)
    recorded_requests = [s for server in servers for s in server.requests if text.encode() in s.raw]
    return max(recorded_requests, key=lambda recorded: recorded.at)


def completed_response(client: openai.OpenAI, response_id: str) -> Any:
    """Return the response once it is complete."""
    under_way = {"queued", "in_progress"}
    wait_until(lambda: client.responses.retrieve(response_id).status not in under_way)
    return client.responses.retrieve(response_id)


def wait_for_request(site: ResponseNodes, text: str) -> None:
    """Wait until a provider has received a request with this text."""
    servers = (site.openai, site.deepseek, site.anthropic)
    wait_until(lambda: any(text.encode() in s.raw for server in servers for s in server.requests))


@ALL
@STREAM
def test_a_conversation_continues_from_its_last_response(
    site: ResponseNodes, client: openai.OpenAI, model: str, stream: bool
) -> None:
    first = f"My name is Ada, {model} {stream}"
    last = create_response(client, stream=stream, model=model, input=first)
    for turn in range(4):  # straight on, in whichever process
        text = f"turn {turn} of {model} {stream}"
        last = create_response(
            client, stream=stream, model=model, input=text, previous_response_id=last.id
        )
        assert last.status == "completed"
    upstream_request = request_with_text(site, f"turn 3 of {model} {stream}")
    if model == OWN:
        # It has all that went before itself.
        assert upstream_request.body["previous_response_id"].startswith("resp_remembered_")
        assert first.encode() not in upstream_request.raw
    else:
        assert first.encode() in upstream_request.raw
        assert upstream_request.raw.count(b"Hello from the strict upstream.") == 4


@FOREIGN
def test_instructions_apply_only_to_their_own_response(
    site: ResponseNodes, client: openai.OpenAI, model: str
) -> None:
    first = create_response(
        client, model=model, input="old rules", instructions="Speak like a pirate"
    )
    text = f"new rules on {model}"
    response = create_response(
        client, model=model, input=text, instructions="Be brief", previous_response_id=first.id
    )
    assert response.previous_response_id == first.id
    upstream_body = request_with_text(site, text).raw
    assert b"Be brief" in upstream_body
    assert b"pirate" not in upstream_body


@ALL
def test_a_stored_response_is_read_and_deleted(client: openai.OpenAI, model: str) -> None:
    response = create_response(client, model=model, input="keep me", metadata={"a": "b"})
    read = client.responses.retrieve(response.id)
    assert read.output_text == response.output_text
    assert (read.id, read.metadata) == (response.id, {"a": "b"})
    client.responses.delete(response.id)
    for call in (client.responses.retrieve, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError) as error:
            call(response.id)
        assert error.value.body == {
            "message": f"Response with id '{response.id}' not found.",
            "type": "invalid_request_error",
            "param": "response_id",
            "code": None,
        }
    with pytest.raises(openai.BadRequestError) as exc_info:
        create_response(client, model=model, input="and now?", previous_response_id=response.id)
    assert exc_info.value.code == "previous_response_not_found"


def test_deleting_also_deletes_at_the_provider(site: ResponseNodes, client: openai.OpenAI) -> None:
    response = create_response(client, model=OWN, input="delete me everywhere")
    assert response.id in site.openai.stored
    client.responses.delete(response.id)
    assert response.id not in site.openai.stored


def test_a_response_that_its_provider_lost_is_loaded_from_the_store(
    site: ResponseNodes, client: openai.OpenAI
) -> None:
    response = create_response(client, model=OWN, input="You will forget this")
    site.openai.stored.discard(response.id)
    reply = create_response(
        client, model=OWN, input="Remember now", previous_response_id=response.id
    )
    assert reply.status == "completed"
    assert b"You will forget this" in request_with_text(site, "Remember now").raw


def test_a_conversation_stays_with_the_provider_that_stores_it(
    site: ResponseNodes, client: openai.OpenAI
) -> None:
    """The route's other target comes first, but only one provider knows the id."""
    response = create_response(client, model=OWN, input="first at its own")
    for turn in range(4):
        text = f"sticky turn {turn}"
        response = create_response(
            client, model="mixed", input=text, previous_response_id=response.id
        )
        assert (
            request_with_text(site, text)
            .body.get("previous_response_id", "")
            .startswith("resp_remembered")
        )


def test_a_conversation_can_change_providers(site: ResponseNodes, client: openai.OpenAI) -> None:
    response = create_response(client, model=OWN, input="I was made by Responses")
    reply = create_response(
        client, model=MESSAGES, input="go on elsewhere", previous_response_id=response.id
    )
    back = create_response(client, model=OWN, input="and back again", previous_response_id=reply.id)
    assert back.status == "completed"
    for text in ("go on elsewhere", "and back again"):
        assert b"I was made by Responses" in request_with_text(site, text).raw


@ALL
def test_responses_with_store_false_are_not_stored(client: openai.OpenAI, model: str) -> None:
    response = create_response(client, model=model, input="forget me", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_response_is_readable_only_by_its_key(site: ResponseNodes, client: openai.OpenAI) -> None:
    with site.client(site.new_key()) as first_client, site.client(site.new_key()) as other:
        for model in (OWN, MESSAGES):
            response = create_response(first_client, model=model, input="a secret of one key")
            assert first_client.responses.retrieve(response.id).id == response.id
            # All at once: for an id that is news each looks again for a while.
            with ThreadPoolExecutor() as pool:
                tried = [
                    pool.submit(call, response.id)
                    for other_client in (other, client)
                    for call in (
                        other_client.responses.retrieve,
                        other_client.responses.delete,
                        other_client.responses.input_items.list,
                    )
                ]
            assert [type(recorded.exception()) for recorded in tried] == [openai.NotFoundError] * 6
            with pytest.raises(openai.BadRequestError) as error:
                create_response(
                    other, model=model, input="tell me", previous_response_id=response.id
                )
            assert error.value.code == "previous_response_not_found"
            assert "send the conversation in `input`" in error.value.message
            assert first_client.responses.retrieve(response.id).id == response.id


def test_keys_of_one_team_share_their_responses(site: ResponseNodes) -> None:
    site.gateway.post("/api/teams", {"name": "readers"})
    keys = [site.new_key(team="readers") for _ in range(2)]
    with site.client(keys[0]) as first_client, site.client(keys[1]) as other:
        response = create_response(first_client, model=MESSAGES, input="for the team")
        assert other.responses.retrieve(response.id).output_text == response.output_text


def test_without_bodies_nothing_is_stored_and_store_is_false(site: ResponseNodes) -> None:
    with site.client(site.new_key(log_bodies=False)) as client:
        raw = client.responses.with_raw_response.create(model=MESSAGES, input="no traces")
        assert "store" in raw.headers["x-dragoman-dropped"]
        parsed_response: Any = raw.parse()
        assert parsed_response.store is False
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(parsed_response.id)
        with pytest.raises(openai.BadRequestError) as error:
            create_response(client, model=MESSAGES, input="x", background=True)
        assert error.value.param == "background"
        # A provider that keeps its responses itself needs no copy of ours to go on.
        unstored = create_response(client, model=OWN, input="kept upstream only")
        response = create_response(
            client, model=OWN, input="go on upstream", previous_response_id=unstored.id
        )
        assert response.status == "completed"
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(unstored.id)


@ALL
def test_input_items_are_paginated(client: openai.OpenAI, model: str) -> None:
    first = create_response(
        client, model=model, input=[{"role": "user", "content": f"item {n}"} for n in range(3)]
    )
    last = create_response(client, model=model, input="item 4", previous_response_id=first.id)
    items = client.responses.input_items
    newest = items.list(last.id, limit=2)
    assert newest.data[0].content[0].text == "item 4"  # type: ignore[union-attr]
    assert newest.has_more
    # The SDK asks for page after page.
    page_items: list[Any] = list(items.list(last.id, limit=2, order="asc"))
    texts = [part.text for item in page_items for part in item.content]
    assert texts == ["item 0", "item 1", "item 2", "Hello from the strict upstream.", "item 4"]
    after = items.list(last.id, order="asc", after=page_items[3].id)
    assert [item.id for item in after.data] == [page_items[4].id]


def test_an_item_can_be_referred_to(site: ResponseNodes, client: openai.OpenAI) -> None:
    response = create_response(client, model=MESSAGES, input="Refer to me later")
    (item,) = client.responses.input_items.list(response.id).data
    requested_input: Any = [
        {"type": "item_reference", "id": item.id},
        {"role": "user", "content": "That was a reference"},
    ]
    create_response(client, model=MESSAGES, input=requested_input, store=False)
    assert b"Refer to me later" in request_with_text(site, "That was a reference").raw


def test_a_reference_can_be_repeated_in_later_requests(
    site: ResponseNodes, client: openai.OpenAI
) -> None:
    """The AI SDK refers to the reasoning of all earlier steps of a tool loop."""
    first = create_response(client, model=MESSAGES, input="Refer to me in each step")
    (item,) = client.responses.input_items.list(first.id).data
    input_items: list[Any] = [{"type": "item_reference", "id": item.id}]
    for step in range(2):
        input_items.append({"role": "user", "content": f"step {step}"})
        last = create_response(client, model=MESSAGES, input=list(input_items))
        input_items.append({"type": "item_reference", "id": last.output[0].id})
    input_items.append({"role": "user", "content": "last step"})
    create_response(client, model=MESSAGES, input=input_items)
    assert b"Refer to me in each step" in request_with_text(site, "last step").raw


def test_a_response_with_a_reference_in_its_input_can_be_continued(
    site: ResponseNodes, client: openai.OpenAI
) -> None:
    first = create_response(client, model=MESSAGES, input="Refer to me before continuing")
    (item,) = client.responses.input_items.list(first.id).data
    requested_input: Any = [
        {"type": "item_reference", "id": item.id},
        {"role": "user", "content": "after the reference"},
    ]
    second = create_response(client, model=MESSAGES, input=requested_input)
    stored_items = client.responses.input_items.list(second.id, order="asc").data
    assert [stored.type for stored in stored_items] == ["message", "message"]
    create_response(client, model=MESSAGES, input="continued", previous_response_id=second.id)
    assert b"Refer to me before continuing" in request_with_text(site, "continued").raw


BAD = {
    "/v1/responses/resp_x?stream=perhaps": "stream",
    "/v1/responses/resp_x?starting_after=-1": "starting_after",
    f"/v1/responses/resp_x?starting_after={'0' * 20}{'9' * 5000}": "starting_after",
    "/v1/responses/resp_x/input_items?limit=0": "limit",
    "/v1/responses/resp_x/input_items?limit=many": "limit",
    "/v1/responses/resp_x/input_items?limit=000000000000000000019": "limit",
    "/v1/responses/resp_x/input_items?order=up": "order",
}


@pytest.mark.parametrize("path", list(BAD), ids=lambda path: path[:50])
def test_invalid_queries_name_the_field(site: ResponseNodes, path: str) -> None:
    headers = {"authorization": f"Bearer {site.gateway.key}"}
    response = httpx.get(site.gateway.url + path, headers=headers)
    assert (response.status_code, response.json()["error"]["param"]) == (400, BAD[path])


def test_wrong_methods_and_missing_keys_are_refused(site: ResponseNodes) -> None:
    url = f"{site.gateway.url}/v1/responses/resp_x"
    headers = {"authorization": f"Bearer {site.gateway.key}"}
    assert httpx.put(url, headers=headers).status_code == 405
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers=headers).status_code == 404
    assert httpx.delete(url, headers=headers).status_code == 404


# --- in the background ------------------------------------------------------------------------


@ALL
def test_a_background_response_is_polled(client: openai.OpenAI, model: str) -> None:
    background_response = create_response(
        client, model=model, input=f"in the background on {model}", background=True
    )
    assert background_response.status == "queued"
    response = completed_response(client, background_response.id)
    assert (response.status, response.background) == ("completed", True)
    assert response.output_text == "Hello from the strict upstream."
    after = create_response(
        client, model=model, input="after that", previous_response_id=background_response.id
    )
    assert after.status == "completed"


@ALL
def test_a_background_response_is_cancelled(
    site: ResponseNodes, client: openai.OpenAI, model: str
) -> None:
    text = f"Think for very long, {model}"
    for server in (site.openai, site.deepseek, site.anthropic):
        server.script.on(text, ScriptedResponse(text="late", first_s=60))
    background_response = create_response(client, model=model, input=text, background=True)
    wait_for_request(site, text)
    assert client.responses.cancel(background_response.id).status == "cancelled"
    assert client.responses.retrieve(background_response.id).status == "cancelled"
    wait_until(
        lambda: request_with_text(site, text).left_at is not None
    )  # else it works for nobody
    # Once more changes nothing; and one that never ran in the background is told apart.
    assert client.responses.cancel(background_response.id).status == "cancelled"
    plain = create_response(client, model=model, input="plain")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(plain.id)


def test_a_failed_background_response_has_its_reason(
    site: ResponseNodes, client: openai.OpenAI
) -> None:
    reason = Refusal(400, "invalid_request_error", "not found")
    site.anthropic.script.on("Break in the background", ScriptedResponse(error=reason))
    background_response = create_response(
        client, model=MESSAGES, input="Break in the background", background=True
    )
    response = completed_response(client, background_response.id)
    assert response.status == "failed"
    assert response.error is not None
    assert "not found" in response.error.message


@ALL
def test_the_events_of_a_background_stream_are_replayed(client: openai.OpenAI, model: str) -> None:
    params: Any = {"model": model, "input": f"stream in the background on {model}"}
    stream = client.responses.create(**params, background=True, stream=True)
    events = []
    for event in stream:
        events.append(event)
        if len(events) == 4:
            break
    stream.close()  # it goes on without its client
    response_id = events[0].response.id
    remaining_events = client.responses.retrieve(
        response_id, stream=True, starting_after=events[-1].sequence_number
    )
    events += list(remaining_events)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.id == response_id
    second = list(client.responses.retrieve(response_id, stream=True))
    assert [event.type for event in second] == [event.type for event in events]


def test_a_response_without_a_background_stream_is_not_replayed(client: openai.OpenAI) -> None:
    response = create_response(client, model=MESSAGES, input="plain answer")
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.retrieve(response.id, stream=True)
    assert error.value.param == "stream"


# --- compact ----------------------------------------------------------------------------------


def test_compact_passes_through_to_providers_that_support_it(client: openai.OpenAI) -> None:
    compacted_response = client.responses.compact(model=OWN, input="a long story")
    assert compacted_response.object == "response.compaction"
    assert compacted_response.output[0].type == "compaction"


@FOREIGN
def test_compact_is_refused_for_models_of_other_dialects(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.compact(model=model, input="a long story")
    assert "openai_responses" in error.value.message


@FOREIGN
def test_conversations_are_refused_with_a_message(client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        create_response(client, model=model, input="x", conversation="conv_1")
    assert error.value.param == "conversation"


@pytest.mark.wide(every=0)
def test_background_responses_finish_at_shutdown(tmp_path: Path) -> None:
    with response_nodes(tmp_path) as site:
        site.anthropic.script.on(
            "Finish in peace", ScriptedResponse(text="done in peace", first_s=2)
        )
        with site.client() as client:
            background_response = create_response(
                client, model=MESSAGES, input="Finish in peace", background=True
            )
            wait_for_request(site, "Finish in peace")
            assert site.gateway.stop() == 0
            site.gateway.start()
            response = client.responses.retrieve(background_response.id)
        assert (response.status, response.output_text) == ("completed", "done in peace")


@pytest.mark.wide(every=0)
def test_responses_of_a_killed_process_have_failed(tmp_path: Path) -> None:
    with response_nodes(tmp_path) as site:
        site.anthropic.script.on("Die with me", ScriptedResponse(text="late", first_s=60))
        with site.client() as client:
            background_response = create_response(
                client, model=MESSAGES, input="Die with me", background=True
            )
            site.gateway.kill()
            site.gateway.start()
            long_ago = "timezone.now() - timedelta(hours=1)"
            site.run(
                "from datetime import timedelta; from django.utils import timezone;"
                "from gateway.models import StoredResponse;"
                f"StoredResponse.objects.update(heartbeat_at={long_ago}); print()"
            )
            response = client.responses.retrieve(background_response.id)
        assert response.status == "failed"
        assert response.error is not None
