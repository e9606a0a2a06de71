"""Hourly and daily roll-ups of the request log, updated as rows are written; they outlive its rows.

`KEYS` are the columns of the unique key, `SUMS` the counters. Key columns are never null: a
unique constraint treats nulls as distinct. A daily row is the sum of the hourly rows of its UTC
day; `gateway.store.usage` writes both in one transaction.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from gateway.usage_querysets import (
    SUMS,
    EndUserDayQuerySet,
    EndUserHourQuerySet,
    LatencyHourQuerySet,
    TargetHourQuerySet,
    UsageDayQuerySet,
    UsageHourQuerySet,
)


def _sum_field() -> models.BigIntegerField[int, int]:
    return models.BigIntegerField(default=0)


class UsageSums(models.Model):
    """Counts and sums over the requests of one hour or day.

    `cost_units` and `charged_units` are exact integers: `limits.UNITS` to a US dollar.
    """

    SUMS: ClassVar = SUMS

    requests = _sum_field()
    errors = _sum_field()
    client_closed = _sum_field()
    input_tokens = _sum_field()
    cache_read_tokens = _sum_field()
    cache_write_tokens = _sum_field()
    output_tokens = _sum_field()
    reasoning_tokens = _sum_field()
    priced_requests = _sum_field()
    unpriced_requests = _sum_field()
    cost_units = _sum_field()
    charged_units = _sum_field()

    class Meta:
        abstract = True


class TargetUsage(UsageSums):
    """The sums of one key, route and model, by the target that answered.

    `key_id` is 0 for requests without a key of the registry.
    """

    key_id = models.BigIntegerField(default=0)
    key_prefix = models.CharField(max_length=32, blank=True)
    route = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=63, blank=True)
    model = models.CharField(max_length=200, blank=True)

    class Meta:
        abstract = True


class UsageDay(TargetUsage):
    """Usage of one key, route and model on one UTC day: the sum of its rows of `UsageHour`."""

    KEYS: ClassVar = ("day", "key_id", "key_prefix", "route", "provider", "model")

    day = models.DateField()

    objects = UsageDayQuerySet["UsageDay"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["day", "key_id", "key_prefix", "route", "provider", "model"],
                name="gateway_usage_day_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.key_prefix} {self.route} {self.model}"


class UsageHour(TargetUsage):
    """Usage of one key, route and model in one hour."""

    KEYS: ClassVar = ("hour", "key_id", "key_prefix", "route", "provider", "model")
    DAILY: ClassVar = UsageDay

    hour = models.DateTimeField()

    objects = UsageHourQuerySet["UsageHour"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "key_id", "key_prefix", "route", "provider", "model"],
                name="gateway_usage_hour_once",
            ),
        )
        indexes = (models.Index(fields=["key_id", "hour"], name="gateway_usage_key"),)

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.key_prefix} {self.route} {self.model}"


class EndUserUsage(UsageSums):
    """The sums of one end user with one key."""

    end_user = models.CharField(max_length=128)
    key_id = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class EndUserDay(EndUserUsage):
    """Usage of one end user with one key on one UTC day: the sum of its rows of `EndUserHour`."""

    KEYS: ClassVar = ("day", "end_user", "key_id")

    day = models.DateField()

    objects = EndUserDayQuerySet["EndUserDay"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["day", "end_user", "key_id"], name="gateway_end_user_day_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.end_user}"


class EndUserHour(EndUserUsage):
    """Usage of one end user with one key in one hour; only of requests that name an end user."""

    KEYS: ClassVar = ("hour", "end_user", "key_id")
    DAILY: ClassVar = EndUserDay

    hour = models.DateTimeField()

    objects = EndUserHourQuerySet["EndUserHour"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "end_user", "key_id"], name="gateway_end_user_hour_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.end_user}"


class TargetHour(models.Model):
    """Calls of one target in one hour, and how they ended.

    `failures` are those that the target caused. The last three are for comparison with its bill:
    failed attempts of known cost (hedge losers) with their cost in units, and responses that broke
    off before they had a cost.
    """

    KEYS: ClassVar = ("hour", "provider", "model")
    SUMS: ClassVar = (
        "attempts",
        "failures",
        "successes",
        "priced_failures",
        "priced_failure_units",
        "broken_responses",
    )

    hour = models.DateTimeField()
    provider = models.CharField(max_length=63)
    model = models.CharField(max_length=200)
    attempts = _sum_field()
    failures = _sum_field()
    successes = _sum_field()
    priced_failures = _sum_field()
    priced_failure_units = _sum_field()
    broken_responses = _sum_field()

    objects = TargetHourQuerySet["TargetHour"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "provider", "model"], name="gateway_target_hour_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.provider}/{self.model}"


class LatencyHour(models.Model):
    """Latency histogram of a target in one hour: number of responses per bucket.

    `measure` is `first_token` or `total` (the complete response), `bucket` as in
    `usage_querysets.bucket_of`.
    """

    KEYS: ClassVar = ("hour", "provider", "model", "measure", "bucket")
    SUMS: ClassVar = ("count",)

    hour = models.DateTimeField()
    provider = models.CharField(max_length=63)
    model = models.CharField(max_length=200)
    measure = models.CharField(max_length=16)
    bucket = models.SmallIntegerField()
    count = _sum_field()

    objects = LatencyHourQuerySet["LatencyHour"].as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["hour", "provider", "model", "measure", "bucket"],
                name="gateway_latency_hour_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.provider}/{self.model} {self.measure}"
