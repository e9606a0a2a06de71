"""Labels of what guardrails find."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

PII_LABELS = {
    "email": _("Email addresses"),
    "phone": _("Phone numbers"),
    "credit_card": _("Card numbers"),
    "iban": _("IBANs"),
    "us_ssn": _("US social security numbers"),
    "ip_address": _("IP addresses"),
    "api_key": _("API keys"),
    "private_key": _("Private keys"),
    "jwt": _("JSON Web Tokens"),
}
