"""What is kept in the log, and for how long."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.pace import slow
from gateway.providers.masks import mask
from gateway.store.options import MAX_DAYS, MAX_MASKS, Options

DAYS = {"class": "input", "inputmode": "numeric", "min": 0, "max": MAX_DAYS}


class LogForm(forms.Form):
    """The settings of the log. Fields that the environment decides are disabled."""

    log_bodies = forms.BooleanField(
        label=_("Store bodies"),
        required=False,
        help_text=_("What clients sent and models answered. A key or a route may say otherwise."),
    )
    row_days = forms.IntegerField(
        label=_("Keep requests for (days)"),
        min_value=0,
        max_value=MAX_DAYS,
        widget=forms.NumberInput(attrs=DAYS),
        help_text=_("Route, model, tokens, cost and times of each request."),
    )
    body_days = forms.IntegerField(
        label=_("Keep bodies for (days)"),
        min_value=0,
        max_value=MAX_DAYS,
        required=False,
        widget=forms.NumberInput(attrs=DAYS),
        help_text=_("Empty: as long as the requests."),
    )
    masks = forms.CharField(
        label=_("Mask in bodies"),
        required=False,
        max_length=30_000,
        strip=False,
        widget=forms.Textarea(
            attrs={"class": "input mono", "rows": 5, "spellcheck": "false", "wrap": "off"}
        ),
        help_text=_(
            "One regular expression a line; what it matches is stored as asterisks. "
            "Keys of known providers are masked anyway."
        ),
    )

    def __init__(self, *args: Any, options: Options, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _initial(options))
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            field.disabled = not options.held[name].open

    def clean_masks(self) -> tuple[str, ...]:
        """The patterns, each one tried: the error names the line."""
        if self.fields["masks"].disabled:
            return tuple(str(self.initial["masks"]).splitlines())
        found = []
        for number, line in enumerate(self.cleaned_data["masks"].splitlines(), start=1):
            if not line.strip():
                continue
            try:
                too_slow = slow(mask(line))
            except ValueError as error:
                raise forms.ValidationError(
                    _("Line %(number)s: %(why)s"), params={"number": number, "why": error}
                ) from None
            if too_slow:
                raise forms.ValidationError(
                    _("Line %(number)s: it takes too long on long bodies; make it more exact."),
                    params={"number": number},
                )
            found.append(line)
        if len(found) > MAX_MASKS:
            raise forms.ValidationError(_("At most %(most)s patterns."), params={"most": MAX_MASKS})
        return tuple(found)

    def values(self) -> dict[str, Any]:
        """What is to be kept; nothing of what is disabled."""
        return {
            name: self.cleaned_data[name]
            for name, field in self.fields.items()
            if not field.disabled
        }


def _initial(options: Options) -> dict[str, Any]:
    values = {name: held.value for name, held in options.held.items()}
    return {**values, "masks": "\n".join(values["masks"])}


class RetentionForm(LogForm):
    """The first run's question: the same without patterns."""

    masks = None  # type: ignore[assignment]
