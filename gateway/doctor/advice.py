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
        supported_value, refused_value: the value of the trait if the probe is supported or refused.
        refused_if_wrong: whether a wrong response also implies `refused_value`, unverified.
        compatible_values: values of the trait that a supported probe does not contradict.
        is_proof: whether a supported probe is proof; many servers ignore unknown fields.
        requires: a probe that must be supported before a refusal of this one counts.
    """

    trait: str
    probe: str
    supported_value: Any = True
    refused_value: Any = False
    refused_if_wrong: bool = False
    compatible_values: tuple[Any, ...] = ()
    is_proof: bool = True
    requires: str = "plain"


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """A proposed change of a trait, from the verdicts of `probes`.

    If it is not `is_verified`, an operator should check it first.
    """

    trait: str
    current: Any
    proposed: Any
    probes: tuple[str, ...]
    is_verified: bool = True


RULES: tuple[Rule, ...] = (
    Rule(trait="stream_options", probe="stream_usage", requires="stream"),
    Rule(trait="sampling", probe="temperature", is_proof=False),
    Rule(trait="seed", probe="seed", is_proof=False),
    Rule(trait="penalties", probe="penalties", is_proof=False),
    Rule(trait="stop_max", probe="stop", supported_value=4, refused_value=0),
    Rule(trait="mid_system", probe="mid_system"),
    Rule(trait="prefill", probe="prefill", refused_if_wrong=True, is_proof=False),
    Rule(
        trait="count_tokens",
        probe="count_tokens",
        supported_value="endpoint",
        refused_value="estimate",
    ),
    Rule(trait="tools", probe="tool"),
    Rule(trait="forced_tools", probe="forced_tool", refused_if_wrong=True, requires="tool"),
    Rule(
        trait="parallel_toggle",
        probe="one_at_a_time",
        refused_if_wrong=True,
        is_proof=False,
        requires="tool",
    ),
    Rule(trait="strict_tools", probe="strict_tools", is_proof=False, requires="tool"),
    Rule(
        trait="tool_id_rule",
        probe="foreign_ids",
        supported_value="any",
        refused_value="word",
        compatible_values=("word", "bedrock64", "mistral9"),
        requires="tool_result",
    ),
    Rule(trait="images", probe="image", refused_if_wrong=True),
    Rule(trait="tool_result_images", probe="result_image", requires="tool_result"),
    Rule(trait="reasoning", probe="thinking"),
)
# Probe -> the trait that its verdict is about.
TRAIT_BY_PROBE: dict[str, str] = {
    **{rule.probe: rule.trait for rule in RULES},
    "schema": "structured",
    "json": "structured",
    "cache": "cache",
}


def advice(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Return the proposed changes, in the order of the rules."""
    rows = [item for rule in RULES if (item := _advise_by_rule(rule, verdicts, traits)) is not None]
    rows += [
        item
        for advise in (_advise_structured_output, _advise_cache, _advise_efforts)
        for item in advise(verdicts, traits)
    ]
    return rows


def _advise_by_rule(rule: Rule, verdicts: Verdicts, traits: Traits) -> Advice | None:
    verdict = verdicts.get(rule.probe)
    current = getattr(traits, rule.trait)
    is_off = current == rule.refused_value
    if verdict == "supported":
        if not is_off or current in rule.compatible_values:
            return None
        return Advice(
            trait=rule.trait,
            current=current,
            proposed=rule.supported_value,
            probes=(rule.probe,),
            is_verified=rule.is_proof,
        )
    was_wrong = verdict == "wrong" and rule.refused_if_wrong
    if (verdict != "refused" and not was_wrong) or is_off or current in rule.compatible_values:
        return None
    if verdicts.get(rule.requires) != "supported":
        return None
    return Advice(
        trait=rule.trait,
        current=current,
        proposed=rule.refused_value,
        probes=(rule.probe,),
        is_verified=not was_wrong,
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
    probes = ("schema",) if strongest_format == "schema" else ("schema", "json")
    return [
        Advice(
            trait="structured",
            current=traits.structured,
            proposed=strongest_format,
            probes=probes,
            is_verified=is_verified,
        )
    ]


def _advise_cache(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Advise against cache breakpoints that the tables send and the provider refuses.

    Accepting one proves nothing: many servers ignore unknown fields.
    """
    if verdicts.get("cache") != "refused" or traits.cache in {"none", "implicit"}:
        return []
    return [Advice(trait="cache", current=traits.cache, proposed="implicit", probes=("cache",))]


def _advise_efforts(verdicts: Verdicts, traits: Traits) -> list[Advice]:
    """Advise the efforts that the probe assumed, if the model reasoned with one of them."""
    assumed_efforts = assume_reasoning(traits).get("efforts")
    if verdicts.get("thinking") != "supported" or not assumed_efforts:
        return []
    return [
        Advice(
            trait="efforts",
            current=traits.efforts,
            proposed=assumed_efforts,
            probes=("thinking",),
            is_verified=False,
        )
    ]
