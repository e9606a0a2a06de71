"""Tables of the console itself; the registry and the log are the gateway's."""

from __future__ import annotations

from console.models.playground import PlaygroundPreset, PlaygroundRun, Vote
from console.models.throttle import Throttle

__all__ = ["PlaygroundPreset", "PlaygroundRun", "Throttle", "Vote"]
