"""The state of rendering one request: its target, and the report."""

from __future__ import annotations

from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.cohere.names import Json
from gateway.dialects.shared.render_context import ToolNamingRenderContext


class RenderContext(ToolNamingRenderContext):
    """The state of rendering one request; `documents` are those that the model may cite."""

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.documents: list[Json] = []
