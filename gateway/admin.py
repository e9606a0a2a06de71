"""The emergency hatch: raw tables. The log is read-only; no credential is ever shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from gateway import store
from gateway.models import Alias, ApiKey, Model, Provider, RequestLog, Route, Target


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    """A provider, with a field into which a new credential may be written."""

    new_credential = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Replaces the stored one, which is never shown. A single dash removes it.",
    )

    class Meta:
        model = Provider
        # All but what may be secret: values of headers and parameters are set elsewhere.
        exclude = ("headers", "query")  # noqa: DJ006 - the hatch shows the raw table


@admin.register(Provider)
class ProviderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Providers."""

    form = ProviderForm
    list_display = ("name", "preset", "base_url", "credential_env", "enabled", "source")
    list_filter = ("source", "enabled")
    search_fields = ("name", "preset", "base_url")

    def save_model(
        self,
        request: HttpRequest,
        obj: Provider,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save the row, and seal a credential that was entered."""
        super().save_model(request, obj, form, change)
        entered = form.cleaned_data.get("new_credential", "")
        if entered:
            store.set_credential(obj, "" if entered == "-" else entered)


@admin.register(Model)
class ModelAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Models."""

    list_display = ("__str__", "price_input", "price_output", "enabled", "source")
    list_filter = ("source", "enabled")
    list_select_related = ("provider",)
    search_fields = ("name", "provider__name")


class TargetInline(admin.TabularInline):  # type: ignore[type-arg]
    """The targets of a route, on its page."""

    model = Target
    extra = 0
    fields = ("model", "weight", "order", "enabled")


class AliasInline(admin.TabularInline):  # type: ignore[type-arg]
    """The other names of a route, on its page."""

    model = Alias
    extra = 0
    fields = ("pattern", "enabled")


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Routes, with their targets and other names."""

    inlines = (TargetInline, AliasInline)
    list_display = ("name", "strategy", "enabled", "source")
    list_filter = ("source", "enabled")
    search_fields = ("name",)


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Keys: to limit, revoke and delete. `manage.py create_key` makes them."""

    list_display = ("name", "prefix", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = ("prefix", "last_used_at")
    search_fields = ("name", "prefix")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No: a key that is made here could not be shown to anyone."""
        return False


@admin.register(RequestLog)
class RequestLogAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The request log, to read."""

    list_display = ("started_at", "request_id", "route", "model", "status", "outcome")
    ordering = ("-id",)
    list_per_page = 50
    # A count over the whole log takes seconds.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: RequestLog | None = None) -> bool:
        """Nobody changes rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RequestLog | None = None) -> bool:
        """Rows go by retention only."""
        return False
