"""Routes, their other names, and the targets behind them."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from gateway.models.provider import Model
from gateway.models.registry import RegistryRow
from gateway.querysets import RegistryRowQuerySet


class Route(RegistryRow):
    """The public name of a model. The fields are those of `routing.snapshot.Route`."""

    name = models.CharField(max_length=200, unique=True)
    strategy = models.CharField(max_length=31, default="ordered")
    retries = models.PositiveSmallIntegerField(default=1)
    cooldown_s = models.FloatField(default=5.0, validators=[MinValueValidator(0)])
    fallbacks = models.JSONField(default=list, blank=True)
    strict = models.BooleanField(default=False)
    log_bodies = models.BooleanField(null=True, blank=True)
    default_max_output = models.PositiveIntegerField(null=True, blank=True)
    reasoning_field = models.CharField(max_length=31, default="reasoning_content")
    hidden = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)

    objects = RegistryRowQuerySet["Route"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Alias(RegistryRow):
    """Another name of a route: exact, or with `*` and `?` as in `claude-*`."""

    pattern = models.CharField(max_length=200, unique=True)
    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="aliases")
    enabled = models.BooleanField(default=True)

    objects = RegistryRowQuerySet["Alias"].as_manager()

    class Meta:
        ordering = ("pattern",)
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return f"{self.pattern} -> {self.route.name}"


class Target(RegistryRow):
    """A model as one step of a route. Lower `order` first; `weight` splits equals."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="targets")
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0)])
    order = models.PositiveIntegerField(default=1)
    timeouts = models.JSONField(default=dict, blank=True)
    edits = models.JSONField(default=list, blank=True)
    enabled = models.BooleanField(default=True)

    objects = RegistryRowQuerySet["Target"].as_manager()

    class Meta:
        ordering = ("route", "order", "pk")

    def __str__(self) -> str:
        return f"{self.route.name} -> {self.model}"
