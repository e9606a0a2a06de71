"""Django admin for emergencies: raw tables, a read-only log, no credentials."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from gateway import store
from gateway.models import Alias, ApiKey, Model, Provider, RequestLog, Route, Target


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]
    """A provider, with a write-only field for a new credential."""

    new_credential = forms.CharField(
        required=False,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Replaces the stored value, which is never shown. Enter a single dash to "
        "remove it.",
    )

    class Meta:
        model = Provider
        # Excludes possible secrets: values of headers and query parameters.
        exclude = ("headers", "query", "proxy", "client_key")  # noqa: DJ006 - the hatch shows the raw table


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
        """Save the row, and seal a credential if one was entered."""
        super().save_model(request, obj, form, change)
        entered_credential = form.cleaned_data.get("new_credential", "")
        if entered_credential:
            store.set_credential(obj, "" if entered_credential == "-" else entered_credential)


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
    """The aliases of a route, on its page."""

    model = Alias
    extra = 0
    fields = ("pattern", "enabled")


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Routes, with their targets and aliases."""

    inlines = (TargetInline, AliasInline)
    list_display = ("name", "strategy", "enabled", "source")
    list_filter = ("source", "enabled")
    search_fields = ("name",)


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """API keys, to limit, revoke and delete. `manage.py create_key` creates them."""

    list_display = ("name", "prefix", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = ("prefix", "last_used_at")
    search_fields = ("name", "prefix")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """False: the secret of a key created here could not be shown."""
        return False


@admin.register(RequestLog)
class RequestLogAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """The request log, read-only."""

    list_display = ("started_at", "request_id", "route", "model", "status", "outcome")
    ordering = ("-id",)
    list_per_page = 50
    # Counting the whole log takes seconds.
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """False: the log is read-only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: RequestLog | None = None) -> bool:
        """False: the log is read-only."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: RequestLog | None = None) -> bool:
        """False: only retention deletes rows."""
        return False
