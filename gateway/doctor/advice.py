"""Derives changes of traits from findings; pure functions.

Only traits that were tested are advised: an unclear verdict has no consequences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.canon.traits import Traits
from gateway.doctor.request_parts import assume_reasoning
from gateway.doctor.values import Verdict

Verdicts = Mapping[str, Verdict]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Value of a trait that the verdict of a probe implies.

    Attributes:
        trait: a field of Traits.
        probe: the probe that tests it.
        yes, no: the value of the trait if the probe is supported or refused.
        no_by_wrong: whether a wrong answer implies `no` as well, though less surely.
        keeps: values of the trait that a supported probe does not contradict.
        sure: whether a supported probe is proof; many servers ignore unknown fields.
        needs: a probe that must be supported before a refusal of this one counts.
    """

    trait: str
    probe: str
    yes: Any = True
    no: Any = False
    no_by_wrong: bool = False
    keeps: tuple[Any, ...] = ()
    sure: bool = True
    needs: str = "plain"


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed change of a trait; `sure` is false if it should be checked first."""

    trait: str
    now: Any
    proposed: Any
    because: tuple[str, ...]
    sure: bool = True


RULES: tuple[Rule, ...] = (
    Rule(trait="stream_options", probe="stream_usage", needs="stream"),
    Rule(trait="sampling", probe="temperature", sure=False),
    Rule(trait="seed", probe="seed", sure=False),
    Rule(trait="penalties", probe="penalties", sure=False),
    Rule(trait="stop_max", probe="stop", yes=4, no=0),
    Rule(trait="mid_system", probe="mid_system"),
    Rule(trait="prefill", probe="prefill", no_by_wrong=True, sure=False),
    Rule(trait="count_tokens", probe="count_tokens", yes="endpoint", no="estimate"),
    Rule(trait="tools", probe="tool"),
    Rule(trait="forced_tools", probe="forced_tool", no_by_wrong=True, needs="tool"),
    Rule(
        trait="parallel_toggle", probe="one_at_a_time", no_by_wrong=True, sure=False, needs="tool"
    ),
    Rule(trait="strict_tools", probe="strict_tools", sure=False, needs="tool"),
    Rule(
        trait="tool_id_rule",
        probe="foreign_ids",
        yes="any",
        no="word",
        keeps=("word", "bedrock64", "mistral9"),
        needs="tool_result",
    ),
    Rule(trait="images", probe="image", no_by_wrong=True),
    Rule(trait="tool_result_images", probe="result_image", needs="tool_result"),
    Rule(trait="reasoning", probe="thinking"),
)
# Probe -> the trait that its verdict is about.
TRAIT_OF: dict[str, str] = {
    **{rule.probe: rule.trait for rule in RULES},
    "schema": "structured",
    "json": "structured",
    "cache": "cache",
}


def advice(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Return the proposed changes, in the order of the rules."""
    rows = [item for rule in RULES if (item := _of_rule(rule, verdicts, traits)) is not None]
    rows += [
        item
        for advise in (_advise_structured_output, _advise_cache, _advise_efforts)
        for item in advise(verdicts, traits)
    ]
    return rows


def _of_rule(rule: Rule, verdicts: Verdicts, traits: Traits) -> Advice | None:
    verdict = verdicts.get(rule.probe)
    now = getattr(traits, rule.trait)
    is_off = now == rule.no
    if verdict == "supported":
        if not is_off or now in rule.keeps:
            return None
        return Advice(
            trait=rule.trait, now=now, proposed=rule.yes, because=(rule.probe,), sure=rule.sure
        )
    was_wrong = verdict == "wrong" and rule.no_by_wrong
    if (verdict != "refused" and not was_wrong) or is_off or now in rule.keeps:
        return None
    if verdicts.get(rule.needs) != "supported":
        return None
    return Advice(
        trait=rule.trait, now=now, proposed=rule.no, because=(rule.probe,), sure=not was_wrong
    )


def _advise_structured_output(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Advise the strongest form of structured output that was followed, if it was tested."""
    schema, json_verdict = verdicts.get("schema"), verdicts.get("json")
    if schema == "supported":
        strongest_format = "schema"
    elif schema not in {"refused", "wrong"}:
        return []
    elif json_verdict == "supported":
        strongest_format = "json"
    elif json_verdict in {"refused", "wrong"}:
        strongest_format = "none"
    else:
        return []
    if strongest_format == traits.structured:
        return []
    is_verified = schema != "wrong" and (strongest_format != "none" or json_verdict == "refused")
    because = ("schema",) if strongest_format == "schema" else ("schema", "json")
    return [
        Advice(
            trait="structured",
            now=traits.structured,
            proposed=strongest_format,
            because=because,
            sure=is_verified,
        )
    ]


def _advise_cache(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Advise against cache breakpoints that the tables send and the provider refuses.

    Accepting one proves nothing: many servers ignore unknown fields.
    """
    if verdicts.get("cache") != "refused" or traits.cache in {"none", "implicit"}:
        return []
    return [Advice(trait="cache", now=traits.cache, proposed="implicit", because=("cache",))]


def _advise_efforts(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Advise the efforts that the probe assumed, if the model reasoned with one of them."""
    assumed_efforts = assume_reasoning(traits).get("efforts")
    if verdicts.get("thinking") != "supported" or not assumed_efforts:
        return []
    return [
        Advice(
            trait="efforts",
            now=traits.efforts,
            proposed=assumed_efforts,
            because=("thinking",),
            sure=False,
        )
    ]
