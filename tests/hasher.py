"""Argon2 with low cost, for thousands of tests."""

from __future__ import annotations

from console.hashing import QueuedArgon2


class QuickArgon2(QueuedArgon2):
    """The product's hasher with minimal time and memory."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
