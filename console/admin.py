"""Django's admin, where it is mounted: accounts are audited, and signing in is the console's."""

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

from console.accounts import audited

# Groups would grant what the audit log of accounts does not show.
admin.site.unregister(Group)
admin.site.unregister(User)


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]
    """Accounts; each change is in the audit log, by whatever page or action it was made."""

    def changeform_view(self, *args: Any, **options: Any) -> Any:
        """Add or change one."""
        with audited():
            return super().changeform_view(*args, **options)

    def changelist_view(self, *args: Any, **options: Any) -> Any:
        """All of them, and actions on several."""
        with audited():
            return super().changelist_view(*args, **options)

    def delete_view(self, *args: Any, **options: Any) -> Any:
        """Delete one."""
        with audited():
            return super().delete_view(*args, **options)

    def user_change_password(self, *args: Any, **options: Any) -> Any:
        """Set somebody's password."""
        with audited():
            return super().user_change_password(*args, **options)


def login(request: HttpRequest) -> HttpResponse:
    """Sign in by the console's page, which limits attempts."""
    if request.user.is_authenticated:
        raise PermissionDenied
    next_url = request.GET.get("next") or reverse("admin:index")
    return redirect(f"{reverse('sign-in')}?{urlencode({'next': next_url})}")
