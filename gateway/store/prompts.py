"""Rows of stored prompts: saving and activating versions, and values for the hot path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import F

from gateway import models
from gateway.audit import actor
from gateway.prompts.prompt import (
    MAX_USABLE_VERSIONS,
    Prompt,
    PromptVersion,
    parse_version,
)


def version_value(row: models.PromptVersion) -> PromptVersion:
    """The value of a stored version. Raises ValueError."""
    return parse_version(row.number, row.messages, row.parameters, row.model)


def active_version(row: models.Prompt) -> models.PromptVersion | None:
    """The active version of a prompt; None for one that is not saved yet."""
    return (
        models.PromptVersion.objects.version_with_number(row, row.active_version)
        if row.pk
        else None
    )


def active_models(prompts: Sequence[models.Prompt]) -> dict[int, str]:
    """The model of each prompt's active version, by the prompt's id."""
    rows = models.PromptVersion.objects.filter(
        prompt__in=prompts, number=F("prompt__active_version")
    )
    return dict(rows.values_list("prompt_id", "model"))


def save_prompt(row: models.Prompt, content: PromptVersion) -> models.Prompt:
    """Save a prompt; changed content becomes a new version, which is active.

    The number of `content` is ignored.
    """
    with transaction.atomic():
        if row.pk:
            models.Prompt.objects.select_for_update().get(pk=row.pk)
        stored_version = active_version(row)
        builtin: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(content))
        values = {name: builtin[name] for name in ("messages", "parameters", "model")}
        if stored_version is not None and all(
            getattr(stored_version, n) == v for n, v in values.items()
        ):
            row.save()
            return row
        newest = models.PromptVersion.objects.of_prompt(row).first() if row.pk else None
        row.active_version = newest.number + 1 if newest is not None else 1
        row.save()
        models.PromptVersion.objects.create(
            prompt=row, number=row.active_version, saved_by=actor()[0], **values
        )
    return row


def activate_version(row: models.Prompt, number: int) -> bool:
    """Make a stored version the active one; False if there is no such version."""
    if models.PromptVersion.objects.version_with_number(row, number) is None:
        return False
    row.active_version = number
    row.save()
    return True


def prompt_versions() -> dict[int, list[models.PromptVersion]]:
    """All versions by the id of their prompt, newest first."""
    versions: dict[int, list[models.PromptVersion]] = defaultdict(list)
    for version in models.PromptVersion.objects.order_by("-number"):
        versions[version.prompt_id].append(version)
    return versions


def prompt_value(row: models.Prompt, versions: list[models.PromptVersion]) -> Prompt:
    """The value of a prompt: its newest versions and the active one. Raises ValueError."""
    usable = {
        version.number: version_value(version)
        for index, version in enumerate(versions)
        if index < MAX_USABLE_VERSIONS or version.number == row.active_version
    }
    if row.active_version not in usable:
        raise ValueError(f"its active version {row.active_version} does not exist")
    return Prompt(name=row.name, active=row.active_version, versions=usable)
