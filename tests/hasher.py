"""Argon2 as the product has it, at a price that thousands of tests can pay."""

from __future__ import annotations

from django.contrib.auth.hashers import Argon2PasswordHasher


class QuickArgon2(Argon2PasswordHasher):
    """The same algorithm with the least of time and memory."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
