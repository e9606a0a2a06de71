"""The console's own tables; the registry and the log belong to the gateway."""

from __future__ import annotations

from console.models.evaluation import Evaluation, EvaluationResult, EvaluationRun
from console.models.playground import PlaygroundPreset, PlaygroundRun, RunShare, Vote
from console.models.saved_view import SavedView
from console.models.throttle import Throttle

__all__ = [
    "Evaluation",
    "EvaluationResult",
    "EvaluationRun",
    "PlaygroundPreset",
    "PlaygroundRun",
    "RunShare",
    "SavedView",
    "Throttle",
    "Vote",
]
