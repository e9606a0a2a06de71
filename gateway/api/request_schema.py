"""The base of request bodies of the management API."""

from __future__ import annotations

from ninja import Schema
from pydantic import ConfigDict


class RequestSchema(Schema):
    """A request body that rejects unknown fields: a misspelled optional field would be ignored."""

    model_config = ConfigDict(extra="forbid")
