"""Google's own APIs, which use generateContent: a new one is a row here."""

from __future__ import annotations

from gateway.providers.catalog.shared import TraitValues
from gateway.providers.profile import Preset

# Traits of a model, as opposed to the API it is called with, are in `families`.
_GOOGLE: TraitValues = {
    "user_field": "none",
    "session_field": "none",
    "metadata": False,
    "logit_bias": False,
    "parallel_toggle": False,
    "image_urls": False,
    "audio": True,
    "top_k": True,
    "stop_max": 5,
    "n_max": 8,
    "count_tokens": "endpoint",
    "web_search": "googleSearch",
    "code_execution": "codeExecution",
}
_VERTEX = "/publishers/google/models/{model}:"

GOOGLE_PRESETS: tuple[Preset, ...] = (
    Preset(
        name="gemini",
        title="Google Gemini",
        dialect="gemini",
        base_url="https://generativelanguage.googleapis.com",
        auth="x-goog-api-key",
        env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        docs="https://ai.google.dev/api/generate-content",
        litellm=("gemini",),
        aliases=("gemini_native", "google", "generate_content"),
        traits=_GOOGLE,
        prices="google",
    ),
    Preset(
        name="vertex",
        logo="gemini",
        title="Google Vertex AI (Gemini)",
        dialect="gemini",
        base_url="",
        url_example=(
            "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/PROJECT"
            "/locations/us-central1"
        ),
        auth="google",
        env=("VERTEX_ACCESS_TOKEN",),
        docs="https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference",
        litellm=("vertex_ai", "vertex_ai_beta"),
        aliases=("vertex_gemini", "vertexai"),
        paths={
            "generate": f"{_VERTEX}generateContent",
            "stream": f"{_VERTEX}streamGenerateContent?alt=sse",
            "count_tokens": f"{_VERTEX}countTokens",
            "embed": f"{_VERTEX}predict",
            "embed_content": f"{_VERTEX}embedContent",
        },
        traits={
            **_GOOGLE,
            "metadata": True,
            "store": False,
            "count_form": "bare",
            "embed_form": "predict",
        },
        prices="google",
    ),
)
