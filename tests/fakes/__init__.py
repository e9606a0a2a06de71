"""Servers on real sockets that behave as providers do, refusals included.

`StrictOpenAI`, `StrictAnthropic`, `StrictDeepSeek` and `StrictGemini` refuse what the
paid services refuse; `ChaosUpstream` breaks in every way that a network or a provider
can. Each runs in a thread of its own and records what it was asked.
"""

from tests.fakes.anthropic import StrictAnthropic
from tests.fakes.chaos import ChaosUpstream
from tests.fakes.gemini import StrictGemini
from tests.fakes.openai import StrictDeepSeek, StrictOpenAI
from tests.fakes.script import Call, Refusal, Script, ScriptedAnswer
from tests.fakes.server import RecordedRequest, Server

__all__ = [
    "Call",
    "ChaosUpstream",
    "RecordedRequest",
    "Refusal",
    "Script",
    "ScriptedAnswer",
    "Server",
    "StrictAnthropic",
    "StrictDeepSeek",
    "StrictGemini",
    "StrictOpenAI",
]
