"""What the parts of this dialect agree on."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error, GatewayError

NAME = "openai_completions"
Json = dict[str, Any]


def refused(path: str, why: str, code: str | None = None) -> GatewayError:
    """The error for what this dialect can say and a translation can not carry."""
    message = f"{path}: {why}"
    return GatewayError(Error(kind="unsupported_param", message=message, param=path, code=code))
