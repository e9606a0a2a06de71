"""Models as documents, named `provider/model`."""

from __future__ import annotations

from typing import Any

from gateway.models import Model, Provider
from gateway.providers.capabilities import merge_traits, traits_for
from gateway.providers.prices import price_for
from gateway.providers.profile import RATES
from gateway.store import field_values
from gateway.store.documents.schemas import (
    ModelDoc,
    Prices,
    Refused,
    as_json,
    check_row,
    claim,
    convert_document,
)
from gateway.store.field_values import InvalidField
from gateway.store.key_values import strip_trailing_zeros
from gateway.store.model_prices import price_value


def find_model(name: str) -> Model | None:
    """The row of `provider/model`; None if there is none."""
    provider, _, model = name.partition("/")
    if "\0" in name:
        return None
    rows = Model.objects.select_related("provider")
    return rows.filter(provider__name=provider, name=model).first()


def read_model(row: Model) -> dict[str, Any]:
    """The model as a document."""
    prices = {name: strip_trailing_zeros(getattr(row, f"price_{name}")) for name in RATES}
    values = ModelDoc(
        name=str(row),
        traits=row.traits,
        edits=row.edits,
        prices=Prices(**prices, above=row.price_above, tiers=row.price_tiers),
        enabled=row.enabled,
    )
    document: dict[str, Any] = as_json(values)
    return document


def write_model(document: dict[str, Any], row: Model | None) -> Model:
    """Create or change a model. Raises Refused."""
    values = convert_document(document, ModelDoc)
    provider_name, _, name = values.name.partition("/")
    provider = Provider.objects.filter(name=provider_name).first()
    if provider is None or not name:
        raise Refused("name", "a model name must be `provider/model` with an existing provider")
    row = row or Model()
    claim(row)
    row.provider, row.name = provider, name
    row.traits, row.edits, row.enabled = values.traits, values.edits, values.enabled
    row.price_above, row.price_tiers = values.prices.above, values.prices.tiers
    for price in RATES:
        setattr(row, f"price_{price}", getattr(values.prices, price))
    _check_compiles(row)
    check_row(row)
    _check_prices(row)
    row.save()
    return row


def _check_compiles(row: Model) -> None:
    try:
        merge_traits(traits_for(row.provider.preset, row.name), row.traits)
    except ValueError as error:
        raise Refused("traits", str(error)) from None
    try:
        field_values.edits(row.edits)
    except ValueError as error:
        raise Refused("edits", str(error)) from None


def _check_prices(row: Model) -> None:
    try:
        price_value(price_for(row.provider.preset, row.name), row)
    except InvalidField as error:
        raise Refused(error.field, error.message) from None
