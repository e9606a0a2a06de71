"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.job import OnceJob


class Job(OnceJob):
    """The request, the traits of its target, and the report as it grows.

    `hints` are sentences for the model that stand for fields which the target does not know.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.hints: list[str] = []
