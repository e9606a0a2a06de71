"""The structured output that the Python clients ask for."""

from __future__ import annotations

from pydantic import BaseModel


class Place(BaseModel):
    """A city and its country."""

    city: str
    country: str
