"""Servers on real sockets that behave as providers do, including their refusals.

`StrictOpenAI`, `StrictAnthropic`, `StrictDeepSeek` and `StrictGemini` refuse what the real
services refuse; `ChaosUpstream` has every fault of networks and providers. Each server runs in
its own thread and records its requests.
"""

from tests.fakes.anthropic import StrictAnthropic
from tests.fakes.chaos import ChaosUpstream
from tests.fakes.gemini import StrictGemini
from tests.fakes.openai import StrictDeepSeek, StrictOpenAI
from tests.fakes.script import Call, Refusal, Script, ScriptedResponse
from tests.fakes.server import RecordedRequest, Server

__all__ = [
    "Call",
    "ChaosUpstream",
    "RecordedRequest",
    "Refusal",
    "Script",
    "ScriptedResponse",
    "Server",
    "StrictAnthropic",
    "StrictDeepSeek",
    "StrictGemini",
    "StrictOpenAI",
]
