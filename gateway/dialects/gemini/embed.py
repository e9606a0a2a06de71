"""Embeddings: `embedContent` and `batchEmbedContents`, both ways."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped
from gateway.canon.embeddings import EmbedRequest, EmbedResponse
from gateway.canon.errors import Error, GatewayError, bad_upstream, invalid
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import Exchange, Rendered
from gateway.dialects.fields import items, needed_mapping, needed_text, text, whole
from gateway.dialects.gemini.casing import camel
from gateway.dialects.gemini.errors import error_in, is_error
from gateway.dialects.gemini.names import NAME, Json
from gateway.dialects.gemini.usage import usage_in

_READ = frozenset({"model", "content"})
# What a field is called that the requests of a batch have each for itself.
_EACH = "requests[]."
_TASKS = {
    "RETRIEVAL_QUERY": "search_query",
    "RETRIEVAL_DOCUMENT": "search_document",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}
_TASKS_OUT = {told: word for word, told in _TASKS.items()}


class EmbedClient:
    """Serves Google's clients that want vectors."""

    def parse_embed(self, body: Json) -> EmbedRequest:
        """The canonical request. Raises GatewayError naming the field at fault."""
        body = camel(body)
        model = needed_text(body, "model")
        if "content" in body:
            asked, places = [body], [""]
        else:
            asked = items(body, "requests")
            places = [f"requests[{place}]" for place in range(len(asked))]
        if not asked:
            raise invalid("requests is required: give a list of contents to embed", "requests")
        inputs = tuple(_words(one, at) for one, at in zip(asked, places, strict=True))
        common, extra = _settings(asked)
        at = places[0]
        task = text(common, "taskType", at)
        known = _TASKS.get(task or "")
        dimensions = whole(common, "outputDimensionality", least=1, most=1_000_000, at=at)
        told = {"outputDimensionality", "taskType" if known or task is None else ""}
        extra |= {name: value for name, value in common.items() if name not in told}
        prefix = f"{at}." if at else ""
        return EmbedRequest(
            model=model.removeprefix("models/"),
            inputs=inputs,
            dimensions=dimensions,
            task=known,
            extra={NAME: extra} if extra else {},
            at={"task": f"{prefix}taskType", "dimensions": f"{prefix}outputDimensionality"},
        )

    def render_embed(
        self, response: EmbedResponse, request: EmbedRequest, exchange: Exchange
    ) -> Json:
        """The answer's JSON, in the shape of the path that was called."""
        if exchange.endpoint.endswith(":embedContent"):
            return {"embedding": {"values": response.vectors[0]}}
        return {"embeddings": [{"values": vector} for vector in response.vectors]}


def _settings(asked: list[Json]) -> tuple[Json, Json]:
    """What all requests of a batch say alike, and what each says for itself, in their order."""
    common: Json = {}
    each: Json = {}
    for name in dict.fromkeys(name for one in asked for name in one if name not in _READ):
        values = [one.get(name) for one in asked]
        if all(value == values[0] for value in values):
            common[name] = values[0]
        else:
            each[_EACH + name] = values
    return common, each


def _words(asked: Json, at: str) -> str:
    """The text of one content."""
    content = needed_mapping(asked, "content", at)
    path = f"{at}.content" if at else "content"
    parts = items(content, "parts", path)
    return "\n".join(needed_text(p, "text", f"{path}.parts[{n}]") for n, p in enumerate(parts))


class _Vector(msgspec.Struct):
    values: list[float]


class _Answer(msgspec.Struct):
    embeddings: list[_Vector]


class EmbedProvider:
    """Has Google make vectors."""

    def embed_path(self, model: str) -> str:
        """The path of the call, which takes any number of texts."""
        return f"/v1beta/models/{model}:batchEmbedContents"

    def render_embed(self, request: EmbedRequest, traits: Traits) -> Rendered:
        """The JSON to send and what it could not carry. Raises GatewayError for tokens."""
        report: list[Adaptation] = []
        shared, each = _shared(request, report)
        model = f"models/{traits.model or request.model}"
        path = request.path("input")
        asked: list[Json] = []
        for place, words in enumerate(request.inputs):
            if not isinstance(words, str):
                why = f"{path}[{place}]: Google embeds texts, not tokens; send the text"
                raise GatewayError(Error(kind="unsupported_param", message=why, param=path))
            own = {name: told[place] for name, told in each.items() if told[place] is not None}
            asked.append({"model": model, "content": {"parts": [{"text": words}]}, **shared, **own})
        if traits.embed_form == "predict":
            why = "one value for all texts"
            report += [dropped(_EACH + name, why) for name in each if name not in _INSTANCE]
            return Rendered(body=_predict(asked, shared), report=tuple(report))
        if traits.embed_form == "content":
            alone = {name: value for name, value in asked[0].items() if name != "model"}
            return Rendered(body=alone, report=tuple(report))
        return Rendered(body={"requests": asked}, report=tuple(report))

    def parse_embed(self, body: Any) -> EmbedResponse:
        """The vectors. Raises GatewayError for a shape that is no answer."""
        if is_error(body):
            raise GatewayError(error_in(body))
        if isinstance(body, dict) and "predictions" in body:
            return _predicted(body)
        if isinstance(body, dict) and "embedding" in body:
            body = {**body, "embeddings": [body["embedding"]]}
        try:
            found = msgspec.convert(body, _Answer)
        except (msgspec.ValidationError, RecursionError):
            raise bad_upstream("the upstream's answer holds no embeddings") from None
        vectors = tuple(vector.values for vector in found.embeddings)
        return EmbedResponse(vectors=vectors, usage=usage_in(body.get("usageMetadata")))

    def glance_embed(self, data: bytes) -> EmbedResponse | None:
        """Have every answer parsed: these never pass through."""
        return None


# A field of `embedContent` -> that of an instance of a prediction, or of its parameters.
_INSTANCE = {"taskType": "task_type", "title": "title"}
_PARAMETERS = {"outputDimensionality": "outputDimensionality", "autoTruncate": "autoTruncate"}


def _predict(asked: list[Json], shared: Json) -> Json:
    """The same as a call of Vertex AI's `:predict`, whose path names the model."""
    body: Json = {"instances": []}
    for one in asked:
        said = {"content": one["content"]["parts"][0]["text"]}
        said |= {told: one[name] for name, told in _INSTANCE.items() if name in one}
        body["instances"].append(said)
    parameters = {told: shared[name] for name, told in _PARAMETERS.items() if name in shared}
    return {**body, "parameters": parameters} if parameters else body


class _Statistics(msgspec.Struct):
    token_count: float | None = None


class _Predicted(msgspec.Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _Predicted


class _Predictions(msgspec.Struct):
    predictions: list[_Prediction]


def _predicted(body: Json) -> EmbedResponse:
    """The vectors of predictions, and the sum of their tokens where each was counted."""
    try:
        found = msgspec.convert(body, _Predictions).predictions
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's answer holds no embeddings") from None
    counts = [one.embeddings.statistics for one in found]
    known = [int(c.token_count) for c in counts if c is not None and c.token_count is not None]
    usage = Usage(input=sum(known), output=0) if len(known) == len(found) and known else None
    return EmbedResponse(vectors=tuple(one.embeddings.values for one in found), usage=usage)


def _shared(request: EmbedRequest, report: list[Adaptation]) -> tuple[Json, dict[str, list[Any]]]:
    """What is said of all texts alike, and what of each, in their order."""
    out: Json = {}
    each: dict[str, list[Any]] = {}
    if request.dimensions is not None:
        out["outputDimensionality"] = request.dimensions
    task = _TASKS_OUT.get(request.task or "")
    if task is not None:
        out["taskType"] = task
    lost = ("user_id", "truncate") if task else ("user_id", "truncate", "task")
    report += [
        dropped(request.path(name), "no equivalent")
        for name in lost
        if getattr(request, name) is not None
    ]
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect != NAME:
                report.append(dropped(key, "no equivalent"))
            elif key.startswith(_EACH):
                each[key.removeprefix(_EACH)] = value
            else:
                out[key] = value
    return out, each
