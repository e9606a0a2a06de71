"""Setup steps for the overview, marked as done from the registry and the request log."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.models import ApiKey, Provider, RequestLog, Target

# The built-in provider for demonstrations; it has no real models.
DEMO_PRESET = "demo"


class Step(msgspec.Struct, frozen=True):
    """One setup step: its page, its reason, and whether it is done."""

    page: str
    title: str | Promise
    reason: str | Promise
    done: bool


def steps() -> tuple[Step, ...]:
    """All steps in order."""
    return (
        Step(
            "providers",
            _("Add a provider"),
            _("Its API key is stored encrypted. Clients never see it."),
            _has_real_provider(Provider.objects.values_list("preset", flat=True)),
        ),
        Step(
            "routes",
            _("Create a route"),
            _("A model name for clients, with its providers and fallbacks."),
            _has_real_provider(
                Target.objects.live().values_list("model__provider__preset", flat=True)
            ),
        ),
        Step(
            "keys",
            _("Create an API key"),
            _("One for each client, with its own limits."),
            ApiKey.objects.live().exists(),
        ),
        Step(
            "connect",
            _("Connect a client"),
            _("Two lines in Claude Code, an SDK or curl. The first call shows up here."),
            RequestLog.objects.first_client_call(0) is not None,
        ),
    )


def _has_real_provider(presets: Iterable[str]) -> bool:
    return bool(set(presets) - {DEMO_PRESET})
