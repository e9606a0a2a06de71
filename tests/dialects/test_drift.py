"""Requests and responses match the vendors' published types, field by field.

Every response and event of the matrix that the gateway rendered for a client, every request it
rendered for a provider (there and in the golden cases), and every response of the strict
providers is checked against the types of the vendor's SDK (Bedrock: the service model of
botocore). An SDK release that moves or renames a field fails here by the field's name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import ollama
import pytest
from anthropic.types import Message, MessageTokensCount, RawMessageStreamEvent
from botocore.validate import ParamValidator
from cohere.types import EmbedByTypeResponse
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse
from google.genai.types import ContentEmbedding, CountTokensResponse, GenerateContentResponse
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import InputTokenCountResponse, Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.response import Usage
from gateway.dialects import DIALECTS
from gateway.dialects.base import ResponseContext
from gateway.framing.eventstream import Decoder as BinaryDecoder
from gateway.providers.capabilities import traits_for
from gateway.simulate import translate
from tests.dialects.crossing.clients import CLIENTS
from tests.dialects.crossing.readers import frames
from tests.dialects.crossing.upstreams import UPSTREAMS
from tests.dialects.test_cases import FOLDER, kind_of, upstream_model
from tests.dialects.test_matrix import outcome
from tests.fakes import (
    anthropic_rules,
    bedrock_rules,
    cohere_rules,
    gemini_rules,
    ollama_rules,
    openai_older,
    openai_rules,
    responses_rules,
)
from tests.fakes.script import Refusal

Json = dict[str, Any]


def unknown_fields(value: Any, path: str = "") -> Iterator[str]:
    """Return the paths of fields that a parsed value's type does not define."""
    if isinstance(value, list):
        for item in value:
            yield from unknown_fields(item, f"{path}[]")
    if not isinstance(value, BaseModel):
        return
    extra = value.model_extra or {}
    yield from (f"{path}.{name}".lstrip(".") for name in extra)
    for name in type(value).model_fields:
        yield from unknown_fields(getattr(value, name), f"{path}.{name}".lstrip("."))


@cache
def adapter(shape: Any) -> TypeAdapter[Any]:
    """Return the validator of a type, cached because unions of vendors take long to build."""
    return TypeAdapter(shape)


def type_errors(value: Json, shape: Any, *, strict: bool = True) -> list[str]:
    """Return the validation errors of a value as `path: reason`, including unknown fields."""
    try:
        parsed_value = adapter(shape).validate_json(json.dumps(value), strict=strict)
    except ValidationError as error:
        return [".".join(map(str, e["loc"])) + ": " + e["msg"] for e in error.errors()]
    return sorted({f"{path}: unknown field" for path in unknown_fields(parsed_value)})


def lenient_type_errors(value: Json, shape: type[BaseModel]) -> list[str]:
    """Return the same errors for types that ignore unknown fields."""
    texts = type_errors(value, shape, strict=False)
    return texts + sorted(f"{name}: unknown field" for name in value.keys() - shape.model_fields)


def ollama_errors(value: Json) -> list[str]:
    """Return the errors of a line by Ollama's types."""
    texts = lenient_type_errors(value, ollama.ChatResponse)
    return texts + [f"message.{w}" for w in lenient_type_errors(value["message"], ollama.Message)]


def bedrock_errors(shape: str, value: Json) -> list[str]:
    """Return the errors of a response by botocore's model."""
    kind = bedrock_rules.shape(shape)
    decoded = bedrock_rules._decoded(value, kind, "")
    report = ParamValidator().validate(decoded, kind)
    extra = decoded.keys() - kind.members.keys()
    items = [report.generate_report()] if report.has_errors() else []
    return items + sorted(f"{name}: unknown field" for name in extra)


@dataclass(frozen=True)
class ResponseChecks:
    """The checks of a dialect's responses, whole and streamed.

    `more` are fields that the types do not define although clients or providers use them; the
    reason is next to each.
    """

    whole: Callable[[Json], list[str]]
    event: Callable[[Json], list[str]]
    more: frozenset[str] = frozenset()

    def problems(self, data: bytes, *, stream: bool) -> set[str]:
        """Return the errors in the bytes of a response."""
        events: list[str] = []
        for value in values(data) if stream else [json.loads(data)]:
            events += self.event(value) if stream else self.whole(value)
        return {text for text in events if text.partition(":")[0] not in self.more}


def values(data: bytes) -> Iterator[Json]:
    """Return the JSON values of a stream's events."""
    if data.startswith(b"{"):
        yield from (json.loads(line) for line in data.splitlines() if line.strip())
    elif data[:1] == b"\0":
        for frame in BinaryDecoder().feed(data):
            body = json.loads(frame.data)
            body.pop("p", None)  # padding against guesses by length, in no published shape
            yield {frame.event: body}
    else:
        yield from (value for _, value in frames(data) if isinstance(value, dict))


# Google's field for the state of a call, in the dialect of OpenAI.
_STATES = {
    "choices[].message.tool_calls[].extra_content",
    "choices[].delta.tool_calls[].extra_content",
}
# DeepSeek's and the compatible servers' field for thoughts, which SDKs pass through.
_THOUGHTS = {
    "choices[].message.reasoning_content",
    "choices[].delta.reasoning_content",
}
# The service's own reference has these two, its SDK not.
_DEEPSEEK = {"usage.prompt_cache_hit_tokens", "usage.prompt_cache_miss_tokens"}
SHAPES: dict[str, ResponseChecks] = {
    "openai_chat": ResponseChecks(
        lambda v: type_errors(v, ChatCompletion),
        lambda v: type_errors(v, ChatCompletionChunk),
        frozenset(_THOUGHTS | _STATES),
    ),
    "openai_responses": ResponseChecks(
        lambda v: type_errors(v, Response),
        lambda v: type_errors(v, ResponseStreamEvent),
        # The service tells it back; the SDK's type leaves it out.
        frozenset({"store", "response.store"}),
    ),
    "openai_completions": ResponseChecks(
        lambda v: type_errors(v, Completion),
        lambda v: type_errors(v, Completion),
        # Null until the last chunk, which the type has no word for.
        frozenset({"choices.0.finish_reason"}),
    ),
    "anthropic_messages": ResponseChecks(
        lambda v: type_errors(v, Message),
        lambda v: [] if v["type"] == "ping" else type_errors(v, RawMessageStreamEvent),
    ),
    "gemini": ResponseChecks(
        lambda v: type_errors(v, GenerateContentResponse, strict=False),
        lambda v: type_errors(v, GenerateContentResponse, strict=False),
    ),
    "ollama": ResponseChecks(ollama_errors, ollama_errors),
    "bedrock_converse": ResponseChecks(
        lambda v: bedrock_errors("ConverseResponse", v),
        lambda v: bedrock_errors("ConverseStreamOutput", v),
    ),
    "cohere": ResponseChecks(
        lambda v: type_errors(v, V2ChatResponse, strict=False),
        lambda v: type_errors(v, V2ChatStreamResponse, strict=False),
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
def test_responses_match_the_vendors_types(client: str, *, stream: bool) -> None:
    shape = SHAPES[client]
    cells_by_problem: dict[str, str] = {}
    checked = 0
    for cell in outcome().cells:
        if (cell.client, cell.stream) != (client, stream):
            continue
        for turn in cell.turns:
            if not turn.logged.passthrough:
                checked += 1
                cells_by_problem |= dict.fromkeys(
                    shape.problems(turn.reply, stream=stream), cell.id
                )
    assert cells_by_problem == {}
    assert checked


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_parsed_responses_match_the_vendors_types(upstream: str, *, stream: bool) -> None:
    """The strict providers must write what the vendors publish, as parsers are tested with them."""
    shape = SHAPES[UPSTREAMS[upstream].dialect]
    cells_by_problem: dict[str, str] = {}
    for cell in outcome().cells:
        if (cell.upstream, cell.stream) == (upstream, stream):
            for turn in cell.turns:
                cells_by_problem |= dict.fromkeys(
                    shape.problems(turn.upstream_response, stream=stream), cell.id
                )
    unknown_names = _DEEPSEEK if upstream.endswith("deepseek") else set()
    assert {
        text: cells
        for text, cells in cells_by_problem.items()
        if text.partition(":")[0] not in unknown_names
    } == {}


# --- golden cases ------------------------------------------------------------------------

CASES = [
    pytest.param(json.loads(path.read_text(encoding="utf-8")), id=path.stem)
    for path in sorted(FOLDER.glob("*.json"))
]
VERSION = {"anthropic-version": "2023-06-01"}


def _anthropic(body: Json, model: str) -> Refusal | None:
    del model
    # The strict provider has one model of 4.6.
    named = {"claude-sonnet-4-6": "claude-opus-4-6"}.get(body["model"], body["model"])
    return anthropic_rules.refusal({**body, "model": named}, VERSION, counting=False)


# A provider of a case -> what its published types and rules say against a body.
SENT: dict[str, Callable[[Json, str], Refusal | None]] = {
    "openai_chat": lambda body, _: openai_rules.refusal(body),
    "azure_openai": lambda body, _: openai_rules.refusal(body),
    "deepseek": lambda body, _: openai_rules.deepseek_refusal(body),
    "openai_responses": lambda body, _: responses_rules.refusal(body),
    "openai_responses_input_tokens": lambda body, _: responses_rules.count_refusal(body),
    "openai_completions": lambda body, _: openai_older.completion_refusal(body),
    "anthropic": _anthropic,
    "gemini": gemini_rules.refusal,
    "ollama": lambda body, _: ollama_rules.refusal("/api/chat", body),
    "bedrock_converse": lambda body, model: bedrock_rules.refusal(model, body),
    "cohere": lambda body, _: cohere_rules.refusal(body),
}


# Golden case -> what the strict provider says to it, which is the case's own doing.
OWN_DOING = {
    # A field of the future passes through.
    "chat_passthrough_to_azure": "Unrecognized request argument supplied: unknown_future_field",
    # The state in it is a placeholder.
    "claude_code_turn_to_openai_responses": "The encrypted content could not be verified.",
}


def kinds() -> list[Any]:
    """Return the golden cases with an upstream request whose provider has rules here.

    Mistral's types are in an SDK that is not used here; embeddings and Vertex AI have their own
    tests (tests/dialects/openai_embeddings, tests/e2e/test_clouds.py).
    """
    bodies = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*"))]
    requested_bodies = [c for c in bodies if kind_of(c) == "request" and c["to"] in SENT]
    return [
        pytest.param(c, id=c["name"]) for c in requested_bodies if c["from"] != "openai_embeddings"
    ]


@pytest.mark.parametrize("case", kinds())
def test_golden_requests_match_the_vendors_types(case: Json) -> None:
    expected = case["expected"]
    translation = translate.request(
        case["from"],
        case["to"],
        case["request"].get("body", case["request"]),
        case["request"].get("headers", {}),
        upstream_model(expected),
        expected.get("stored"),
    )
    model = upstream_model(expected)
    refusal = SENT[case["to"]](translation["body"], model)
    assert (refusal.message if refusal else None) == OWN_DOING.get(case["name"]), refusal


@pytest.mark.parametrize("case", [c for c in CASES if kind_of(c.values[0]) == "stream"])  # type: ignore[arg-type]
def test_golden_streams_match_the_vendors_types(case: Json) -> None:
    """The first event of a stream in a case is complete; some later ones are shortened."""
    translation = translate.stream(case["from"], case["to"], case["stream"], "")
    shape = SHAPES[{"anthropic": "anthropic_messages"}.get(case["to"], case["to"])]
    wrongs: set[str] = set()
    for event in translation["events"]:
        value = event["data"] if isinstance(event, dict) and "event" in event else event
        if isinstance(value, dict) and value.get("type") != "error" and "error" not in value:
            wrongs |= set(shape.event(value))
    assert {w for w in wrongs if w.partition(":")[0] not in shape.more} == set()


# --- embeddings and counts ---------------------------------------------------------------

VECTORS = EmbedResponse(vectors=([0.5, 1.0], [0.25, 2.0]), usage=Usage(input=4, output=0))
EMBED_REQUEST = EmbedRequest(model="text-embedding-3-small", inputs=("a", "b"), dimensions=2)
EXCHANGE = ResponseContext(id="1", created=1, model="gw")


def _gemini_embedding_errors(body: Json) -> list[str]:
    """Return the vectors of Gemini's batch; the SDK's response type is for another endpoint."""
    return [text for item in body["embeddings"] for text in type_errors(item, ContentEmbedding)]


SERVED_VECTORS: dict[str, Callable[[Json], list[str]]] = {
    "openai_embeddings": lambda body: type_errors(body, CreateEmbeddingResponse),
    "gemini": _gemini_embedding_errors,
    "ollama": lambda body: lenient_type_errors(body, ollama.EmbedResponse),
    "cohere": lambda body: type_errors(body, EmbedByTypeResponse),
}


@pytest.mark.parametrize("client", [n for n, d in DIALECTS.items() if d.embed_client is not None])
def test_vectors_that_are_served_are_of_the_vendors_types(client: str) -> None:
    adapter = DIALECTS[client].embed_client
    assert adapter is not None
    body = adapter.render_embed(VECTORS, EMBED_REQUEST, EXCHANGE)
    assert SERVED_VECTORS[client](json.loads(json.dumps(body))) == []


def _gemini_batch(body: Json) -> str | None:
    known_names = {"model", "content", "taskType", "title", "outputDimensionality"}
    return next(
        (name for item in body["requests"] for name in item if name not in known_names), None
    )


SENT_VECTORS: dict[str, Callable[[Json], object]] = {
    "openai_embeddings": openai_older.embedding_refusal,
    "gemini": _gemini_batch,
    "ollama": lambda body: ollama_rules.refusal("/api/embed", body),
    "cohere": cohere_rules.embed_type_refusal,
}


@pytest.mark.parametrize(
    "provider", [n for n, d in DIALECTS.items() if d.embed_provider is not None]
)
def test_embedding_requests_match_the_vendors_types(provider: str) -> None:
    adapter = DIALECTS[provider].embed_provider
    assert adapter is not None
    rendered_request = adapter.render_embed(
        EMBED_REQUEST, traits_for("openai", EMBED_REQUEST.model)
    )
    assert SENT_VECTORS[provider](json.loads(json.dumps(rendered_request.body))) is None


@pytest.mark.parametrize(
    ("client", "shape"),
    [
        ("anthropic_messages", MessageTokensCount),
        ("openai_responses", InputTokenCountResponse),
        ("gemini", CountTokensResponse),
    ],
)
def test_a_count_that_is_served_is_of_the_vendors_type(client: str, shape: Any) -> None:
    assert type_errors(DIALECTS[client].client.render_count(7), shape, strict=False) == []
