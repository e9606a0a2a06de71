"""The guardrails of one call, and their results."""

from __future__ import annotations

import msgspec

from gateway.guardrails.guardrail import Guardrail


class GuardrailResult(msgspec.Struct, kw_only=True):
    """What one guardrail found in a request or response.

    Attributes:
        stage: `request` or `response`.
        outcome: `passed`, `logged`, `masked`, `blocked`, or `error` if the check failed.
        findings: what was found, with counts; never the text itself.
        error: why the check failed.
        reason: a service's explanation, which may quote the text; only if bodies are logged.
        duration_ms: of all checks of the stage together.
    """

    name: str
    kind: str
    stage: str
    outcome: str = "passed"
    findings: dict[str, int] = {}
    error: str = ""
    reason: str = ""
    duration_ms: float = 0.0


class GuardState(msgspec.Struct, kw_only=True):
    """The guardrails that check the request (`before`) and the response (`after`)."""

    before: list[Guardrail]
    after: list[Guardrail]
    results: list[GuardrailResult] = []
