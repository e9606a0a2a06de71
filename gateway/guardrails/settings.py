"""Settings of guardrails: parsed from JSON, validated, and rendered as JSON."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import msgspec

from gateway.guardrails.guardrail import (
    KINDS,
    ModerationSettings,
    PatternSettings,
    PresidioSettings,
    Settings,
)
from gateway.guardrails.patterns import PII, compile_pattern

MAX_PATTERNS = 50


def parse_settings(kind: str, value: Any) -> Settings:
    """The settings of a guardrail from JSON.

    Raises:
        ValueError: a field is missing or wrong; the message names it.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: must be one of {', '.join(KINDS)}")
    if not isinstance(value, dict):
        raise ValueError("settings: must be an object")
    try:
        settings = msgspec.convert({**value, "kind": kind}, Settings)
    except msgspec.ValidationError as error:
        raise ValueError(f"settings: {error}") from None
    _check_settings(settings)
    checked_settings: Settings = settings
    return checked_settings


def settings_json(settings: Settings) -> dict[str, Any]:
    """The settings as JSON, without the kind; the inverse of `parse_settings`."""
    value: dict[str, Any] = msgspec.to_builtins(settings)
    value.pop("kind", None)
    return value


def _check_settings(settings: Settings) -> None:
    match settings:
        case PatternSettings():
            unknown_names = [name for name in settings.pii if name not in PII]
            if unknown_names:
                raise ValueError(
                    f"settings.pii: there is no `{unknown_names[0][:80]}`; "
                    f"the names are {', '.join(PII)}"
                )
            if not settings.pii and not settings.patterns:
                raise ValueError("settings: choose a type of personal data, or enter a pattern")
            if len(settings.patterns) > MAX_PATTERNS:
                raise ValueError(f"settings.patterns: at most {MAX_PATTERNS} patterns")
            for item in settings.patterns:
                try:
                    compile_pattern(item.pattern)
                except ValueError as error:
                    raise ValueError(f"settings.patterns: `{item.name}`: {error}") from None
        case ModerationSettings():
            if not settings.provider:
                raise ValueError("settings.provider: name a provider")
        case PresidioSettings(url=""):
            if find_spec("presidio_analyzer") is None:
                raise ValueError(
                    "settings.url: enter the URL of an analyzer, or install Presidio: "
                    "pip install 'dragoman[presidio]'"
                )
        case _:
            if not settings.url.startswith(("http://", "https://")):
                raise ValueError("settings.url: must be a URL with http:// or https://")
            if "@" in settings.url.split("/", 3)[2]:
                raise ValueError("settings.url: must contain no password; set the credential")
