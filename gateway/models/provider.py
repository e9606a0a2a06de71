"""Providers and their models."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from gateway.models.cost import WithMarkup
from gateway.models.limits import WithBudgets, WithLimits
from gateway.models.registry import RegistryRow, single_line
from gateway.models.sealed import SealedPairs, SealedText
from gateway.querysets import ModelQuerySet, RegistryRowQuerySet

provider_name = RegexValidator(
    r"\A[a-z0-9][a-z0-9._-]{0,62}\Z",
    "Prefix in provider/model. Lower-case letters, digits, dots, dashes and underscores.",
)
variable_name = RegexValidator(r"\A[A-Za-z_][A-Za-z0-9_]*\Z", "Must be the name of a variable.")


class Provider(WithLimits, WithBudgets, WithMarkup, RegistryRow):
    """An upstream endpoint: a preset of the catalog, with overrides.

    A blank text and a null mean "as in the preset"; an empty object means "none". `credential` is
    ciphertext (`store.set_credential` writes it), `credential_env` the name of an environment
    variable to read instead. Values of `headers` and `query`, `proxy` and `client_key` are
    encrypted on save, except for references to variables. `gateway.providers.network.Network`
    describes the five columns of its connections.
    """

    name = models.CharField(max_length=63, unique=True, validators=[provider_name])
    preset = models.CharField(max_length=63, default="custom")
    dialect = models.CharField(max_length=63, blank=True)
    base_url = models.CharField(max_length=500, blank=True)
    auth = models.CharField(max_length=31, blank=True)
    credential = models.TextField(blank=True, editable=False)
    credential_env = models.CharField(max_length=200, blank=True, validators=[variable_name])
    headers = SealedPairs(default=dict, blank=True)
    query = SealedPairs(null=True, blank=True)
    paths = models.JSONField(null=True, blank=True)
    edits = models.JSONField(default=list, blank=True)
    timeouts = models.JSONField(default=dict, blank=True)
    passthrough = models.BooleanField(null=True, blank=True)
    drop_params = models.BooleanField(default=True)
    client_credential = models.BooleanField(default=False)
    proxy = SealedText(blank=True)
    ca_certificates = models.TextField(blank=True)
    client_certificate = models.TextField(blank=True)
    client_key = SealedText(blank=True)
    ssl_verify = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True)

    objects = RegistryRowQuerySet["Provider"].as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


def _price_field() -> models.DecimalField[Decimal | None, Decimal | None]:
    """US dollars per million tokens; null is the list price, if there is one."""
    return models.DecimalField(
        max_digits=16,
        decimal_places=8,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal(0))],
    )


class Model(RegistryRow):
    """One model at one provider. `name` is the provider's id of it.

    `traits` are an operator's overrides of the built-in tables, `learned` those from the doctor or
    the provider's model list; an operator's take precedence. `price_above` and `price_tiers` are
    described in `gateway.store.model_prices`.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=200, validators=[single_line])
    traits = models.JSONField(default=dict, blank=True)
    learned = models.JSONField(default=dict, blank=True, editable=False)
    edits = models.JSONField(default=list, blank=True)
    price_input = _price_field()
    price_output = _price_field()
    price_cache_read = _price_field()
    price_cache_write = _price_field()
    price_cache_write_1h = _price_field()
    price_reasoning = _price_field()
    price_input_audio = _price_field()
    price_output_audio = _price_field()
    price_above = models.JSONField(null=True, blank=True)
    price_tiers = models.JSONField(default=dict, blank=True)
    enabled = models.BooleanField(default=True)

    objects = ModelQuerySet["Model"].as_manager()

    class Meta:
        ordering = ("provider__name", "name")
        constraints = (
            models.UniqueConstraint(fields=["provider", "name"], name="gateway_model_once"),
        )

    def __str__(self) -> str:
        return f"{self.provider.name}/{self.name}"
