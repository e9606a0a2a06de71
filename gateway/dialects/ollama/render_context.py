"""The state of rendering one request: its target, and the report."""

from __future__ import annotations

from gateway.canon.request import Request
from gateway.canon.traits import Traits
from gateway.dialects.shared.render_context import DeduplicatingRenderContext


class RenderContext(DeduplicatingRenderContext):
    """The request, the traits of its target, and the report as it grows.

    `hints` are sentences for the model that stand for fields which the target does not know.
    """

    def __init__(self, request: Request, traits: Traits) -> None:
        super().__init__(request, traits)
        self.hints: list[str] = []
