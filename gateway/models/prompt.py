"""Stored prompts and their versions."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models

from gateway.models.registry import RegistryRow
from gateway.querysets import PromptVersionQuerySet, RegistryRowQuerySet


class Prompt(RegistryRow):
    """A prompt that requests refer to by name, so that the name never changes.

    `active_version` is the number of the version that is used where a request names none.
    """

    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9][A-Za-z0-9._/-]*\Z",
                "use letters, digits and . _ / -; the first character is a letter or a digit",
            )
        ],
    )
    description = models.CharField(max_length=300, blank=True)
    active_version = models.PositiveIntegerField(default=1)

    objects = RegistryRowQuerySet["Prompt"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class PromptVersion(models.Model):
    """A prompt as it was saved: one immutable row for each save.

    The fields are those of `gateway.prompts.prompt.PromptVersion`. `saved_by` is a user name,
    empty for none.
    """

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    messages = models.JSONField()
    parameters = models.JSONField(default=dict, blank=True)
    model = models.CharField(max_length=200, blank=True)
    saved_by = models.CharField(max_length=150, blank=True)
    saved_at = models.DateTimeField(auto_now_add=True)

    objects = PromptVersionQuerySet["PromptVersion"].as_manager()

    class Meta:
        ordering = ("prompt", "-number")
        constraints = (
            models.UniqueConstraint(
                fields=["prompt", "number"], name="gateway_prompt_version_once"
            ),
        )

    def __str__(self) -> str:
        return f"version {self.number} of {self.prompt.name}"
