"""Drops parameters that a model is known to reject from a passthrough body.

Translation drops what a target does not accept and reports it; this does the same for a body
that is not translated, from the same traits. Only declared traits of models count: one that
neither a table nor an operator sets for the model is left to the upstream. Dropping a value
that equals the default is not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from gateway.canon.adaptation import Adaptation, approximated_field, dropped_field
from gateway.canon.json_values import decode_or_none, to_raw
from gateway.canon.traits import Traits

Fields = dict[str, msgspec.Raw]


class Parameter(msgspec.Struct, frozen=True):
    """A field of a body and the trait that says whether it is accepted.

    Attributes:
        trait: the name of the trait.
        neutral: values that mean the same as leaving the field out.
        sampling: whether the model accepts it while reasoning is off.
        of_provider: whether the trait is one of the provider, which no model declares.
        reason: why it is dropped; empty if the model does not support it.
    """

    trait: str
    neutral: tuple[Any, ...] = (None,)
    sampling: bool = False
    of_provider: bool = False
    reason: str = ""


_SAMPLING = {
    "temperature": Parameter("sampling", (None, 1), sampling=True),
    "top_p": Parameter("sampling", (None, 1), sampling=True),
    "top_k": Parameter("top_k"),
}
_CHAT = {
    **_SAMPLING,
    "min_p": Parameter("min_p"),
    "repetition_penalty": Parameter("repetition_penalty", (None, 1)),
    "frequency_penalty": Parameter("penalties", (None, 0), sampling=True),
    "presence_penalty": Parameter("penalties", (None, 0), sampling=True),
    "logit_bias": Parameter("logit_bias", (None, {}), sampling=True),
    "logprobs": Parameter("logprobs", (None, False), sampling=True),
    "top_logprobs": Parameter("logprobs", (None, 0), sampling=True),
    "seed": Parameter("seed"),
    "stop": Parameter("stop_max", (None, [], "")),
    "reasoning_effort": Parameter("efforts"),
    "metadata": Parameter(
        "metadata_without_store", (None, {}), of_provider=True, reason="it requires `store: true`"
    ),
}
# Dialect -> its fields that some models reject.
PARAMETERS: dict[str, Mapping[str, Parameter]] = {
    "openai_chat": _CHAT,
    "openai_responses": {
        "temperature": _CHAT["temperature"],
        "top_p": _CHAT["top_p"],
        "top_logprobs": _CHAT["top_logprobs"],
        "reasoning": Parameter("efforts", (None, {})),
    },
    # Anthropic's newer models reject `top_k` with the other sampling fields.
    "anthropic_messages": {**_SAMPLING, "top_k": Parameter("sampling")},
}
_EFFORT: dict[str, Callable[[Fields], Any]] = {
    "openai_chat": lambda fields: _field_value(fields, "reasoning_effort"),
    "openai_responses": lambda fields: _nested_value(_field_value(fields, "reasoning"), "effort"),
}


def refused_parameters(
    traits: Traits, declared_traits: Collection[str]
) -> dict[str, frozenset[str]]:
    """The fields that a model is known to reject, at least in part, by dialect.

    `declared_traits` are the names of the traits that are known for the model.
    """
    return {
        dialect: frozenset(
            name
            for name, parameter in table.items()
            if (parameter.of_provider or parameter.trait in declared_traits)
            and _is_refused(parameter.trait, traits)
        )
        for dialect, table in PARAMETERS.items()
    }


def drop_refused(
    fields: Fields, dialect: str, traits: Traits, refused_fields: Collection[str]
) -> tuple[Fields, tuple[Adaptation, ...]]:
    """Return the fields without those that the model rejects, and a report.

    `refused_fields` are the `refused_parameters` of the model in this dialect. If nothing is
    dropped, the same object is returned; only fields in question are decoded.
    """
    table = PARAMETERS[dialect]
    suspects = [name for name in fields if name in refused_fields]
    if any(table[name].sampling for name in suspects) and _is_reasoning_off(
        fields, dialect, traits
    ):
        suspects = [name for name in suspects if not table[name].sampling]
    remaining_fields, report = dict(fields), []
    for name in sorted(suspects):
        value = _field_value(fields, name)
        if name == "stop" and traits.stop_max:
            if not isinstance(value, list) or len(value) <= traits.stop_max:
                continue
            remaining_fields[name] = to_raw(value[: traits.stop_max])
            reason = f"only the first {traits.stop_max} are sent"
            report.append(
                approximated_field(name, reason, before=len(value), after=traits.stop_max)
            )
            continue
        if name == "metadata" and _field_value(fields, "store") is True:
            continue
        del remaining_fields[name]
        if value not in table[name].neutral:
            before = value if isinstance(value, int | float | str) else None
            reason = table[name].reason or f"{traits.model} does not support it"
            report.append(dropped_field(name, reason, before=before))
    return remaining_fields, tuple(report)


def _is_refused(trait: str, traits: Traits) -> bool:
    """Whether the trait says that a field is rejected, or accepted only in part."""
    value = getattr(traits, trait)
    return value is not None if trait == "stop_max" else not value


def _is_reasoning_off(fields: Fields, dialect: str, traits: Traits) -> bool:
    """Whether reasoning is off in this request: OpenAI's models then accept sampling fields."""
    read = _EFFORT.get(dialect)
    effort = (read(fields) if read is not None else None) or traits.effort_default
    return effort == "none"


def _field_value(fields: Fields, name: str) -> Any:
    raw = fields.get(name)
    return None if raw is None else decode_or_none(raw)


def _nested_value(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
