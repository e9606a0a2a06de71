"""Embeddings: `embedContent`, `batchEmbedContents` and Vertex AI's `predict`, both ways."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, dropped_field
from gateway.canon.embeddings import (
    EmbedRequest,
    EmbedResponse,
    check_no_images,
    text_inputs,
)
from gateway.canon.errors import GatewayError, bad_upstream, invalid
from gateway.canon.response import Usage
from gateway.canon.traits import Traits
from gateway.dialects.base import RenderedRequest, ResponseContext
from gateway.dialects.gemini.context import (
    NAME,
    Json,
    camel_case_keys,
    resource_path,
    split_resource,
)
from gateway.dialects.gemini.errors import is_error, parse_error_payload
from gateway.dialects.gemini.response import parse_usage
from gateway.dialects.shared.fields import (
    integer,
    mapping,
    objects,
    required_mapping,
    required_text,
    text,
)

_PARSED_FIELDS = frozenset({"model", "content"})
# Where Google's SDK has the settings for Vertex AI, and those that a request can also have itself.
_CONFIG = "embedContentConfig"
_CONFIG_FIELDS = ("taskType", "title", "outputDimensionality", "autoTruncate")
# Prefix of fields whose values differ between the requests of a batch.
_PER_REQUEST_PREFIX = "requests[]."
_CANONICAL_TASKS = {
    "RETRIEVAL_QUERY": "search_query",
    "RETRIEVAL_DOCUMENT": "search_document",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}
_GOOGLE_TASKS = {
    canonical_task: google_task for google_task, canonical_task in _CANONICAL_TASKS.items()
}


def parse_embed_request(body: Json) -> EmbedRequest:
    """The canonical request. Raises GatewayError naming the field at fault."""
    body = camel_case_keys(body)
    model = required_text(body, "model")
    if "instances" in body:
        return _parse_prediction_request(body, model)
    if "content" in body:
        requests, paths = [body], [""]
    else:
        requests = objects(body, "requests")
        paths = [f"requests[{index}]" for index in range(len(requests))]
    if not requests:
        raise invalid("requests is required and must be a list of contents to embed", "requests")
    inputs = tuple(
        _content_text(embed_request, path)
        for embed_request, path in zip(requests, paths, strict=True)
    )
    path = f"{paths[0]}.{_CONFIG}".lstrip(".") if _CONFIG in requests[0] else paths[0]
    prefix = f"{path}." if path else ""
    requests = [
        _without_config(embed_request, path)
        for embed_request, path in zip(requests, paths, strict=True)
    ]
    client_paths = {
        "task": f"{prefix}taskType",
        "dimensions": f"{prefix}outputDimensionality",
    }
    return _embed_request(model, inputs, requests, path, client_paths)


def _parse_prediction_request(body: Json, model: str) -> EmbedRequest:
    """The canonical request of a call of Vertex AI's `predict`, whose body has camel case keys."""
    instances = objects(body, "instances")
    if not instances:
        raise invalid("instances is required and must be a list of texts to embed", "instances")
    inputs = tuple(
        required_text(instance, "content", f"instances[{index}]")
        for index, instance in enumerate(instances)
    )
    shared = {
        name: value
        for name, value in body.items()
        if name not in {"model", "instances", "parameters"}
    }
    shared |= mapping(body, "parameters") or {}
    requests = [{**shared, **instance} for instance in instances]
    client_paths = {
        "task": "instances[0].task_type",
        "dimensions": "parameters.outputDimensionality",
    }
    return _embed_request(model, inputs, requests, "parameters", client_paths)


def _embed_request(
    model: str,
    inputs: tuple[str, ...],
    requests: list[Json],
    path: str,
    client_paths: dict[str, str],
) -> EmbedRequest:
    """The canonical request of these texts, with the settings of each; `path` is for errors."""
    common_fields, extra = _split_batch_fields(requests)
    task = text(common_fields, "taskType", path)
    canonical_task = _CANONICAL_TASKS.get(task or "")
    dimensions = integer(
        common_fields, "outputDimensionality", minimum=1, maximum=1_000_000, path=path
    )
    parsed_fields = {
        "outputDimensionality",
        "taskType" if canonical_task or task is None else "",
    }
    extra |= {name: value for name, value in common_fields.items() if name not in parsed_fields}
    return EmbedRequest(
        model=model.removeprefix("models/"),
        inputs=inputs,
        dimensions=dimensions,
        task=canonical_task,
        extra={NAME: extra} if extra else {},
        client_paths=client_paths,
    )


def render_embed_response(
    response: EmbedResponse, request: EmbedRequest, context: ResponseContext
) -> Json:
    """The response's JSON, in the shape of the path that was called."""
    if context.endpoint.endswith(":predict"):
        return _render_predictions(response, request)
    embeddings: Json = {"embeddings": [{"values": vector} for vector in response.vectors]}
    if context.endpoint.endswith(":embedContent"):
        embeddings = {"embedding": {"values": response.vectors[0]}}
    usage = response.usage
    if usage is not None and usage.prompt_tokens is not None:
        embeddings["usageMetadata"] = {"promptTokenCount": usage.prompt_tokens}
    return embeddings


def _render_predictions(response: EmbedResponse, request: EmbedRequest) -> Json:
    """The response of `predict`: a client sums the tokens, which are shared out by length."""
    tokens = (response.usage.prompt_tokens if response.usage else None) or 0
    lengths = [len(text_input) for text_input in request.inputs]
    ends = [tokens * end // (sum(lengths) or 1) for end in itertools.accumulate(lengths)]
    predictions = []
    for vector, start, end in zip(response.vectors, [0, *ends], ends, strict=False):
        statistics = {"token_count": end - start, "truncated": False}
        predictions.append({"embeddings": {"values": vector, "statistics": statistics}})
    return {"predictions": predictions}


def _without_config(embed_request: Json, path: str) -> Json:
    """The request with the settings of its `embedContentConfig` as fields of its own."""
    config = mapping(embed_request, _CONFIG, path)
    if config is None:
        return embed_request
    out = {name: value for name, value in embed_request.items() if name != _CONFIG}
    out |= {name: config[name] for name in _CONFIG_FIELDS if name in config}
    other_fields = {name: value for name, value in config.items() if name not in _CONFIG_FIELDS}
    return {**out, _CONFIG: other_fields} if other_fields else out


def _split_batch_fields(requests: list[Json]) -> tuple[Json, Json]:
    """Split the fields of a batch into common values and lists of values by request."""
    common_fields: Json = {}
    fields_by_request: Json = {}
    for name in dict.fromkeys(
        name for embed_request in requests for name in embed_request if name not in _PARSED_FIELDS
    ):
        values = [embed_request.get(name) for embed_request in requests]
        if all(value == values[0] for value in values):
            common_fields[name] = values[0]
        else:
            fields_by_request[_PER_REQUEST_PREFIX + name] = values
    return common_fields, fields_by_request


def _content_text(embed_request: Json, path: str) -> str:
    """The text of one content."""
    content = required_mapping(embed_request, "content", path)
    content_path = f"{path}.content" if path else "content"
    parts = objects(content, "parts", content_path)
    return "\n".join(
        required_text(p, "text", f"{content_path}.parts[{n}]") for n, p in enumerate(parts)
    )


class _Vector(msgspec.Struct):
    values: list[float]


class _EmbedResult(msgspec.Struct):
    embeddings: list[_Vector]


def embed_path(model: str) -> str:
    """The path of the call that accepts any number of texts."""
    return f"/v1beta/{resource_path(model)}:batchEmbedContents"


def render_embed_request(request: EmbedRequest, traits: Traits) -> RenderedRequest:
    """The JSON to send, and its adaptations. Raises GatewayError for tokens and images."""
    check_no_images(request, "Google")
    report: list[Adaptation] = []
    common_fields, fields_by_request = _split_shared_fields(request, report)
    model = "/".join(split_resource(traits.model or request.model))
    requests: list[Json] = []
    for index, text_input in enumerate(text_inputs(request, "Google")):
        request_fields = {
            name: values[index]
            for name, values in fields_by_request.items()
            if values[index] is not None
        }
        requests.append(
            {
                "model": model,
                "content": {"parts": [{"text": text_input}]},
                **common_fields,
                **request_fields,
            }
        )
    if traits.embed_form == "predict":
        reason = "one value applies to all texts"
        report += [
            dropped_field(_PER_REQUEST_PREFIX + name, reason)
            for name in fields_by_request
            if name not in _INSTANCE_FIELDS
        ]
        report += [
            dropped_field(name, "no equivalent")
            for name in common_fields
            if name not in _INSTANCE_FIELDS and name not in _PARAMETER_FIELDS
        ]
        return RenderedRequest(
            body=_render_prediction_body(requests, common_fields), report=tuple(report)
        )
    if traits.embed_form == "content":
        single_request = {name: value for name, value in requests[0].items() if name != "model"}
        return RenderedRequest(body=single_request, report=tuple(report))
    return RenderedRequest(body={"requests": requests}, report=tuple(report))


def parse_embed_response(body: Any) -> EmbedResponse:
    """The vectors. Raises GatewayError for a body that is no response."""
    if is_error(body):
        raise GatewayError(parse_error_payload(body))
    if isinstance(body, dict) and "predictions" in body:
        return _parse_predictions(body)
    if isinstance(body, dict) and "embedding" in body:
        body = {**body, "embeddings": [body["embedding"]]}
    try:
        result = msgspec.convert(body, _EmbedResult)
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's response contains no embeddings") from None
    vectors = tuple(vector.values for vector in result.embeddings)
    return EmbedResponse(vectors=vectors, usage=parse_usage(body.get("usageMetadata")))


# A field of `embedContent` -> that of an instance of a prediction, or of its parameters.
_INSTANCE_FIELDS = {"taskType": "task_type", "title": "title"}
_PARAMETER_FIELDS = {"outputDimensionality": "outputDimensionality", "autoTruncate": "autoTruncate"}


def _render_prediction_body(requests: list[Json], common_fields: Json) -> Json:
    """The body of the equivalent call of Vertex AI's `:predict`."""
    body: Json = {"instances": []}
    for embed_request in requests:
        instance = {"content": embed_request["content"]["parts"][0]["text"]}
        instance |= {
            instance_field: embed_request[name]
            for name, instance_field in _INSTANCE_FIELDS.items()
            if name in embed_request
        }
        body["instances"].append(instance)
    parameters = {
        instance_field: common_fields[name]
        for name, instance_field in _PARAMETER_FIELDS.items()
        if name in common_fields
    }
    return {**body, "parameters": parameters} if parameters else body


class _Statistics(msgspec.Struct):
    token_count: float | None = None


class _PredictedVector(msgspec.Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct):
    embeddings: _PredictedVector


class _Predictions(msgspec.Struct):
    predictions: list[_Prediction]


def _parse_predictions(body: Json) -> EmbedResponse:
    """The vectors of predictions, and the sum of their tokens if each has a count."""
    try:
        predictions = msgspec.convert(body, _Predictions).predictions
    except (msgspec.ValidationError, RecursionError):
        raise bad_upstream("the upstream's response contains no embeddings") from None
    counts = [prediction.embeddings.statistics for prediction in predictions]
    token_counts = [
        int(c.token_count) for c in counts if c is not None and c.token_count is not None
    ]
    usage = (
        Usage(input=sum(token_counts), output=0)
        if len(token_counts) == len(predictions) and token_counts
        else None
    )
    return EmbedResponse(
        vectors=tuple(prediction.embeddings.values for prediction in predictions), usage=usage
    )


def _split_shared_fields(
    request: EmbedRequest, report: list[Adaptation]
) -> tuple[Json, dict[str, list[Any]]]:
    """Split the fields into common values and lists of values by text."""
    common_fields: Json = {}
    fields_by_request: dict[str, list[Any]] = {}
    if request.dimensions is not None:
        common_fields["outputDimensionality"] = request.dimensions
    task = _GOOGLE_TASKS.get(request.task or "")
    if task is not None:
        common_fields["taskType"] = task
    unsupported_fields = ("user_id", "truncate") if task else ("user_id", "truncate", "task")
    report += [
        dropped_field(request.client_path(name), "no equivalent")
        for name in unsupported_fields
        if getattr(request, name) is not None
    ]
    for dialect, fields in request.extra.items():
        for key, value in fields.items():
            if dialect != NAME:
                report.append(dropped_field(key, "no equivalent"))
            elif key.startswith(_PER_REQUEST_PREFIX):
                fields_by_request[key.removeprefix(_PER_REQUEST_PREFIX)] = value
            else:
                common_fields[key] = value
    return common_fields, fields_by_request
