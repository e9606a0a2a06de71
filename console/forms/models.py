"""What may be changed of a model. What is empty is as the tables have it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from console.facts import FACTS, PRICES, TRAITS, Fact, Value, facts_of, rate_of
from console.forms.price_lines import above_of, above_text, tiers_of, tiers_text
from gateway.models import Model, Provider
from gateway.providers.prices import price_for
from gateway.store.model_prices import above_value, tiers_value

_FLAGS = {"yes": True, "no": False}


class FactsForm(forms.Form):
    """One field for each fact, by its name; `model` is changed by `save`."""

    def __init__(self, *args: Any, model: Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = model
        self.values = facts_of(model)
        for fact in FACTS:
            value = self.values[fact.name]
            self.fields[fact.name] = _field(fact, value)
            if value.source.origin == "own":
                self.initial[fact.name] = _shown(fact, value.value)
        self.fields["tiers"] = _text(
            _("Service tiers"),
            _("One a line: flex 0.5 (a share of the prices above), or priority input=4 output=20."),
        )
        self.fields["above"] = _text(
            _("Long prompts"),
            _("One a line: 200000 input=6 output=22.5. All tokens of a longer prompt cost that."),
        )
        self.initial["tiers"] = tiers_text(model.price_tiers)
        self.initial["above"] = above_text(model.price_above)

    def clean(self) -> dict[str, Any]:
        """The lines of prices, tried on the model's list price."""
        found = super().clean() or {}
        listed = price_for(self.model.provider.preset, self.model.name)
        ways: tuple[tuple[str, Any, Any], ...] = (
            ("tiers", tiers_of, tiers_value),
            ("above", above_of, above_value),
        )
        for name, read, value in ways:
            try:
                told = read(found.get(name, ""))
                value([] if told is None else told, listed)
            except ValueError as error:
                self.add_error(name, str(error))
            else:
                found[name] = told
        return found

    def save(self) -> Model:
        """Keep what was filled in; traits that have no field here stay as they are."""
        row = self.model
        traits = dict(row.traits) if isinstance(row.traits, dict) else {}
        for fact in TRAITS:
            given = self.cleaned_data[fact.name]
            traits.pop(fact.name, None)
            if given not in (None, ""):
                traits[fact.name] = _FLAGS[given] if fact.kind == "flag" else given
        row.traits = traits
        for fact in PRICES:
            setattr(row, f"price_{rate_of(fact)}", self.cleaned_data[fact.name])
        row.price_tiers = self.cleaned_data["tiers"]
        row.price_above = self.cleaned_data["above"]
        row.save()
        return row


def _text(label: Any, words: Any) -> forms.CharField:
    attrs = {"class": "input mono", "rows": 3, "spellcheck": "false", "wrap": "off"}
    return forms.CharField(
        label=label,
        required=False,
        max_length=4000,
        help_text=words,
        widget=forms.Textarea(attrs=attrs),
    )


def _field(fact: Fact, value: Value) -> forms.Field:
    default = value.source if value.source.origin == "learned" else value.default
    if fact.kind == "tokens":
        attrs = {"placeholder": _plain(default.value), "inputmode": "numeric"}
        return forms.IntegerField(
            label=fact.label,
            required=False,
            min_value=1,
            max_value=2**40,
            widget=forms.NumberInput(attrs=attrs),
        )
    if fact.kind == "usd":
        attrs = {"placeholder": _plain(default.value), "inputmode": "decimal", "step": "any"}
        return forms.DecimalField(
            label=fact.label,
            required=False,
            min_value=0,
            max_digits=16,
            decimal_places=8,
            widget=forms.NumberInput(attrs=attrs),
        )
    choices = fact.choices or (("yes", _("Yes")), ("no", _("No")))
    words = dict(choices).get(str(_shown(fact, default.value)), "")
    first = ("", _t("Default: %(value)s") % {"value": str(words).lower()})
    return forms.ChoiceField(label=fact.label, required=False, choices=(first, *choices))


def _shown(fact: Fact, value: Any) -> Any:
    """A value as its field has it."""
    if fact.kind == "flag":
        return "yes" if value else "no"
    return _plain(value) if fact.kind == "usd" else value


def _plain(value: Any) -> str:
    """A number without needless zeros."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "" if value is None else str(value)


class NewModelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A model by the name that its provider calls it."""

    class Meta:
        model = Model
        fields = ("provider", "name")
        labels = {"provider": _("Provider"), "name": _("Model")}
        help_texts = {
            "name": _("As the provider writes it, such as gpt-5-mini. * stands for any name."),
        }
        widgets = {
            "name": forms.TextInput(
                attrs={"spellcheck": "false", "autocapitalize": "none", "autocomplete": "off"}
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["provider"].queryset = Provider.objects.order_by("name")  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        """A name that can be written on one line."""
        name = str(self.cleaned_data["name"]).strip()
        if not name.isprintable():
            raise forms.ValidationError(_("A name has no line breaks or control characters."))
        return name
