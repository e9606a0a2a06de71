"""The editable properties of a model, each with its value and source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.models import Model
from gateway.providers.prices import price_book, price_for
from gateway.providers.provenance import OriginatedValue, trait_layer, traits_with_origin

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Kind = Literal["tokens", "flag", "choice", "usd"]


class Property(NamedTuple):
    """One property: a trait, or with kind `usd` a price per million tokens."""

    name: str
    label: _StrPromise
    kind: Kind
    icon: str = ""
    choices: tuple[tuple[str, _StrPromise], ...] = ()


STRUCTURED_OUTPUT_LABELS = (
    ("schema", gettext_lazy("JSON schema")),
    ("json", gettext_lazy("Any JSON")),
    ("none", gettext_lazy("No")),
)
SIZES = (
    Property("context_window", gettext_lazy("Context"), "tokens"),
    Property("max_output", gettext_lazy("Max output"), "tokens"),
)
PRICES = (
    Property("input", gettext_lazy("Input"), "usd"),
    Property("output", gettext_lazy("Output"), "usd"),
    Property("cache_read", gettext_lazy("Cached input"), "usd"),
    Property("cache_write", gettext_lazy("Cache write"), "usd"),
    Property("cache_write_1h", gettext_lazy("Cache write (1 h)"), "usd"),
    Property("output_reasoning", gettext_lazy("Reasoning output"), "usd"),
    Property("input_audio", gettext_lazy("Audio input"), "usd"),
    Property("output_audio", gettext_lazy("Audio output"), "usd"),
)
ABILITIES = (
    Property("tools", gettext_lazy("Tools"), "flag", "wrench"),
    Property("images", gettext_lazy("Images"), "flag", "image"),
    Property("structured", gettext_lazy("JSON"), "choice", "braces", STRUCTURED_OUTPUT_LABELS),
    Property("reasoning", gettext_lazy("Reasoning"), "flag", "brain"),
    Property("pdf", gettext_lazy("PDF"), "flag"),
    Property("audio", gettext_lazy("Audio"), "flag"),
    Property("parallel_toggle", gettext_lazy("Disabling parallel tool calls"), "flag"),
    Property("strict_tools", gettext_lazy("Strict tools"), "flag"),
    Property("forced_tools", gettext_lazy("Forced tool calls"), "flag"),
    Property("sampling", gettext_lazy("Temperature"), "flag"),
    Property("reasoning_summaries", gettext_lazy("Reasoning summaries for Chat clients"), "flag"),
)
# Optional prices: without one, these tokens are billed at another rate.
AS_OTHERS = {
    "output_reasoning": gettext_lazy("same as output"),
    "input_audio": gettext_lazy("same as input"),
    "output_audio": gettext_lazy("same as output"),
}
# Shown as icons in the list, and usable as filters.
ICON_PROPERTIES = ABILITIES[:4]
TRAITS = (*SIZES, *ABILITIES)
PROPERTIES = (*TRAITS, *PRICES)


def rate_of(model_property: Property) -> str:
    """Return the rate (`profile.RATES`) of a price; `reasoning` is also a capability's name."""
    return (
        model_property.name.removeprefix("output_")
        if model_property.name == "output_reasoning"
        else model_property.name
    )


class Value(NamedTuple):
    """Value of a model property with its source; `default` is the value without overrides."""

    model_property: Property
    value: Any
    source: OriginatedValue
    default: OriginatedValue

    @property
    def supported(self) -> bool:
        """Whether the model supports it in some form."""
        return self.value not in (False, "none", None)

    @property
    def label(self) -> str:
        """Label of the source."""
        if self.value is None and self.model_property.name in AS_OTHERS:
            return str(AS_OTHERS[self.model_property.name])
        return source_label(self.source)

    @property
    def changed(self) -> bool:
        """Whether the value is custom or learned, not from a built-in table."""
        return self.source.origin in {"custom", "learned"}


def properties_of(row: Model) -> dict[str, Value]:
    """Return every property of a model by its name."""
    base = traits_with_origin(row.provider.preset, row.name)
    learned_traits = trait_layer(_mapping_or_empty(row.learned), "learned")
    custom_traits = trait_layer(_mapping_or_empty(row.traits), "custom")
    properties = {}
    for model_property in TRAITS:
        default = base[model_property.name]
        source = (
            custom_traits.get(model_property.name)
            or learned_traits.get(model_property.name)
            or default
        )
        properties[model_property.name] = Value(model_property, source.value, source, default)
    return properties | _effective_prices(row)


def _effective_prices(row: Model) -> dict[str, Value]:
    list_price = price_for(row.provider.preset, row.name)
    prices = {}
    for model_property in PRICES:
        price: Decimal | None = getattr(list_price, rate_of(model_property))
        default = (
            OriginatedValue(value=None, origin="assumed")
            if price is None
            else OriginatedValue(value=price, origin="price list", ref=_day_of(list_price.source))
        )
        custom_price = getattr(row, f"price_{rate_of(model_property)}")
        source = (
            default
            if custom_price is None
            else OriginatedValue(value=custom_price, origin="custom")
        )
        prices[model_property.name] = Value(model_property, source.value, source, default)
    return prices


def _day_of(source: str) -> str:
    """Return the date of the price list; a newer list has its own in `source`."""
    return source.rpartition(" of ")[2] if " of " in source else price_book().fetched_on


def source_label(source: OriginatedValue) -> str:
    """Label of the source."""
    match source.origin:
        case "custom":
            return _("custom")
        case "learned":
            return _("learned from the provider")
        case "price list":
            day = date_format(dt.date.fromisoformat(source.ref), "j M Y")
            return _("price list of %(date)s") % {"date": day}
        case "preset":
            return _("preset %(name)s") % {"name": source.ref}
        case "family":
            return _("family table")
    return _("unknown") if source.value is None else _("assumed")


def _mapping_or_empty(value: Any) -> Mapping[str, Any]:
    """Return the row's value if it is an object, as a JSON column may contain anything."""
    return value if isinstance(value, dict) else {}
