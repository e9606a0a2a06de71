"""What to do next: a short list made of what the registry and the log hold."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from gateway.models import ApiKey, Provider, RequestLog, Target

# The provider in process: good to look around with, but no model answers there.
DEMO = "demo"


class Step(msgspec.Struct, frozen=True):
    """One thing to do: the page where it is done, and whether it has been."""

    page: str
    title: str | Promise
    why: str | Promise
    done: bool


def steps() -> tuple[Step, ...]:
    """All of them, in the order in which they make sense."""
    return (
        Step(
            "providers",
            _("Add a provider"),
            _("Its key stays here, encrypted; clients never see it."),
            _real(Provider.objects.values_list("preset", flat=True)),
        ),
        Step(
            "routes",
            _("Make a route"),
            _("A name that clients use, and the models behind it with their fallbacks."),
            _real(Target.objects.live().values_list("model__provider__preset", flat=True)),
        ),
        Step(
            "keys",
            _("Make a key"),
            _("One for each client, each with its own limits."),
            ApiKey.objects.live().exists(),
        ),
        Step(
            "connect",
            _("Connect a client"),
            _("Two lines in Claude Code, an SDK or curl. The first call shows up here."),
            RequestLog.objects.first_client_call(0) is not None,
        ),
    )


def _real(presets: Iterable[str]) -> bool:
    return bool(set(presets) - {DEMO})
