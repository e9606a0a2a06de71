"""Scripted responses of a fake provider: rules that match the user's text, then a default."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A tool call of the response. Arguments that are a string are sent unchanged."""

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str = ""

    @property
    def text(self) -> str:
        """Return the arguments as JSON text."""
        arguments_value = self.arguments
        return (
            arguments_value
            if isinstance(arguments_value, str)
            else json.dumps(arguments_value, separators=(",", ":"))
        )

    @property
    def object(self) -> dict[str, Any]:
        """Return the arguments as an object."""
        arguments_value = self.arguments
        return (
            json.loads(arguments_value)
            if isinstance(arguments_value, str)
            else dict(arguments_value)
        )


@dataclass(frozen=True)
class Refusal:
    """An error response: `type` and `code` of the fake's own dialect; `details` of Anthropic's."""

    status: int
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] | None = None


# What the rules raise that read a field of another type than they expect.
_MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)


def refuse_malformed(
    invalid_request: Callable[[str], Refusal],
) -> Callable[[Callable[P, T]], Callable[P, T | Refusal]]:
    """Decorate rules that read a body: one that they cannot read is an invalid request.

    The SDKs' types, by which the rules check most fields, allow more than the services do.
    """

    def decorate(rules: Callable[P, T]) -> Callable[P, T | Refusal]:
        @functools.wraps(rules)
        def checked_rules(*args: P.args, **kwargs: P.kwargs) -> T | Refusal:
            try:
                return rules(*args, **kwargs)
            except _MALFORMED as error:
                return invalid_request(f"malformed body: {error!r}")

        return checked_rules

    return decorate


@dataclass(frozen=True)
class ScriptedResponse:
    """A scripted response.

    Attributes:
        finish: the dialect's own finish reason; None derives it from the content.
        then: the response to the results of the calls; `{results}` in its text is replaced by
            them.
        first_s, pace_s: delays before the response and between its chunks.
        once: an event that the response also waits for.
        interleaved: whether parallel calls interleave their streamed arguments.
        breaks: `error` sends an error event in the middle of a stream, `cut` closes it.
        chunk_chars: characters per chunk of a stream.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    refusal: str | None = None
    then: ScriptedResponse | None = None
    error: Refusal | None = None
    first_s: float = 0.0
    pace_s: float = 0.0
    once: threading.Event | None = None
    interleaved: bool = False
    breaks: str = ""
    chunk_chars: int = 5
    cached_tokens: int = 0
    reasoning_tokens: int = 7
    input_tokens: int = 11
    output_tokens: int = 23

    async def wait_until_due(self) -> None:
        """Wait until the response may start."""
        await asyncio.sleep(self.first_s)
        while self.once is not None and not self.once.is_set():
            await asyncio.sleep(0.01)


class Script:
    """Rules by a part of the user's text; the newest matching rule applies."""

    def __init__(self) -> None:
        self._rules: list[tuple[str, ScriptedResponse]] = []
        self._after: dict[str, ScriptedResponse] = {}
        self.default = ScriptedResponse(text="Hello from the strict upstream.")

    def on(self, text: str, response: ScriptedResponse) -> None:
        """Answer user texts that contain `text` with `response`."""
        self._rules.insert(0, (text, response))

    def after(self, result: str, response: ScriptedResponse) -> None:
        """Answer new tool results that contain `result` with `response`."""
        self._after[result] = response

    def response_for(self, prompts: list[str], results: list[str]) -> ScriptedResponse:
        """Return the response to user texts (newest first) and new tool results."""
        scripted_response = self._matching(prompts)
        if not results:
            return scripted_response
        joined = " | ".join(results)
        for text, later in self._after.items():
            if text in joined:
                return later
        if scripted_response.then is None:
            return ScriptedResponse(text=f"The tools answered: {joined}")
        if scripted_response.then.text:
            output_text = scripted_response.then.text.replace("{results}", joined)
            return ScriptedResponse(**{**vars(scripted_response.then), "text": output_text})
        return scripted_response.then

    def _matching(self, prompts: list[str]) -> ScriptedResponse:
        for prompt in prompts:
            for text, response in self._rules:
                if text in prompt:
                    return response
        return self.default
