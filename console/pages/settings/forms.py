"""Settings of the request log."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.optimistic_lock import SettingsLock
from console.pages.settings.pattern_speed import is_slow
from gateway.providers.masks import compile_mask
from gateway.store.options import MAX_DAYS, MAX_MASKS, Options

DAYS = {"class": "input", "inputmode": "numeric", "min": 0, "max": MAX_DAYS}


class LogForm(SettingsLock, forms.Form):
    """The settings of the log. Fields set by the environment are disabled."""

    settings = ("log_bodies", "row_days", "body_days", "masks")

    log_bodies = forms.BooleanField(
        label=_("Store bodies"),
        required=False,
        help_text=_("Prompts and responses. A key or a route can override this."),
    )
    row_days = forms.IntegerField(
        label=_("Keep requests (days)"),
        min_value=0,
        max_value=MAX_DAYS,
        widget=forms.NumberInput(attrs=DAYS),
        help_text=_("Route, model, tokens, cost and latency of each request."),
    )
    body_days = forms.IntegerField(
        label=_("Keep bodies (days)"),
        min_value=0,
        max_value=MAX_DAYS,
        required=False,
        widget=forms.NumberInput(attrs=DAYS),
        help_text=_("Leave empty to keep them as long as requests."),
    )
    masks = forms.CharField(
        label=_("Mask patterns"),
        required=False,
        max_length=30_000,
        strip=False,
        widget=forms.Textarea(
            attrs={"class": "input mono", "rows": 5, "spellcheck": "false", "wrap": "off"}
        ),
        help_text=_(
            "One regular expression per line. Matches are stored as asterisks. "
            "Keys of supported providers are always masked."
        ),
    )

    def __init__(self, *args: Any, options: Options, **kwargs: Any) -> None:
        kwargs.setdefault("initial", _initial_values(options))
        self.locked_values = {name: options.values[name].value for name in self.settings}
        super().__init__(*args, **kwargs)
        for name, field in self.setting_fields.items():
            field.disabled = not options.values[name].editable

    @property
    def setting_fields(self) -> dict[str, forms.Field]:
        """The fields of settings, by name."""
        return {name: field for name, field in self.fields.items() if name in self.settings}

    def clean_masks(self) -> tuple[str, ...]:
        """Parse the patterns and measure each; an error names the line."""
        if self.fields["masks"].disabled:
            return tuple(str(self.initial["masks"]).splitlines())
        patterns = []
        for number, line in enumerate(self.cleaned_data["masks"].splitlines(), start=1):
            if not line.strip():
                continue
            try:
                too_slow = is_slow(compile_mask(line))
            except ValueError as error:
                raise forms.ValidationError(
                    _("Line %(number)s: %(reason)s"), params={"number": number, "reason": error}
                ) from None
            if too_slow:
                raise forms.ValidationError(
                    _("Line %(number)s: too slow on long bodies. Use a more specific pattern."),
                    params={"number": number},
                )
            patterns.append(line)
        if len(patterns) > MAX_MASKS:
            raise forms.ValidationError(
                _("Enter at most %(count)s patterns."), params={"count": MAX_MASKS}
            )
        return tuple(patterns)

    def values(self) -> dict[str, Any]:
        """Values to store, without disabled fields."""
        return {
            name: self.cleaned_data[name]
            for name, field in self.setting_fields.items()
            if not field.disabled
        }


def _initial_values(options: Options) -> dict[str, Any]:
    values = {name: option.value for name, option in options.values.items()}
    return {**values, "masks": "\n".join(values["masks"])}


class RetentionForm(LogForm):
    """Log settings of the setup wizard, without patterns."""

    masks = None  # type: ignore[assignment]
