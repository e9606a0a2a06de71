"""Forms of a model. An empty field uses the value of the built-in tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _

from console.form_fields import CODE_INPUT
from console.model_properties import (
    PRICES,
    PROPERTIES,
    TRAITS,
    Property,
    Value,
    properties_of,
    rate_of,
)
from console.optimistic_lock import OptimisticLock
from console.pages.models.price_lines import (
    long_prompt_text,
    parse_long_prompt_prices,
    parse_tiers,
    tiers_text,
)
from gateway.models import Model, Provider
from gateway.providers.prices import price_for
from gateway.store.field_values import InvalidField
from gateway.store.model_prices import above_value, tiers_value

_FLAGS = {"yes": True, "no": False}


class PropertiesForm(OptimisticLock, forms.Form):
    """One field for each property, by its name; `save` changes `model`."""

    def __init__(self, *args: Any, model: Model, **kwargs: Any) -> None:
        self.model = model
        super().__init__(*args, **kwargs)
        self.values = properties_of(model)
        for model_property in PROPERTIES:
            value = self.values[model_property.name]
            self.fields[model_property.name] = _property_field(model_property, value)
            if value.source.origin == "custom":
                self.initial[model_property.name] = _form_value(model_property, value.value)
        self.fields["tiers"] = _lines_field(
            _("Service tiers"),
            _("One per line: flex 0.5 (factor on prices above), or priority input=4 output=20."),
        )
        self.fields["above"] = _lines_field(
            _("Long prompts"),
            _("One per line: 200000 input=6 output=22.5. Applies to all tokens of longer prompts."),
        )
        self.initial["tiers"] = tiers_text(model.price_tiers)
        self.initial["above"] = long_prompt_text(model.price_above)

    @property
    def locked_row(self) -> Model:
        """The model."""
        return self.model

    def clean(self) -> dict[str, Any]:
        """Parse the price lines and validate them against the model's list price."""
        cleaned_data = super().clean() or {}
        list_price = price_for(self.model.provider.preset, self.model.name)
        price_fields: tuple[tuple[str, Any, Any], ...] = (
            ("tiers", parse_tiers, tiers_value),
            ("above", parse_long_prompt_prices, above_value),
        )
        for name, parse, validate in price_fields:
            try:
                prices = parse(cleaned_data.get(name, ""))
                validate([] if prices is None else prices, list_price)
            except ValueError as error:
                self.add_error(name, _price_error(error))
            else:
                cleaned_data[name] = prices
        return cleaned_data

    def save(self) -> Model:
        """Store the entered values; traits without a field here are unchanged."""
        row = self.model
        traits = dict(row.traits) if isinstance(row.traits, dict) else {}
        for model_property in TRAITS:
            entered_value = self.cleaned_data[model_property.name]
            traits.pop(model_property.name, None)
            if entered_value not in (None, ""):
                traits[model_property.name] = (
                    _FLAGS[entered_value] if model_property.kind == "flag" else entered_value
                )
        row.traits = traits
        for model_property in PRICES:
            setattr(row, f"price_{rate_of(model_property)}", self.cleaned_data[model_property.name])
        row.price_tiers = self.cleaned_data["tiers"]
        row.price_above = self.cleaned_data["above"]
        row.save()
        return row


def _price_error(error: ValueError) -> str:
    """The text of an error, with the line's name instead of the path in the API's document."""
    if not isinstance(error, InvalidField):
        return str(error)
    line = error.field.removeprefix("prices.").partition(".")[2]
    return f"{line}: {error.message}." if line else f"{capfirst(error.message)}."


def _lines_field(label: Any, help_text: Any) -> forms.CharField:
    attrs = {"class": "input mono", "rows": 3, "spellcheck": "false", "wrap": "off"}
    return forms.CharField(
        label=label,
        required=False,
        max_length=4000,
        help_text=help_text,
        widget=forms.Textarea(attrs=attrs),
    )


def _property_field(model_property: Property, value: Value) -> forms.Field:
    default = value.source if value.source.origin == "learned" else value.default
    if model_property.kind == "tokens":
        attrs = {"placeholder": _number_text(default.value), "inputmode": "numeric"}
        return forms.IntegerField(
            label=model_property.label,
            required=False,
            min_value=1,
            max_value=2**40,
            widget=forms.NumberInput(attrs=attrs),
        )
    if model_property.kind == "usd":
        attrs = {"placeholder": _number_text(default.value), "inputmode": "decimal", "step": "any"}
        return forms.DecimalField(
            label=model_property.label,
            required=False,
            min_value=0,
            max_digits=16,
            decimal_places=8,
            widget=forms.NumberInput(attrs=attrs),
        )
    choices = model_property.choices or (("yes", _("Yes")), ("no", _("No")))
    default_label = dict(choices).get(str(_form_value(model_property, default.value)), "")
    default_choice = ("", _t("Default: %(value)s") % {"value": default_label})
    return forms.ChoiceField(
        label=model_property.label, required=False, choices=(default_choice, *choices)
    )


def _form_value(model_property: Property, value: Any) -> Any:
    """A value in the form that its field uses."""
    if model_property.kind == "flag":
        return "yes" if value else "no"
    return _number_text(value) if model_property.kind == "usd" else value


def _number_text(value: Any) -> str:
    """A number without trailing zeros."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "" if value is None else str(value)


class NewModelForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new model, by the provider's model ID."""

    provider = forms.ModelChoiceField(
        Provider.objects.order_by("name"), label=_("Provider"), empty_label=_("Choose a provider")
    )

    class Meta:
        model = Model
        fields = ("provider", "name")
        labels = {"name": _("Model")}
        help_texts = {
            "name": _("The provider's model ID, such as gpt-5-mini. * matches any name."),
        }
        widgets = {"name": forms.TextInput(attrs=CODE_INPUT)}

    def clean_name(self) -> str:
        """The name, which must be printable on one line."""
        name = str(self.cleaned_data["name"]).strip()
        if not name.isprintable():
            raise forms.ValidationError(
                _("Names cannot contain line breaks or control characters.")
            )
        return name
