"""Entry point of the client scripts. Uses only the standard library, for their environments.

A script is called with one JSON argument (`base`, `key`, `models`, `variant`) and prints
`{model: {scenario: {"saw": ...} or {"failed": ...}}}` as its last line.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

REQUEST: dict[str, Any] = json.loads(sys.argv[1])
BASE: str = REQUEST["base"]
KEY: str = REQUEST["key"]
VARIANT: str = REQUEST["variant"]

HELLO = "Hello there"
BOTH_CITIES = "What is the weather in Paris and Rome?"
AS_JSON = "Describe Paris as JSON"
TOOL = "get_weather"
TOOL_DESCRIPTION = "The weather of a city"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Its name"}},
    "required": ["city"],
}


PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}


def by_call(tool: str) -> str:
    """Return the prompt that is answered with a call of a tool whose arguments are the object."""
    return f"Describe Paris by calling {tool}."


def reasoning_prompts(model: str) -> list[str]:
    """Return the prompts of two turns that each need reasoning and a tool call.

    The prompts contain the model, because the gateway identifies conversations by their text.
    """
    return [f"Think about the weather in {city}, {model}" for city in ("Oslo", "Lima")]


def weather(city: str) -> str:
    """Return the result of the tool."""
    return f"sun in {city}"


def main(**scenarios: Callable[[str], Any]) -> None:
    """Run each scenario on each model and print what the client received."""
    expected_scenarios = REQUEST["scenarios"]
    scenarios_by_name_by_model = {
        model: {name: _run_scenario(scenarios[name], model) for name in names}
        for model, names in expected_scenarios.items()
    }
    print("\n" + json.dumps(scenarios_by_name_by_model))


def _run_scenario(scenario: Callable[[str], Any], model: str) -> dict[str, Any]:
    try:
        saw = scenario(model)
        if inspect.iscoroutine(saw):
            saw = asyncio.run(saw)
    except Exception as error:
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"[:1000]}
    return {"saw": saw}
