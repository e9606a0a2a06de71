"""`guardrails`: LiteLLM's guardrails whose kind exists here, and the routes that name them.

generic_guardrail_api  -> a service in LiteLLM's format
presidio               -> Presidio; entities to block and to mask become two guardrails
openai_moderation      -> the moderation of the file's OpenAI provider
litellm_content_filter -> patterns; those to block and to mask become two guardrails

(docs.litellm.ai/docs/proxy/guardrails/quick_start, .../litellm_content_filter, 2026-10)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from gateway.compat.litellm.config.reader import Node
from gateway.compat.litellm.config.report import Report
from gateway.compat.litellm.config.rows import Config, GuardrailRow
from gateway.guardrails.settings import parse_settings
from gateway.providers.catalog.litellm_names import presets_for_prefix

_MODES = {
    "pre_call": (True, False),
    "during_call": (True, False),
    "post_call": (False, True),
}
_NAME = re.compile(r"[\x00-\x1f\x7f,`]")
_COMMON_PARAMS = frozenset({"guardrail", "mode", "default_on"})
# LiteLLM's prebuilt patterns -> the types here.
_PREBUILT = {
    "us_ssn": "us_ssn",
    "email": "email",
    "us_phone": "phone",
    "phone": "phone",
    **dict.fromkeys(("credit_card", "visa", "mastercard", "amex", "discover"), "credit_card"),
    **dict.fromkeys(("ipv4", "ipv6"), "ip_address"),
    "iban": "iban",
    **dict.fromkeys(
        ("aws_access_key", "github_token", "slack_token", "generic_api_key"), "api_key"
    ),
}
Parts = Iterator[tuple[str, str, dict[str, Any]]]


def read_guardrails(config: Config, files: list[Node], report: Report) -> None:
    """Add the guardrails of all files. Invalid ones are skipped and reported."""
    for file in files:
        library = file.get("litellm_settings")
        nodes = (file.get("guardrails"), library.get("guardrails") if library is not None else None)
        for node in nodes:
            for item in node.list() if node is not None else ():
                report.attempt(item, lambda entry: _read_guardrail(config, entry, report))


def attach_guardrails(config: Config, report: Report) -> None:
    """Replace the names that entries list by guardrails of this file."""
    for route in config.routes.values():
        names = []
        for node in route.guardrail_nodes:
            guardrail_names = [
                row.name for row in config.guardrails.values() if row.listed_as == node.text()
            ]
            names += guardrail_names
            if not guardrail_names:
                report.add_skipped(node, f"there is no guardrail `{node.text()}` here")
        route.guardrails = list(dict.fromkeys(names))


def _read_guardrail(config: Config, entry: Node, report: Report) -> None:
    name_node, params = entry.get("guardrail_name"), entry.get("litellm_params")
    if name_node is None or params is None:
        raise entry.error("needs a guardrail_name and litellm_params")
    kind = params.get("guardrail")
    reader = _READERS.get(kind.text()) if kind is not None else None
    name = name_node.text(max_length=50)
    if _NAME.search(name) or not name:
        raise name_node.error("must be a name without commas and control characters")
    if reader is None:
        kind_name = kind.text(max_length=100) if kind is not None else ""
        report.add_skipped(
            entry,
            f"the guardrail `{name}` is skipped: {kind_name} is not supported; a service with "
            "LiteLLM's generic guardrail API can be attached",
        )
        return
    stages = _stages_of_mode(params)
    default_on = params.get("default_on")
    everywhere = default_on is not None and default_on.boolean()
    for suffix, action, fields in reader(config, params, report):
        row = GuardrailRow(
            name=f"{name}{suffix}",
            listed_as=name,
            action=action,
            check_requests=stages[0],
            check_responses=stages[1],
            everywhere=everywhere,
            position=len(config.guardrails),
            ref=entry.location,
            **fields,
        )
        try:
            parse_settings(row.kind, row.settings)
        except ValueError as error:
            raise entry.error(str(error)) from None
        config.guardrails.setdefault(row.name, row)
    if not everywhere:
        report.add(
            entry,
            "applies where a model's litellm_params, a route or a key names it; requests do not",
        )


def _stages_of_mode(params: Node) -> tuple[bool, bool]:
    mode = params.get("mode")
    if mode is None:
        return True, False
    nodes = mode.list() if isinstance(mode.value, tuple) else (mode,)
    for node in nodes:
        if node.text() not in _MODES:
            raise node.error(f"must be one of {', '.join(_MODES)}")
    stages = [_MODES[node.text()] for node in nodes]
    return any(before for before, _ in stages), any(after for _, after in stages)


def _report_unread(params: Node, read: frozenset[str], report: Report) -> None:
    for name, node in params.items():
        if name not in read | _COMMON_PARAMS:
            report.add_skipped(node, "has no effect on a guardrail")


def _read_generic_guardrail(config: Config, params: Node, report: Report) -> Parts:
    read = frozenset(
        {
            *("api_base", "api_key", "unreachable_fallback", "fail_on_error"),
            "additional_provider_specific_params",
        }
    )
    _report_unread(params, read, report)
    base, key = params.get("api_base"), params.get("api_key")
    if base is None:
        raise params.error("needs an api_base")
    fallback, fail_on_error = params.get("unreachable_fallback"), params.get("fail_on_error")
    open_fallback = fallback is not None and fallback.text() == "fail_open"
    opens = open_fallback or (fail_on_error is not None and not fail_on_error.boolean())
    extra = params.get("additional_provider_specific_params")
    settings = {"url": base.text(), "parameters": extra.to_python() if extra is not None else {}}
    yield (
        "",
        "block",
        {
            "kind": "litellm",
            "settings": settings,
            "credential": "" if key is None else key.text_or_reference(),
            "on_error": "allow" if opens else "block",
        },
    )


def _read_presidio(config: Config, params: Node, report: Report) -> Parts:
    read = frozenset({"presidio_analyzer_api_base", "presidio_language", "pii_entities_config"})
    # The gateway masks what the analyzer finds.
    _report_unread(params, read | {"presidio_anonymizer_api_base"}, report)
    base = params.get("presidio_analyzer_api_base")
    if base is None:
        raise params.error("needs a presidio_analyzer_api_base")
    language = params.get("presidio_language")
    settings = {"url": base.text(), "language": language.text() if language is not None else "en"}
    entities = params.get("pii_entities_config")
    if entities is None:
        yield "", "mask", {"kind": "presidio", "settings": settings}
        return
    by_action: dict[str, list[str]] = {"BLOCK": [], "MASK": []}
    for entity, action in entities.items():
        if action.text() not in by_action:
            raise action.error("must be MASK or BLOCK")
        by_action[action.text()].append(entity)
    for suffix, action_name, names in _split_by_action(by_action):
        yield suffix, action_name, {"kind": "presidio", "settings": {**settings, "entities": names}}


def _split_by_action(by_action: dict[str, list[Any]]) -> Iterator[tuple[str, str, list[Any]]]:
    """The parts of a guardrail that blocks some things and masks others."""
    has_both_actions = all(by_action.values())
    for action in ("BLOCK", "MASK"):
        if by_action[action]:
            yield (
                f" ({action.lower()})" if has_both_actions else "",
                action.lower(),
                by_action[action],
            )


def _read_moderation(config: Config, params: Node, report: Report) -> Parts:
    _report_unread(params, frozenset({"model", "api_key"}), report)
    presets = presets_for_prefix("openai")
    name = next((n for n, row in config.providers.items() if row.preset in presets), None)
    if name is None:
        raise params.error("needs a model of OpenAI in this file, whose credential is used")
    model = params.get("model")
    settings: dict[str, Any] = {"provider": name}
    if model is not None:
        settings["model"] = model.text()
    yield "", "block", {"kind": "moderation", "settings": settings}


def _content_filter(config: Config, params: Node, report: Report) -> Parts:
    _report_unread(params, frozenset({"patterns", "blocked_words"}), report)
    pii: dict[str, list[str]] = {"BLOCK": [], "MASK": []}
    patterns_by_action: dict[str, list[dict[str, str]]] = {"BLOCK": [], "MASK": []}
    pattern_nodes = params.get("patterns")
    for item in pattern_nodes.list() if pattern_nodes is not None else ():
        action = _read_action(item)
        prebuilt, pattern = item.get("pattern_name"), item.get("pattern")
        if pattern is not None:
            label = item.get("name")
            name = label.text(max_length=100) if label is not None else "pattern"
            patterns_by_action[action].append({"name": name, "pattern": pattern.text()})
        elif prebuilt is not None and prebuilt.text() in _PREBUILT:
            pii[action].append(_PREBUILT[prebuilt.text()])
        else:
            report.add_skipped(item, "is skipped: there is no such pattern here")
    blocked_words = params.get("blocked_words")
    for item in blocked_words.list() if blocked_words is not None else ():
        keyword = item.get("keyword")
        if keyword is None:
            raise item.error("needs a keyword")
        blocked_word = keyword.text(max_length=200)
        pattern_text = rf"(?i)(?<!\w){re.escape(blocked_word)}(?!\w)"
        patterns_by_action[_read_action(item)].append(
            {"name": blocked_word[:100], "pattern": pattern_text}
        )
    for suffix, action_name, _ in _split_by_action(
        {a: [*pii[a], *patterns_by_action[a]] for a in pii}
    ):
        key = action_name.upper()
        settings = {"pii": list(dict.fromkeys(pii[key])), "patterns": patterns_by_action[key]}
        yield suffix, action_name, {"kind": "patterns", "settings": settings}


def _read_action(node: Node) -> str:
    action = node.get("action")
    if action is None:
        return "BLOCK"
    if action.text() not in {"BLOCK", "MASK"}:
        raise action.error("must be BLOCK or MASK")
    return action.text()


_READERS: dict[str, Callable[[Config, Node, Report], Parts]] = {
    "generic_guardrail_api": _read_generic_guardrail,
    "presidio": _read_presidio,
    "openai_moderation": _read_moderation,
    "litellm_content_filter": _content_filter,
}
