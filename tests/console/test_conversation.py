"""The Conversation tab: messages of a logged request in every client dialect."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import time
from html import unescape
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.dialects import CONSOLE_DIALECTS
from console.pages.requests import sessions
from console.pages.requests.canonical import request_of, response_of
from console.pages.requests.messages import FOLD_CHARS, Conversation, conversation_of
from console.pages.requests.previews import match_pattern
from console.pages.requests.session_conversation import session_conversation
from console.playground.client_request import render_body
from gateway import store
from gateway.canon.fold import unfold_response
from gateway.canon.request import (
    Audio,
    Document,
    Image,
    Reasoning,
    Refusal,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.canon.response import Finish, Response, Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.models import RequestBody, RequestLog
from gateway.relay.exchange.log_record import Bodies
from gateway.relay.exchange.recorder import Recorder
from gateway.store.preview import preview as prompt_preview
from tests.store.factories import make_record

pytestmark = pytest.mark.django_db

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"0" * 20).decode()
PDF = base64.b64encode(b"%PDF-1.4 test").decode()
TEXT_ONLY = "openai_completions"
CHATS = sorted(set(CONSOLE_DIALECTS) - {TEXT_ONLY})
RESPONSE = Response(
    model="up",
    parts=(Text(text="It is **sunny**."),),
    finish=Finish(reason="length"),
    usage=Usage(input=9, output=3),
)
AGENT = Request(
    model="fast",
    instructions=(Text(text="Be brief."),),
    turns=(
        Turn(role="user", parts=(Text(text="Weather?"), Image(data=PNG, media_type="image/png"))),
        Turn(
            role="assistant",
            parts=(
                Text(text="I look it up."),
                ToolCall(id="c1", name="look_up", arguments={"city": "Paris"}),
                ToolCall(id="c2", name="look_up", arguments={"city": "Rome"}),
            ),
        ),
        Turn(
            role="user",
            parts=(
                ToolResult(id="c2", name="look_up", parts=(Text(text="rain"),)),
                ToolResult(id="c1", name="look_up", parts=(Text(text="sun"),)),
            ),
        ),
        Turn(role="assistant", parts=(Text(text="Rain and sun."),)),
        Turn(role="user", parts=(Text(text="And tomorrow?"),)),
    ),
    tools=(Tool(name="look_up", description="The weather", schema={"type": "object"}),),
    max_output=100,
)


def response_bytes(dialect: str, response: Response, *, stream: bool) -> bytes:
    client = DIALECTS[dialect].client
    context = ResponseContext(id="1", created=1, model="up", include_usage=True)
    if not stream:
        return json.dumps(client.render_response(response, context)[0]).encode()
    renderer = client.stream_renderer(context)
    return b"".join(renderer.feed(event) for event in unfold_response(response))


def logged(
    dialect: str,
    request_body: bytes,
    response: bytes | None = None,
    id: str = "req_c",
    **values: Any,
) -> RequestLog:
    endpoints = {"openai_embeddings": "/v1/embeddings"}
    bodies_fields = values.pop("bodies", {})
    record = make_record(
        id,
        started_at=time.time() - 60,
        endpoint=endpoints.get(dialect, "/v1/chat/completions"),
        client_dialect=dialect,
        upstream_dialect=dialect,
        requested_model="fast",
        model="up",
        bodies=Bodies(
            client_request=request_body,
            upstream_response=response,
            same_response=True,
            **bodies_fields,
        ),
        **values,
    )
    store.write([record])
    return RequestLog.objects.get(request_id=id)


def render_conversation(row: RequestLog) -> Conversation:
    bodies = store.load_bodies(row.pk)
    assert bodies is not None
    return conversation_of(request_of(row, bodies), response_of(row, bodies))


def texts(view: Conversation) -> list[tuple[str, list[str]]]:
    return [
        (message.role, [block.text for block in message.blocks if block.kind == "text"])
        for message in view.messages
    ]


def detail(client: Client, row: RequestLog, query: str = "") -> str:
    response = client.get(f"{reverse('request', args=[row.pk])}?{query}")
    assert response.status_code == 200
    return unescape(response.content.decode())


@pytest.mark.parametrize("stream", [False, True], ids=["complete", "streamed"])
@pytest.mark.parametrize("dialect", CHATS)
def test_a_conversation_of_every_dialect_is_shown(dialect: str, *, stream: bool) -> None:
    body, _notes = render_body(dialect, AGENT)
    response = response_bytes(dialect, RESPONSE, stream=stream)
    view = render_conversation(logged(dialect, json.dumps(body).encode(), response, stream=stream))
    assert view.system is not None
    assert [block.text for block in view.system.blocks] == ["Be brief."]
    assert texts(view) == [
        ("user", ["Weather?"]),
        ("assistant", ["I look it up."]),
        ("assistant", ["Rain and sun."]),
        ("user", ["And tomorrow?"]),
    ]
    assert [block.media for block in view.messages[0].blocks if block.kind == "image"] == [0]
    calls = [b for m in view.messages for b in m.blocks if b.kind == "call"]
    assert [(call.title, json.loads(call.text)["city"]) for call in calls] == [
        ("look_up", "Paris"),
        ("look_up", "Rome"),
    ]
    results = [[inner.text for r in call.results for inner in r.results] for call in calls]
    assert results == [["sun"], ["rain"]]
    assert [tool.name for tool in view.tools] == ["look_up"]
    (reply,) = view.responses
    assert [block.text for block in reply.blocks] == ["It is **sunny**."]
    assert (view.complete, view.finish) == (True, "Token limit reached")


@pytest.mark.parametrize("stream", [False, True], ids=["complete", "streamed"])
def test_a_completion_is_a_prompt_and_its_continuation(*, stream: bool) -> None:
    request_body = json.dumps({"model": "fast", "prompt": "Once upon", "stream": stream}).encode()
    response = response_bytes(TEXT_ONLY, RESPONSE, stream=stream)
    view = render_conversation(logged(TEXT_ONLY, request_body, response, stream=stream))
    assert texts(view) == [("user", ["Once upon"])]
    assert view.responses[0].blocks[0].text == "It is **sunny**."


def test_several_prompts_are_several_messages() -> None:
    request_body = json.dumps({"model": "fast", "prompt": ["One", "Two"]}).encode()
    assert texts(render_conversation(logged(TEXT_ONLY, request_body))) == [
        ("user", ["One"]),
        ("user", ["Two"]),
    ]


def test_embeddings_show_inputs_and_the_size_of_vectors(admin_client: Client) -> None:
    request_body = json.dumps({"model": "fast", "input": ["One", "Two"]}).encode()
    response = {
        "object": "list",
        "model": "up",
        "data": [{"object": "embedding", "index": n, "embedding": [0.5] * 3} for n in range(2)],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    row = logged("openai_embeddings", request_body, json.dumps(response).encode())
    view = render_conversation(row)
    assert [block.text for block in view.inputs] == ["One", "Two"]
    assert view.vectors == (2, 3)
    assert "2 vectors of 3 numbers" in detail(admin_client, row)


def test_an_interrupted_stream_shows_its_received_part(admin_client: Client) -> None:
    body, _notes = render_body("openai_chat", AGENT)
    complete_bytes = response_bytes("openai_chat", RESPONSE, stream=True)
    arrived = complete_bytes[: complete_bytes.index(b"\n\n", complete_bytes.index(b"sunny")) + 2]
    row = logged("openai_chat", json.dumps(body).encode(), arrived, stream=True, outcome="cut")
    view = render_conversation(row)
    assert view.responses[0].blocks[0].text == "It is **sunny**."
    assert not view.complete
    assert "The stream ended before the response was complete." in detail(admin_client, row)


@pytest.mark.parametrize("dialect", CHATS)
def test_the_stored_part_of_a_truncated_body_is_shown(admin_client: Client, dialect: str) -> None:
    body, _notes = render_body(dialect, AGENT)
    request_body = json.dumps(body).encode()
    end = request_body.index(b"Rain and sun") + 6
    row = logged(dialect, request_body[:end], bodies={"truncated": ["client_request"]})
    view = render_conversation(row)
    assert ("user", ["Weather?"]) in texts(view)
    assert "Only its beginning is shown" in detail(admin_client, row)


def test_every_cut_of_a_body_can_be_shown() -> None:
    body, _notes = render_body("anthropic_messages", AGENT)
    request_body = json.dumps(body).encode()
    row = logged("anthropic_messages", request_body)
    for end in range(1, len(request_body), 7):
        bodies = Bodies(client_request=request_body[:end], truncated=["client_request"])
        request = request_of(row, bodies)
        assert request.truncated
        assert request.request is not None or request.problem


def test_reasoning_refusals_and_alternatives_are_shown() -> None:
    response = Response(
        parts=(Reasoning(text="Hmm."), Refusal(text="No.")), finish=Finish(reason="refusal")
    )
    request_body = json.dumps(
        {"model": "fast", "messages": [{"role": "user", "content": "x"}]}
    ).encode()
    view = render_conversation(
        logged("openai_chat", request_body, response_bytes("openai_chat", response, stream=False))
    )
    assert {(block.kind, block.text) for block in view.responses[0].blocks} == {
        ("reasoning", "Hmm."),
        ("refusal", "No."),
    }


FILES = Request(
    model="fast",
    turns=(
        Turn(
            role="user",
            parts=(
                Text(text="Read these."),
                Document(data=PDF, media_type="application/pdf", title="report.pdf"),
                Audio(data=PNG, format="wav"),
                Image(url="https://example.com/cat.png"),
                Image(data=PNG, media_type="image/png"),
            ),
        ),
    ),
)


def test_files_are_served_and_addresses_are_only_links(admin_client: Client) -> None:
    body, _notes = render_body("openai_chat", FILES)
    row = logged("openai_chat", json.dumps(body).encode())
    blocks = render_conversation(row).messages[0].blocks
    assert [(b.kind, b.media) for b in blocks] == [
        ("text", None),
        ("document", 0),
        ("audio", 1),
        ("document", None),
        ("image", 2),
    ]
    page = detail(admin_client, row)
    assert '<a class="wrap" href="https://example.com/cat.png"' in page
    assert 'src="https://example.com' not in page
    responses = [admin_client.get(reverse("request-media", args=[row.pk, n])) for n in range(3)]
    assert [a["Content-Type"] for a in responses] == ["application/pdf", "audio/wav", "image/png"]
    assert responses[0]["Content-Disposition"].startswith("attachment")
    assert responses[2].content == base64.b64decode(PNG)
    assert admin_client.get(reverse("request-media", args=[row.pk, 3])).status_code == 404


def test_a_file_that_claims_to_be_a_page_is_a_download(admin_client: Client) -> None:
    page = base64.b64encode(b"<script>alert(1)</script>").decode()
    part = {"type": "image_url", "image_url": {"url": f"data:text/html;base64,{page}"}}
    request_body = {"model": "fast", "messages": [{"role": "user", "content": [part]}]}
    row = logged("openai_chat", json.dumps(request_body).encode())
    response = admin_client.get(reverse("request-media", args=[row.pk, 0]))
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert "sandbox" in response["Content-Security-Policy"]


def test_a_long_text_is_folded() -> None:
    request_body = {
        "model": "fast",
        "messages": [{"role": "user", "content": "word " * FOLD_CHARS}],
    }
    (block,) = (
        render_conversation(logged("openai_chat", json.dumps(request_body).encode()))
        .messages[0]
        .blocks
    )
    assert block.text.startswith(block.preview)
    assert 0 < len(block.preview) < FOLD_CHARS < len(block.text)


def test_a_long_conversation_opens_at_its_end() -> None:
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"m{n}"} for n in range(41)]
    view = render_conversation(
        logged("openai_chat", json.dumps({"model": "x", "messages": turns}).encode())
    )
    assert view.messages[-1].blocks[0].text == "m40"
    assert len(view.earlier) + len(view.messages) == 41


def test_the_detail_opens_on_the_conversation_with_permission(
    admin_client: Client, viewer_client: Client
) -> None:
    request_body = {
        "model": "fast",
        "messages": [{"role": "user", "content": "a secret <b>plan</b>"}],
    }
    row = logged("openai_chat", json.dumps(request_body).encode())
    page = admin_client.get(reverse("request", args=[row.pk])).content.decode()
    assert "a secret &lt;b&gt;plan&lt;/b&gt;" in page
    for query in ("", "tab=conversation"):
        hidden = detail(viewer_client, row, query)
        assert "a secret" not in hidden
        assert "You can see metadata only." in hidden
    assert viewer_client.get(reverse("request-media", args=[row.pk, 0])).status_code == 403
    viewer_user = get_user_model().objects.get(username="vic")
    viewer_user.user_permissions.add(Permission.objects.get(codename="view_requestbody"))
    assert "a secret" in detail(viewer_client, row)


def test_a_request_that_cannot_be_parsed_shows_the_reason(admin_client: Client) -> None:
    request_body = json.dumps({"model": "fast", "messages": "none"}).encode()
    row = logged(
        "openai_chat", request_body, status=400, outcome="error", error="messages: wrong type"
    )
    page = detail(admin_client, row)
    assert "The messages cannot be displayed" in page
    assert "messages: wrong type" in page


def test_a_continued_response_links_to_the_one_before(admin_client: Client) -> None:
    first = logged("openai_responses", b'{"model":"fast","input":"Hi"}', id="req_1")
    request_body = {"model": "fast", "input": "Again", "previous_response_id": "resp_1"}
    row = logged("openai_responses", json.dumps(request_body).encode(), id="req_2")
    assert texts(render_conversation(row)) == [("user", ["Again"])]
    assert reverse("request", args=[first.pk]) in detail(admin_client, row)


# The line of prompt text in the list


def chat(*texts: str, id: str, **values: Any) -> RequestLog:
    turns = [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]
    request_body = {"model": "fast", "messages": turns}
    return logged("openai_chat", json.dumps(request_body).encode(), id=id, **values)


def requests_page(client: Client, query: str = "") -> str:
    response = client.get(f"{reverse('requests')}?range=all&{query}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("dialect", [*CHATS, TEXT_ONLY])
def test_the_list_shows_the_last_prompt_of_every_dialect(
    dialect: str, admin_client: Client
) -> None:
    request = AGENT if dialect != TEXT_ONLY else Request(model="x", turns=(AGENT.turns[-1],))
    body, _notes = render_body(dialect, request)
    row = logged(dialect, json.dumps(body).encode())
    assert RequestBody.objects.previews([row.pk]) == {row.pk: "And tomorrow?"}
    assert "And tomorrow?" in requests_page(admin_client)


@pytest.mark.parametrize(
    ("request_body", "preview"),
    [
        ({"input": ["One", "Two"]}, "Two"),
        ({"input": [[1, 2], [3]]}, ""),
        ({"prompt": "Once\n\n upon\0 a"}, "Once upon a"),
        ({"messages": [{"role": "user", "content": "x" * 500}]}, "x" * 199 + "…"),
        (
            {
                "messages": [
                    {"role": "user", "content": "Fix it"},
                    {"role": "assistant", "content": None},
                    {"role": "user", "content": [{"type": "tool_result", "content": "done"}]},
                ]
            },
            "Fix it",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "Fix it"},
                            {"type": "text", "text": "<system-reminder>x</system-reminder>"},
                        ],
                    }
                ]
            },
            "Fix it",
        ),
        ({"messages": 7}, ""),
        ({}, ""),
    ],
)
def test_the_preview_is_the_last_text_that_a_user_wrote(request_body: Any, preview: str) -> None:
    assert prompt_preview(Bodies(client_request=json.dumps(request_body).encode())) == preview


def test_a_preview_has_no_masked_secret(admin_client: Client) -> None:
    """The log writer receives bodies that the recorder has masked."""
    recorder = Recorder()
    recorder.enabled, recorder.limit = True, 10_000
    request_body = {
        "model": "x",
        "messages": [{"role": "user", "content": "my key sk-" + "a" * 30}],
    }
    recorder.client_request = json.dumps(request_body).encode()
    bodies = recorder.bodies({}, [], stream=False)
    assert bodies is not None
    assert prompt_preview(bodies) == "my key ***"


def test_prompts_are_listed_only_with_permission_to_read_bodies(
    admin_client: Client, viewer_client: Client
) -> None:
    row = chat("the secret plan", id="req_1", session="s-1")
    for query in ("", "group=session", "cursor=999999"):
        assert "the secret plan" in requests_page(admin_client, query)
        assert "the secret plan" not in requests_page(viewer_client, query)
    tail = reverse("requests-tail") + "?range=all&after=0"
    assert b"the secret plan" in admin_client.get(tail).content
    assert b"the secret plan" not in viewer_client.get(tail).content
    for client in (admin_client, viewer_client):
        for kind in ("jsonl", "csv"):
            export = client.get(reverse("requests-export", args=[kind]) + "?range=all")
            assert b"secret" not in export.getvalue()
    assert RequestBody.objects.prune(timezone.now()) == 1
    assert "the secret plan" not in requests_page(admin_client)
    assert not RequestBody.objects.filter(pk=row.pk).exists()


def test_search_matches_are_highlighted(admin_client: Client) -> None:
    chat("Where is the Café in <Paris>?", id="req_1")
    chat("the invoice of May", "An INVOICE is a bill.", "and now?", id="req_2")
    store.index_pending()
    page = requests_page(admin_client, "q=cafe")
    assert "Where is the <mark" in page
    assert ">Café</mark> in &lt;Paris&gt;?" in " ".join(page.split())
    page = requests_page(admin_client, 'q="an invoice is"')
    assert ">An INVOICE is</mark>" in page
    assert "<mark" not in requests_page(admin_client)


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("api", "an API, no apiary", ["API"]),
        ('"b c"', "a b-c d", ["b-c"]),
        ("東京", "in 東京 today", ["東京"]),
        ("gateway/models.py", "see gateway/models.py:3", ["gateway/models.py"]),
    ],
)
def test_matches_are_those_of_the_index(query: str, text: str, marked: list[str]) -> None:
    pattern = match_pattern(query)
    assert pattern is not None
    assert [match[0].lower() for match in pattern.finditer(text.lower())] == [
        word.lower() for word in marked
    ]


# A session as one conversation


def log_answered_request(
    id: str, texts: list[Any], response: Response, at_s: float, session: str = "s", **values: Any
) -> RequestLog:
    request_body = {"model": "fast", "messages": texts}
    reply = response_bytes("openai_chat", response, stream=False)
    row = logged(
        "openai_chat",
        json.dumps(request_body).encode(),
        reply,
        id=id,
        session=session,
        duration_ms=1000.0,
        provider="openai",
        **values,
    )
    row.started_at = timezone.now() - dt.timedelta(seconds=600 - at_s)
    row.save()
    return row


CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


def agent_session() -> list[RequestLog]:
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}]
    call_message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    second = [*first, call_message, {"role": "tool", "tool_call_id": "c1", "content": "sunny"}]
    third = [
        *second,
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "content": "Thanks"},
    ]
    call = Response(parts=(ToolCall(id="c1", name="look_up", arguments={}),))
    sunny, bye = (Response(parts=(Text(text=text),)) for text in ("It is sunny.", "Bye."))
    return [
        log_answered_request("req_1", first, call, 0),
        log_answered_request("req_2", second, sunny, 3.5),
        log_answered_request("req_x", [{"role": "user", "content": "A title?"}], bye, 4),
        log_answered_request("req_3", third, bye, 60),
    ]


def test_a_session_shows_each_message_once(admin_client: Client) -> None:
    rows = agent_session()
    talk = session_conversation(sessions.session("s"), None)
    first, second, title, third = talk.turns
    assert [texts(turn.conversation) for turn in talk.turns] == [
        [("user", ["Weather?"])],
        [],
        [("user", ["A title?"])],
        [("user", ["Thanks"])],
    ]
    assert [turn.previous and turn.previous.pk for turn in talk.turns] == [
        None,
        rows[0].pk,
        None,
        rows[1].pk,
    ]
    assert [turn.skips for turn in talk.turns] == [False, False, False, True]
    assert not any(turn.is_rewritten for turn in talk.turns)
    # The result is displayed with the call in the first response.
    (call,) = first.conversation.responses[0].blocks
    assert [inner.text for result in call.results for inner in result.results] == ["sunny"]
    assert second.tool_ms is not None
    assert second.tool_ms >= 2500
    assert talk.tool_ms == second.tool_ms
    assert (third.conversation.system, first.conversation.system is None) == (None, False)
    assert title.tool_ms is None
    page = detail(admin_client, rows[3], "tab=session")
    assert page.count("data-markdown>Weather?<") == 1
    assert re.search(r"tools [\d.]+ s", page)


def test_a_session_without_the_grant_has_no_messages(viewer_client: Client) -> None:
    rows = agent_session()
    assert "Weather?" not in detail(viewer_client, rows[0], "tab=session")


def test_a_changed_history_is_marked() -> None:
    user = {"role": "user", "content": "Hello"}
    bye = Response(parts=(Text(text="Bye."),))
    history = [user, {"role": "assistant", "content": "Bye."}, {"role": "user", "content": "More"}]
    log_answered_request("req_1", [user, *history[1:]], bye, 0)
    changed = [user, {"role": "assistant", "content": "Edited"}, {"role": "user", "content": "?"}]
    log_answered_request("req_2", changed, bye, 5)
    _first, second = session_conversation(sessions.session("s"), None).turns
    assert second.is_rewritten
    assert texts(second.conversation) == [("assistant", ["Edited"]), ("user", ["?"])]
