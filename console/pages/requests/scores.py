"""Scores and comments on a logged request: their form, and who may give them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext_lazy

from console.access import is_admin, is_editor
from gateway.models import ApiKey, RequestLog, RequestScore
from gateway.models.score import FEEDBACK

_THUMBS = {"up": 1.0, "down": 0.0}


class ScoreForm(forms.ModelForm):  # type: ignore[type-arg]
    """A score by name, from 0 to 1, with a comment."""

    class Meta:
        model = RequestScore
        fields = ("name", "value", "comment")
        labels = {
            "name": gettext_lazy("Name"),
            "value": gettext_lazy("Score, 0 to 1"),
            "comment": gettext_lazy("Comment"),
        }
        widgets = {
            "name": forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
            "value": forms.NumberInput(attrs={"min": "0", "max": "1", "step": "any"}),
            "comment": forms.Textarea(attrs={"rows": 3}),
        }


def scores_context(
    request: HttpRequest,
    row: RequestLog,
    *,
    url_name: str = "request-score",
    form: ScoreForm | None = None,
) -> dict[str, Any]:
    """Template context: the scores of a request, the user's own thumb, and the form.

    `score_url` is empty if the user may not score it; `form` is a submitted one with its errors.
    """
    scores = list(RequestScore.objects.of_requests([row.pk]))
    user: Any = request.user
    of_personal_key = url_name != "request-score"
    may_score = ApiKey.objects.owns(user, row.key_id) if of_personal_key else is_editor(user)
    own_scores = {score.name: score for score in scores if score.scored_by == user.get_username()}
    feedback = own_scores.get(FEEDBACK)
    return {
        "scores": [
            {
                "score": score,
                "delete_url": reverse(f"{url_name}-delete", args=[row.pk, score.pk])
                if may_score and (is_admin(user) or score.scored_by == user.get_username())
                else "",
            }
            for score in scores
        ],
        "score_url": reverse(url_name, args=[row.pk]) if may_score else "",
        "own_thumb": feedback.thumb if feedback else "",
        "score_form": form or ScoreForm(initial={"name": FEEDBACK}, auto_id="score_%s"),
        "score_query": request.GET.urlencode(),
    }


def save_score(request: HttpRequest, row: RequestLog) -> ScoreForm | None:
    """Save the posted score; return the form with its errors if it is invalid.

    A thumb keeps the comment of an earlier one; the same thumb again removes it.
    """
    author = str(request.user.get_username())
    data = request.POST.copy()
    thumb = _THUMBS.get(data.get("thumb", ""))
    if thumb is not None:
        earlier_scores = (
            RequestScore.objects.of_requests([row.pk])
            .filter(name=FEEDBACK, scored_by=author)
            .first()
        )
        comment = earlier_scores.comment if earlier_scores else ""
        if earlier_scores and earlier_scores.value == thumb and not comment:
            earlier_scores.delete()
            return None
        is_repeated = earlier_scores is not None and earlier_scores.value == thumb
        data["name"], data["comment"] = FEEDBACK, comment
        data["value"] = "" if is_repeated else str(thumb)
    form = ScoreForm(data, instance=RequestScore(log=row, scored_by=author), auto_id="score_%s")
    if not form.is_valid():
        return form
    try:
        RequestScore.objects.save_score(row, author, **form.cleaned_data)
    except forms.ValidationError as error:
        form.add_error(None, error)
        return form
    return None


def find_own_score(request: HttpRequest, row: RequestLog, pk: int) -> RequestScore:
    """Return a score that the user may delete. Raises PermissionDenied for one of others."""
    score = get_object_or_404(RequestScore.objects.of_requests([row.pk]), pk=pk)
    if not is_admin(request.user) and score.scored_by != request.user.get_username():
        raise PermissionDenied
    return score
