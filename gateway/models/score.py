"""Scores and comments on logged requests, given by people and by applications."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Self

from django.core.exceptions import ValidationError
from django.core.validators import (
    MaxLengthValidator,
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.db.models import Q

from gateway.models.log import RequestLog
from gateway.querysets import LOOKUPS

# The score that thumbs up (1) and thumbs down (0) set.
FEEDBACK = "feedback"
MAX_COMMENT = 2000
# Scores of one request; more are refused.
MAX_SCORES = 100


class RequestScoreQuerySet(models.QuerySet["RequestScore"]):
    """Scores, oldest first."""

    def of_requests(self, log_ids: Iterable[int]) -> Self:
        """Scores of these rows of the log, oldest first."""
        return self.filter(log_id__in=list(log_ids)).order_by("pk")

    def by_request(self, log_ids: Iterable[int]) -> dict[int, list[RequestScore]]:
        """Row ID of the log -> its scores, oldest first; rows without scores are left out."""
        scores: dict[int, list[RequestScore]] = defaultdict(list)
        for score in self.of_requests(log_ids):
            scores[score.log_id].append(score)
        return dict(scores)

    def with_value(self, op: str, amount: Decimal) -> Self:
        """Scores whose value compares to `amount` by `op`: `>`, `>=`, `<` or `<=`."""
        return self.filter(**{f"value__{LOOKUPS[op]}": float(amount)})

    def with_names(self, names: Sequence[str]) -> Self:
        """Scores with one of these names and a value."""
        return self.filter(name__in=names, value__isnull=False)

    def with_any_kind(self, kinds: Sequence[str]) -> Self:
        """Scores that are one of `score` (has a value) and `comment` (has a comment)."""
        condition = Q(pk__in=[])
        if "score" in kinds:
            condition |= Q(value__isnull=False)
        if "comment" in kinds:
            condition |= Q(comment__gt="")
        return self.filter(condition)

    def save_score(
        self, log: RequestLog, author: str, *, name: str, value: float | None, comment: str
    ) -> RequestScore:
        """Save one author's score of a name; replace an earlier one.

        Raises:
            ValidationError: the name, the value or the comment is invalid, both value and
                comment are missing, or the request has MAX_SCORES already.
        """
        content: dict[str, Any] = {"value": value, "comment": comment}
        RequestScore(log=log, name=name, scored_by=author, **content).full_clean(
            exclude={"log"}, validate_unique=False, validate_constraints=False
        )
        score_key: dict[str, Any] = {"log": log, "name": name, "scored_by": author}
        if not self.filter(**score_key).exists() and self.filter(log=log).count() >= MAX_SCORES:
            raise ValidationError({"name": f"a request has at most {MAX_SCORES} scores"})
        return self.update_or_create(defaults=content, **score_key)[0]


class RequestScore(models.Model):
    """One author's score of a request: a number from 0 to 1, a comment, or both.

    `scored_by` is a user name, or the admin credential's name for a score over the API.
    """

    log = models.ForeignKey(RequestLog, on_delete=models.CASCADE, related_name="scores")
    name = models.CharField(
        max_length=63,
        default=FEEDBACK,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z",
                "use letters, digits and . _ -; the first character is a letter or a digit",
            )
        ],
    )
    value = models.FloatField(
        null=True,
        blank=True,
        validators=[
            MinValueValidator(0, "enter a number from 0 to 1"),
            MaxValueValidator(1, "enter a number from 0 to 1"),
        ],
    )
    comment = models.TextField(blank=True, validators=[MaxLengthValidator(MAX_COMMENT)])
    scored_by = models.CharField(max_length=150)
    updated_at = models.DateTimeField(auto_now=True)

    objects = RequestScoreQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["log", "name", "scored_by"], name="gateway_request_score_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.log_id}"

    def clean(self) -> None:
        """Reject a score without content."""
        if self.value is None and not self.comment:
            raise ValidationError({"value": "enter a score or a comment"})

    @property
    def thumb(self) -> str:
        """`up` or `down` if it was given by thumbs, else empty."""
        if self.name != FEEDBACK:
            return ""
        return {1.0: "up", 0.0: "down"}.get(self.value if self.value is not None else -1, "")

    def as_dict(self) -> dict[str, Any]:
        """The score as in exports and the API."""
        return {
            "id": self.pk,
            "name": self.name,
            "value": self.value,
            "comment": self.comment,
            "scored_by": self.scored_by,
            "updated_at": self.updated_at,
        }
