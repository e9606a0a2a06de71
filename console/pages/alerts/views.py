"""Active and past alerts, and the channels that they are sent to."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console.access import admin
from console.delete_confirmation import delete_confirmation
from console.pages.alerts.forms import ChannelForm, SilenceForm, ThresholdsForm
from gateway import store
from gateway.alerts.delivery import deliver, sample_notification
from gateway.alerts.silences import create_silence, remove_silence
from gateway.models.alert import Alert, AlertChannel, AlertEvent, AlertSilence

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
        "active": list(Alert.objects.firing()),
        "past": list(Alert.objects.resolved()[:MAX_PAST]),
        "channels": channels,
        "silences": list(AlertSilence.objects.current()),
    }
    return render(request, "console/alerts/page.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def add(request: HttpRequest) -> HttpResponse:
    """Create a channel."""
    return _edit_channel(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit a channel."""
    return _edit_channel(request, get_object_or_404(AlertChannel, pk=pk))


def _edit_channel(request: HttpRequest, channel: AlertChannel | None) -> HttpResponse:
    form = ChannelForm(request.POST or None, instance=channel)
    if form.is_valid():
        form.save()
        messages.success(request, _("Saved. Send a test message to check it."))
        return redirect("alerts")
    # The form has changed its instance's fields; the heading shows the stored name.
    stored_channel = None if channel is None else get_object_or_404(AlertChannel, pk=channel.pk)
    context: dict[str, Any] = {"page": PAGE, "form": form, "channel": stored_channel}
    status = 422 if request.method == "POST" else 200
    return render(request, "console/alerts/edit.html", context, status=status)


@require_POST
@admin
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a test message to a channel."""
    channel = get_object_or_404(AlertChannel, pk=pk)
    error = deliver(channel, sample_notification(), attempts=1)
    if error:
        failure_message = _("%(name)s: the test message was not delivered: %(error)s.")
        messages.error(request, failure_message % {"name": channel.name, "error": error})
    else:
        messages.success(request, _("Test message sent to %(name)s.") % {"name": channel.name})
    return redirect("alerts")


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a channel after a confirmation."""
    channel = get_object_or_404(AlertChannel, pk=pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[
                (reverse("alerts"), _("Alerts")),
                (reverse("alert-channel", args=[pk]), channel.name),
            ],
            title=_("Delete %(name)s") % {"name": channel.name},
            consequence=_("It no longer gets alerts, and its destination is deleted."),
            label=_("Delete channel"),
        )
    channel.delete()
    messages.success(request, _("%(name)s deleted.") % {"name": channel.name})
    return redirect("alerts")


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def thresholds(request: HttpRequest) -> HttpResponse:
    """Edit when the conditions of alerts hold."""
    options = store.load_options()
    form = ThresholdsForm(request.POST if request.method == "POST" else None, options=options)
    if form.is_valid():
        store.set_options({"alert_thresholds": form.values()})
        messages.success(request, _("Saved. Takes effect with the next check."))
        return redirect("alerts")
    context = {"page": PAGE, "form": form, "option": options.values["alert_thresholds"]}
    status = 422 if request.method == "POST" else 200
    return render(request, "console/alerts/thresholds.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def add_silence(request: HttpRequest) -> HttpResponse:
    """Silence alerts; the query may name the event and subject of one."""
    form = SilenceForm(
        request.POST if request.method == "POST" else None, initial=request.GET.dict()
    )
    if form.is_valid():
        create_silence(**form.cleaned_data)
        messages.success(request, _("Silenced."))
        return redirect("alerts")
    status = 422 if request.method == "POST" else 200
    return render(
        request, "console/alerts/silence.html", {"page": PAGE, "form": form}, status=status
    )


@require_http_methods(["GET", "HEAD", "POST"])
@admin
def delete_silence(request: HttpRequest, pk: int) -> HttpResponse:
    """End a silence after a confirmation."""
    silence = get_object_or_404(AlertSilence, pk=pk)
    if request.method != "POST":
        return delete_confirmation(
            request,
            PAGE,
            crumbs=[(reverse("alerts"), _("Alerts"))],
            title=_("End the silence of %(name)s") % {"name": silence},
            consequence=_("Active alerts that it suppressed are sent to the channels."),
            label=_("End silence"),
        )
    remove_silence(silence)
    messages.success(request, _("The silence has ended."))
    return redirect("alerts")
