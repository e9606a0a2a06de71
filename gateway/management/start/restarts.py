"""Restart policy of workers: when to replace a dead one, and when to give up.

The first replacement is immediate. A worker that dies again within STABLE_S is replaced after a
delay that doubles with each death, since its cause (a broken library, too little memory) does
not pass in a second. If no stable worker is left, MAX_DEATHS within WINDOW_S end the gateway, so
that a service manager or an orchestrator sees the fault.
"""

from __future__ import annotations

from collections import Counter, deque

STABLE_S = 60.0
WINDOW_S = 300.0
MAX_DEATHS = 10
MIN_DELAY_S, MAX_DELAY_S = 1.0, 30.0


class RestartPolicy:
    """The deaths of a supervisor's workers. Times in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()
        self._early_deaths: Counter[int] = Counter()

    def record_death(self, slot: int, now: float, lived_s: float) -> float:
        """Record a death; return the delay before the worker in this slot is replaced."""
        self._deaths.append(now)
        if lived_s >= STABLE_S:
            self._early_deaths[slot] = 0
            return 0.0
        self._early_deaths[slot] += 1
        repeats = self._early_deaths[slot] - 1
        return min(MAX_DELAY_S, MIN_DELAY_S * 2 ** (repeats - 1)) if repeats else 0.0

    def gives_up(self, now: float, oldest_worker_s: float) -> bool:
        """Whether to give up; `oldest_worker_s` is the age of the oldest living worker."""
        while self._deaths and now - self._deaths[0] > WINDOW_S:
            self._deaths.popleft()
        return len(self._deaths) >= MAX_DEATHS and oldest_worker_s < STABLE_S
