"""One model through two SDKs: text, a stream, a tool call and structured output."""

import json
import os

from anthropic import Anthropic
from openai import OpenAI

BASE_URL = os.environ.get("DRAGOMAN_BASE_URL", "http://localhost:4000")
KEY = os.environ["DRAGOMAN_API_KEY"]
MODEL = os.environ.get("MODEL", "demo")
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


def main() -> None:
    """Print the four answers."""
    openai = OpenAI(base_url=f"{BASE_URL}/v1", api_key=KEY)
    anthropic = Anthropic(base_url=BASE_URL, api_key=KEY)

    answer = openai.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Say hello in one sentence."}]
    )
    print("text:", answer.choices[0].message.content)

    print("stream: ", end="")
    with anthropic.messages.stream(
        model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "Count to three."}]
    ) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
    print()

    message = anthropic.messages.create(
        model=MODEL,
        max_tokens=200,
        tools=[
            {"name": "get_weather", "description": "The weather of a city", "input_schema": WEATHER}
        ],
        messages=[{"role": "user", "content": "Use the tool: the weather in Paris?"}],
    )
    for block in message.content:
        if block.type == "tool_use":
            print("tool:", block.name, json.dumps(block.input))

    answer = openai.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Name a city, as JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": WEATHER}},
    )
    print("structured:", json.loads(answer.choices[0].message.content or ""))

    openai.close()
    anthropic.close()


if __name__ == "__main__":
    main()
