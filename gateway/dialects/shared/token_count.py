"""Responses to token counts: an object with one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.canon.errors import bad_upstream


def count_parser(field: str) -> Callable[[Any], int]:
    """A function that reads the tokens in `field`. It raises GatewayError if there are none."""

    def parse_count(body: Any) -> int:
        tokens = body.get(field) if isinstance(body, dict) else None
        if type(tokens) is not int or tokens < 0:
            raise bad_upstream(f"the upstream's token count contains no number of {field}")
        return tokens

    return parse_count


def no_count(message: str) -> Callable[[Any], int]:
    """A function that raises GatewayError, for an API without token counts."""

    def parse_count(body: Any) -> int:
        raise bad_upstream(message)

    return parse_count


def count_renderer(field: str, **constants: str) -> Callable[[int], dict[str, Any]]:
    """A function that renders a number of tokens as `field`, with the constant fields."""

    def render_count(tokens: int) -> dict[str, Any]:
        return {**constants, field: tokens}

    return render_count
