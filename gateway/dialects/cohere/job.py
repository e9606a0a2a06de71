"""One request on its way to a provider: what it is for and what is lost."""

from __future__ import annotations

from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.cohere.names import Json
from gateway.dialects.job import NamingJob


class Job(NamingJob):
    """One request to Cohere; `documents` is what the model may cite, as found in the turns."""

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.documents: list[Json] = []
