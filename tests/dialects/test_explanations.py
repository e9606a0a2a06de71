"""Explanations of finish reasons for clients whose API has no field for them."""

from __future__ import annotations

import json

from gateway.canon.fold import unfold_response
from gateway.canon.request import Text
from gateway.canon.response import Finish, Response
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from tests.each import each

CONTEXT = ResponseContext(id="1", created=1, model="m")
WHY = "the policy forbids it"
REFUSED = Finish(reason="refusal", explanation=WHY)
PATH = "finish.explanation"
WITHOUT_FIELD = ["bedrock_converse", "cohere", "ollama"]


@each("dialect", WITHOUT_FIELD)
def test_a_refusal_explanation_is_the_text_of_a_response_without_text(dialect: str) -> None:
    client = DIALECTS[dialect].client
    body, report = client.render_response(Response(finish=REFUSED), CONTEXT)
    assert WHY in json.dumps(body)
    assert PATH not in {row.path for row in report}


@each("dialect", WITHOUT_FIELD)
@each("stream", [False, True])
def test_a_refusal_explanation_after_other_text_is_reported_as_dropped(
    dialect: str, stream: bool
) -> None:
    client = DIALECTS[dialect].client
    response = Response(parts=(Text(text="Sure,"),), finish=REFUSED)
    if stream:
        renderer = client.stream_renderer(CONTEXT)
        stream_text = b"".join(renderer.feed(event) for event in unfold_response(response)).decode(
            errors="replace"
        )
        report = renderer.report
    else:
        body, report = client.render_response(response, CONTEXT)
        stream_text = json.dumps(body)
    assert "Sure," in stream_text
    assert WHY not in stream_text
    assert [row.action for row in report if row.path == PATH] == ["dropped"]


@each("dialect", ["anthropic_messages", "openai_chat", "openai_responses", "gemini"])
def test_a_refusal_explanation_has_a_field_in_other_apis(dialect: str) -> None:
    response = Response(parts=(Text(text="Sure,"),), finish=REFUSED)
    body, _ = DIALECTS[dialect].client.render_response(response, CONTEXT)
    assert WHY in json.dumps(body)
