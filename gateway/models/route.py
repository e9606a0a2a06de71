"""Routes, their aliases, steps, targets and versions."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from gateway.models.limits import WithBudgets, WithLimits
from gateway.models.provider import Model
from gateway.models.registry import RegistryRow, single_line
from gateway.querysets import RegistryRowQuerySet, RouteVersionQuerySet


class Route(WithLimits, RegistryRow):
    """The public name of a model. The fields are those of `routing.snapshot.Route`."""

    name = models.CharField(max_length=200, unique=True, validators=[single_line])
    strategy = models.CharField(max_length=31, default="ordered")
    retries = models.PositiveSmallIntegerField(default=1)
    retries_by_kind = models.JSONField(default=dict, blank=True)
    retry_before_fallback = models.BooleanField(default=False)
    backoff_s = models.FloatField(default=0.25, validators=[MinValueValidator(0)])
    max_wait_s = models.FloatField(default=2.0, validators=[MinValueValidator(0)])
    cooldown_s = models.FloatField(default=5.0, validators=[MinValueValidator(0)])
    cooldown_after = models.PositiveSmallIntegerField(default=3)
    cooldown_after_by_kind = models.JSONField(default=dict, blank=True)
    fallbacks = models.JSONField(default=list, blank=True)
    fallbacks_by_kind = models.JSONField(default=dict, blank=True)
    require_capabilities = models.BooleanField(default=False)
    tag_match = models.CharField(max_length=3, default="any")
    hedge_after_s = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.01)])
    shadow = models.CharField(max_length=200, blank=True)
    shadow_share = models.FloatField(
        default=0.0, validators=[MinValueValidator(0), MaxValueValidator(1)]
    )
    health_check_interval_s = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(10)]
    )
    strict = models.BooleanField(default=False)
    log_bodies = models.BooleanField(null=True, blank=True)
    default_max_output = models.PositiveIntegerField(null=True, blank=True)
    reasoning_field = models.CharField(max_length=31, default="reasoning_content")
    prompt_cache = models.CharField(max_length=7, blank=True)
    guardrails = models.JSONField(default=list, blank=True)
    web_search = models.BooleanField(default=True)
    hidden = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    # Limits of each key on this route, as `routing.limits.Limits`; a missing one is no limit.
    key_limits = models.JSONField(default=dict, blank=True)
    # A `routing.cache_policy.CachePolicy`; empty disables the response cache.
    cache = models.JSONField(default=dict, blank=True)
    # Incremented whenever the route's cache is cleared.
    cache_generation = models.PositiveIntegerField(default=0)

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


class Step(RegistryRow):
    """Options of the targets with one `order`. Its fields are those of `snapshot.RouteStep`.

    A route without steps is a plain list of targets with the route's own strategy.
    """

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="steps")
    order = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=100, blank=True)
    strategy = models.CharField(max_length=31, default="ordered")
    fallback_on = models.JSONField(default=list, blank=True)
    requires = models.JSONField(default=list, blank=True)
    excludes = models.JSONField(default=list, blank=True)
    min_context = models.PositiveIntegerField(null=True, blank=True)
    max_context = models.PositiveIntegerField(null=True, blank=True)
    require_capabilities = models.BooleanField(default=False)
    first_token_s = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.1)])
    tags = models.JSONField(default=list, blank=True)
    active_hours = models.CharField(max_length=100, blank=True)

    objects = RegistryRowQuerySet["Step"].as_manager()

    class Meta:
        ordering = ("route", "order")
        constraints = (
            models.UniqueConstraint(fields=["route", "order"], name="gateway_step_once"),
        )

    def __str__(self) -> str:
        return f"step {self.order} of {self.route.name}"


class Target(WithLimits, WithBudgets, RegistryRow):
    """A model in a route. Lower `order` first; `weight` splits traffic within the same `order`.

    `position` sorts targets of the same `order`; ties sort by id.
    """

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    model = models.ForeignKey(Model, on_delete=models.CASCADE, related_name="targets")
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0)])
    order = models.PositiveIntegerField(default=1)
    position = models.PositiveIntegerField(default=0)
    timeouts = models.JSONField(default=dict, blank=True)
    edits = models.JSONField(default=list, blank=True)
    tags = models.JSONField(default=list, blank=True)
    variant = models.CharField(max_length=63, blank=True)
    enabled = models.BooleanField(default=True)

    objects = RegistryRowQuerySet["Target"].as_manager()

    class Meta:
        ordering = ("route", "order", "position", "pk")

    def __str__(self) -> str:
        return f"{self.route.name} -> {self.model}"


class RouteVersion(models.Model):
    """A route as it was saved: one immutable row for each save.

    `spec` is the JSON of a `gateway.routing.route_spec.RouteSpec`. `saved_by` is a user name; it is
    empty for changes made outside `save_route`.
    """

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    spec = models.JSONField()
    saved_by = models.CharField(max_length=150, blank=True)
    note = models.CharField(max_length=300, blank=True)
    saved_at = models.DateTimeField(auto_now_add=True)

    objects = RouteVersionQuerySet["RouteVersion"].as_manager()

    class Meta:
        ordering = ("route", "-number")
        constraints = (
            models.UniqueConstraint(fields=["route", "number"], name="gateway_route_version_once"),
        )

    def __str__(self) -> str:
        return f"version {self.number} of {self.route.name}"
