"""Names that the modules of this dialect share."""

from __future__ import annotations

from typing import Any

from gateway.canon.errors import Error, GatewayError

NAME = "openai_completions"
Json = dict[str, Any]


def refused(path: str, why: str, code: str | None = None) -> GatewayError:
    """The error for a value that cannot be translated to other dialects."""
    message = f"{path}: {why}"
    return GatewayError(Error(kind="unsupported_param", message=message, param=path, code=code))
