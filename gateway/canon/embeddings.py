"""Canonical embeddings: requests with texts, responses with one vector for each."""

from __future__ import annotations

import base64
import binascii
from array import array
from sys import byteorder
from typing import Any, Literal

import msgspec

from gateway.canon.errors import Error, GatewayError
from gateway.canon.media import parse_data_url
from gateway.canon.response import Usage

# The input of one vector: a text, or the ids of its tokens.
Input = str | tuple[int, ...]
Encoding = Literal["float", "base64"]


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request for vectors.

    Attributes:
        model: the model name that the client requested.
        inputs: what to embed, in order.
        dimensions: the requested length of a vector; None for the model's own.
        encoding: the requested encoding of a vector; None for the dialect's default.
        truncate: whether an input that is too long is truncated; None for the upstream's default.
        task: what the vectors are for (`search_query`, `search_document`, ...).
        user_id: the end user's opaque id.
        extra: per dialect, fields without a canonical equivalent. One with `[]` in its name
            has a value for each input, in their order.
        client_paths: per canonical name, the client's path for it, for reports.
    """

    model: str
    inputs: tuple[Input, ...]
    dimensions: int | None = None
    encoding: Encoding | None = None
    truncate: bool | None = None
    task: str | None = None
    user_id: str | None = None
    extra: dict[str, dict[str, Any]] = {}
    client_paths: dict[str, str] = {}

    def client_path(self, name: str) -> str:
        """The client's own path of a canonical field; the field's name if it has none."""
        return self.client_paths.get(name, name)

    def slice_inputs(self, start: int, stop: int) -> EmbedRequest:
        """A copy of the request with only these inputs."""
        extra = {
            dialect: {k: v[start:stop] if "[]" in k else v for k, v in fields.items()}
            for dialect, fields in self.extra.items()
        }
        return msgspec.structs.replace(self, inputs=self.inputs[start:stop], extra=extra)


def is_image(text: Input) -> bool:
    """Whether an input is an image, as a data URL."""
    data_url = parse_data_url(text) if isinstance(text, str) else None
    return data_url is not None and (data_url[0] or "").startswith("image/")


def check_no_images(request: EmbedRequest, provider: str) -> None:
    """Check the inputs for a provider that would embed the URL of an image as text.

    Raises GatewayError for an image.
    """
    for index, text in enumerate(request.inputs):
        if is_image(text):
            raise _input_error(request, index, f"{provider} embeds text, not images")


def text_inputs(request: EmbedRequest, provider: str) -> list[str]:
    """The inputs for a provider that embeds no tokens. Raises GatewayError for tokens."""
    texts = []
    for index, text in enumerate(request.inputs):
        if not isinstance(text, str):
            reason = (
                f"{provider} embeds text, not tokens; send the text "
                "(LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)"
            )
            raise _input_error(request, index, reason)
        texts.append(text)
    return texts


def _input_error(request: EmbedRequest, index: int, reason: str) -> GatewayError:
    path = request.client_path("input")
    message = f"{path}[{index}]: {reason}"
    return GatewayError(Error(kind="unsupported_param", message=message, param=path))


class EmbedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors, one for each input in its order. An embedding has no output tokens."""

    model: str = ""
    vectors: tuple[list[float], ...] = ()
    usage: Usage | None = None
    extra: dict[str, dict[str, Any]] = {}


def pack_vector(vector: list[float]) -> str:
    """The vector as little-endian 32-bit floats in base64."""
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def unpack_vector(text: str) -> list[float] | None:
    """The vector in base64 text; None for any other text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) % 4:
        return None
    numbers = array("f")
    numbers.frombytes(data)
    if byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
