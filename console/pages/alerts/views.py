"""Active and past alerts, and the channels that they are sent to."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import admin
from console.pages.alerts.forms import ChannelForm
from gateway.alerts.delivery import deliver, sample_notice
from gateway.models.alert import Alert, AlertChannel, AlertEvent

PAGE = "alerts"
MAX_PAST = 50


@require_safe
@admin
def alerts(request: HttpRequest) -> HttpResponse:
    """Active alerts, channels, and past alerts."""
    labels = dict(AlertEvent.choices)
    channels = [
        {"channel": channel, "events": [labels[e] for e in channel.events if e in labels]}
        for channel in AlertChannel.objects.select_related("delivery")
    ]
    context = {
        "page": PAGE,
        "active": list(Alert.objects.active()),
        "past": list(Alert.objects.resolved()[:MAX_PAST]),
        "channels": channels,
    }
    return render(request, "console/alerts/page.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def add(request: HttpRequest) -> HttpResponse:
    """Create a channel."""
    return _edit(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit a channel."""
    return _edit(request, get_object_or_404(AlertChannel, pk=pk))


def _edit(request: HttpRequest, channel: AlertChannel | None) -> HttpResponse:
    form = ChannelForm(request.POST or None, instance=channel)
    if form.is_valid():
        form.save()
        messages.success(request, _("Saved. Send a test message to check it."))
        return redirect("alerts")
    # The form has changed its instance's fields; the heading shows the stored name.
    stored = None if channel is None else get_object_or_404(AlertChannel, pk=channel.pk)
    context: dict[str, Any] = {"page": PAGE, "form": form, "channel": stored}
    status = 422 if request.method == "POST" else 200
    return render(request, "console/alerts/edit.html", context, status=status)


@require_POST
@admin
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a test message to a channel."""
    channel = get_object_or_404(AlertChannel, pk=pk)
    error = deliver(channel, sample_notice(), attempts=1)
    if error:
        failed = _("%(name)s: the test message was not delivered: %(error)s.")
        messages.error(request, failed % {"name": channel.name, "error": error})
    else:
        messages.success(request, _("Test message sent to %(name)s.") % {"name": channel.name})
    return redirect("alerts")


@require_POST
@admin
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a channel."""
    channel = get_object_or_404(AlertChannel, pk=pk)
    channel.delete()
    messages.success(request, _("%(name)s deleted.") % {"name": channel.name})
    return redirect("alerts")
