"""`top_k` without a limit: 0 or -1 for vLLM, OpenRouter and Ollama, rejected elsewhere."""

from __future__ import annotations

from typing import Any

from gateway.simulate import translate
from tests.each import each

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


@each(
    ("target", "model", "rejected"),
    [
        ("anthropic", "claude-sonnet-4-5", [-1]),  # 0 or more
        ("bedrock", CLAUDE, [-1]),  # 0 to 500
        ("bedrock", "us.amazon.nova-pro-v1:0", [-1]),  # 0 to 128
        ("gemini", "gemini-2.5-flash", [-1, 0]),  # 1 or more
    ],
)
@each("top_k", [-1, 0, 5])
def test_a_value_that_the_target_rejects_is_not_sent(
    top_k: int, target: str, model: str, rejected: list[int]
) -> None:
    message = {"role": "user", "content": "q"}
    body = {"model": "m", "messages": [message], "top_k": top_k, "max_tokens": 9}
    translation = translate.request("openai_chat", target, body, {}, model)
    report = [(row["field"], row["action"]) for row in translation["report"]]
    expected: Any = None if top_k in rejected else top_k
    assert sent_top_k(translation["body"]) == expected
    assert report == ([("top_k", "dropped")] if expected is None else [])


def sent_top_k(body: dict[str, Any]) -> Any:
    fields = body.get("additionalModelRequestFields", {})
    nova = fields.get("inferenceConfig", {}).get("topK")
    google = body.get("generationConfig", {}).get("topK")
    values = (body.get("top_k"), fields.get("top_k"), nova, google)
    return next((value for value in values if value is not None), None)
