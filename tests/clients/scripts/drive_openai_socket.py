"""The official `openai` SDK's Responses over a WebSocket; each turn sends only new items."""

from __future__ import annotations

import json
import warnings
from typing import Any

import openai
from scenarios import (
    AS_JSON,
    BASE,
    BOTH_CITIES,
    CITY,
    HELLO,
    KEY,
    PLACE,
    TOOL,
    TOOL_DESCRIPTION,
    main,
    reasoning_prompts,
    weather,
)

# websockets 17.1 wants `connect` used in a way that the SDK has not learned yet.
warnings.filterwarnings("ignore", category=DeprecationWarning)

client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)
TOOLS: Any = [
    {
        "type": "function",
        "name": TOOL,
        "description": TOOL_DESCRIPTION,
        "parameters": CITY,
        "strict": False,
    }
]


class Conversation:
    """A conversation on one connection, which stores its responses in memory only."""

    def __init__(self, connection: Any, model: str) -> None:
        self.connection, self.model = connection, model
        self.previous: str | None = None
        self.pieces: list[str] = []

    def ask(self, new: Any, **more: Any) -> Any:
        """Send new input items and return the response."""
        self.connection.response.create(
            model=self.model, input=new, store=False, previous_response_id=self.previous, **more
        )
        for event in self.connection:
            if event.type == "response.output_text.delta":
                self.pieces.append(event.delta)
            if event.type in {"error", "response.failed", "response.incomplete"}:
                raise RuntimeError(str(event))
            if event.type == "response.completed":
                self.previous = event.response.id
                return event.response
        raise RuntimeError("the connection ended before the response")

    def turn(self, prompt: str, **more: Any) -> str:
        """Send a prompt, run the called tools until there are none, and return the last text."""
        new: Any = [{"role": "user", "content": prompt}]
        for _ in range(4):
            response = self.ask(new, tools=TOOLS, **more)
            calls = [item for item in response.output if item.type == "function_call"]
            if not calls:
                return str(response.output_text)
            new = [_result(call) for call in calls]
        raise RuntimeError("the tools are called without end")


def _result(call: Any) -> dict[str, Any]:
    sent_weather = weather(**json.loads(call.arguments))
    return {"type": "function_call_output", "call_id": call.call_id, "output": sent_weather}


def text(model: str) -> str:
    """Return the text of a response."""
    with client.responses.connect() as connection:
        return str(Conversation(connection, model).ask(HELLO).output_text)


def stream(model: str) -> list[str]:
    """Return the deltas of a response."""
    with client.responses.connect() as connection:
        talk = Conversation(connection, model)
        talk.ask(HELLO)
        return talk.pieces


def tools(model: str) -> str:
    """Return the last text after a tool call."""
    with client.responses.connect() as connection:
        return Conversation(connection, model).turn(BOTH_CITIES)


def thinking(model: str) -> list[str]:
    """Return the last text of two turns with reasoning and tool calls."""
    with client.responses.connect() as connection:
        talk = Conversation(connection, model)
        more: Any = {"effort": "high", "summary": "auto"}
        return [talk.turn(prompt, reasoning=more) for prompt in reasoning_prompts(model)]


def structured(model: str) -> list[Any]:
    """Return the objects of structured output."""
    text_format = {"type": "json_schema", "name": "place", "strict": True, "schema": PLACE}
    with client.responses.connect() as connection:
        response = Conversation(connection, model).ask(AS_JSON, text={"format": text_format})
    return [json.loads(response.output_text)]


if __name__ == "__main__":
    main(text=text, stream=stream, tools=tools, thinking=thinking, structured=structured)
