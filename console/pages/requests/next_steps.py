"""What helps after a failed request: a sentence and the page on which to do it."""

from __future__ import annotations

from typing import NamedTuple

from django.urls import reverse
from django.utils.translation import gettext as _

from console.access import Person, is_admin, is_editor
from gateway.models import Model, Provider, RequestLog, Route


class NextStep(NamedTuple):
    """A sentence, and the URL of a page; empty if the user may not open it."""

    text: str
    url: str


def next_step(row: RequestLog, user: Person) -> NextStep | None:
    """What to do about a rejected credential or a disabled row; None for all other requests."""
    if row.error_kind == "upstream_auth":
        provider = Provider.objects.filter(name=row.provider).first()
        if provider is None:
            return None
        text = _("%(name)s rejected the gateway's credential. Check the provider's key.")
        return NextStep(text % {"name": provider.name}, _provider_url(provider, user))
    if row.error_kind == "not_found" and not row.provider:
        return _disabled_row(row.requested_model, user)
    return None


def _disabled_row(requested_name: str, user: Person) -> NextStep | None:
    """The disabled route, provider or model that the name of a request refers to."""
    route = Route.objects.filter(name=requested_name, enabled=False).first()
    if route is not None:
        return NextStep(
            _("The route %(name)s is disabled.") % {"name": route.name},
            reverse("route", args=[route.name]),
        )
    provider_name, _slash, name = requested_name.partition("/")
    provider = Provider.objects.filter(name=provider_name, enabled=False).first()
    if provider is not None:
        text = _("The provider %(name)s is disabled.") % {"name": provider.name}
        return NextStep(text, _provider_url(provider, user))
    model = Model.objects.filter(provider__name=provider_name, name=name, enabled=False).first()
    if model is not None:
        url = reverse("model-edit", args=[model.pk]) if is_editor(user) else ""
        return NextStep(_("The model %(name)s is disabled.") % {"name": requested_name}, url)
    return None


def _provider_url(provider: Provider, user: Person) -> str:
    return reverse("provider-edit", args=[provider.pk]) if is_admin(user) else ""
