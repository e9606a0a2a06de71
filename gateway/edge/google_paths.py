"""Google's paths, which contain the model and, after a colon, the method.

/v1beta/models/{model}:generateContent          and the same below /v1
/v1beta1/projects/P/locations/L/publishers/google/models/{model}:...    also `:predict`
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

Action = Literal["generate", "count_tokens", "embed"]
_PATH = re.compile(
    r"^(?:/v1(?=/v1))?(?P<version>/v1(?:beta1?|alpha)?)?/"
    r"(?:(?:projects/[^/]+/locations/[^/]+/)?publishers/google/)?"
    r"(?P<collection>models|tunedModels)(?:/(?P<rest>.+?))?/?$",
    re.DOTALL,
)
_ACTIONS: dict[str, Action] = {
    "generateContent": "generate",
    "streamGenerateContent": "generate",
    "countTokens": "count_tokens",
    "embedContent": "embed",
    "batchEmbedContents": "embed",
    # Embeddings of clients of Vertex AI.
    "predict": "embed",
}


class GooglePath(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed path. `action` is an `Action`, or None for the list of models or one entry of it."""

    verb: str = ""
    action: Action | None = None
    model: str = ""
    stream: bool = False


def parse(path: str) -> GooglePath | None:
    """Parse a path; None for one that is not specific to Google.

    `/v1/models` is shared by three dialects; without an action it is left to the common table.
    """
    match = _PATH.match(path)
    if match is None:
        return None
    resource = match["rest"] or ""
    model, _, verb = resource.rpartition(":")
    if model and verb in _ACTIONS:
        if match["collection"] == "tunedModels":
            model = f"tunedModels/{model}"
        stream = verb == "streamGenerateContent"
        return GooglePath(verb=verb, action=_ACTIONS[verb], model=model, stream=stream)
    if (match["version"] or "/v1") == "/v1" or match["collection"] != "models":
        return None
    return GooglePath(model=resource)
