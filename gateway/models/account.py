"""Accounts: the role of a Django user, and the limits of the user's personal keys."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from gateway.models.limits import usd_field
from gateway.models.team import Team

MAX_PERSONAL_KEYS = 100
MAX_KEY_DAYS = 3650


class Account(models.Model):
    """The role of a user, and the limits within which they create keys of their own.

    Attributes:
        role: of a user who is no admin; admins have `is_staff`.
        max_keys: active keys at a time; null for `DRAGOMAN_MEMBER_MAX_KEYS`.
        month_usd: spend of all personal keys per month (UTC), in US dollars; null for
            `DRAGOMAN_MEMBER_MONTH_USD`.
        key_days: after how many days a key expires at the latest; null for
            `DRAGOMAN_MEMBER_KEY_DAYS`.
        routes: names of routes that personal keys may use (`*` and `?` allowed); empty means all.
        team: joined by each new key, so that the team's budget and limits apply as well.
    """

    class Role(models.TextChoices):
        """Roles that are not `is_staff`."""

        EDITOR = "editor"
        VIEWER = "viewer"
        MEMBER = "member"

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="account",
    )
    role = models.CharField(max_length=12, choices=Role.choices, default=Role.VIEWER)
    max_keys = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(MAX_PERSONAL_KEYS)]
    )
    month_usd = usd_field()
    key_days = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(MAX_KEY_DAYS)]
    )
    routes = models.JSONField(default=list, blank=True)
    team = models.ForeignKey(
        Team, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"
