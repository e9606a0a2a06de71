"""Inputs that the tests of several SDKs send."""

from __future__ import annotations

from pydantic import BaseModel

from tests.fakes import Call

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
PIXEL_URL = f"data:image/png;base64,{PIXEL}"
TWO_CALLS = (
    Call("get_weather", {"city": "Paris"}, "toolu_a"),
    Call("get_weather", {"city": "Rome"}, "toolu_b"),
)


class City(BaseModel):
    """The type of the structured output."""

    name: str
    inhabitants: int
