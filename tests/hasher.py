"""Argon2 as the product has it, at a price that thousands of tests can pay."""

from __future__ import annotations

from console.hashing import QueuedArgon2


class QuickArgon2(QueuedArgon2):
    """The same algorithm with the least of time and memory."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
