"""An agent of the OpenAI Agents SDK with default tracing, exported to the gateway.

The argument is JSON with `base`, `key`, `model`, `group` and `exporter`, the code that sets up
the export. Prints the final outputs and the trace ids.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    custom_span,
    flush_traces,
    function_tool,
    trace,
)
from openai import AsyncOpenAI

REQUEST = json.loads(sys.argv[1])
KINDS: dict[str, Any] = {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}


@function_tool
def get_weather(city: str) -> str:
    """Return the weather of a city."""
    return f"Sunny in {city}, 21 degrees"


@function_tool
def broken_lookup(city: str) -> str:
    """Return the population of a city; always fails."""
    raise RuntimeError(f"no data for {city}")


async def walk() -> dict[str, Any]:
    """Run one workflow for each API: an agent with two tools, one of which fails."""
    client = AsyncOpenAI(base_url=f"{REQUEST['base']}/v1", api_key=REQUEST["key"], max_retries=0)
    done: dict[str, Any] = {}
    for kind, model in KINDS.items():
        created_model = model(REQUEST["model"], client)
        agent = Agent(
            name=f"Forecaster {kind}",
            instructions="Be brief.",
            model=created_model,
            tools=[get_weather, broken_lookup],
        )
        with trace(f"Weather {kind}", group_id=REQUEST["group"]) as current:
            with custom_span("prepare", {"step": 1}):
                pass
            result = await Runner.run(agent, "What is the weather in Paris?", max_turns=6)
        done[kind] = {"trace": current.trace_id, "output": str(result.final_output)}
    return done


if __name__ == "__main__":
    exec(REQUEST["exporter"], {})
    output = asyncio.run(walk())
    flush_traces()
    print(json.dumps(output))
