"""Django's admin, if it is enabled: account changes are audited, sign-in is the console's."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from console.accounts import audited_transaction

# Groups would grant permissions that the audit log of accounts does not show.
admin.site.unregister(Group)
admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]
    """Accounts; every change is recorded in the audit log."""

    def changeform_view(self, *args: Any, **options: Any) -> Any:
        """Add or change an account."""
        with audited_transaction():
            return super().changeform_view(*args, **options)

    def changelist_view(self, *args: Any, **options: Any) -> Any:
        """List accounts, and run bulk actions."""
        with audited_transaction():
            return super().changelist_view(*args, **options)

    def delete_view(self, *args: Any, **options: Any) -> Any:
        """Delete an account."""
        with audited_transaction():
            return super().delete_view(*args, **options)

    def user_change_password(self, *args: Any, **options: Any) -> Any:
        """Set an account's password."""
        with audited_transaction():
            return super().user_change_password(*args, **options)


def login(request: HttpRequest) -> HttpResponse:
    """Redirect to the console's sign-in page, which limits attempts."""
    if request.user.is_authenticated:
        raise PermissionDenied
    next_url = request.GET.get("next") or reverse("admin:index")
    return redirect(f"{reverse('sign-in')}?{urlencode({'next': next_url})}")
