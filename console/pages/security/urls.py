"""URLs of two-factor authentication; allauth looks them up by these names."""

from __future__ import annotations

from django.urls import path

from console.pages.security import views

urlpatterns = [
    path("sign-in/two-factor", views.authenticate, name="mfa_authenticate"),
    path("sign-in/passkey", views.login_with_passkey, name="mfa_login_webauthn"),
    path("security", views.security, name="mfa_index"),
    path("security/disconnect", views.disconnect, name="security-disconnect"),
    path("security/passkeys", views.security, name="mfa_list_webauthn"),
    path("security/passkeys/add", views.add_passkey, name="mfa_add_webauthn"),
    path("security/passkeys/<int:pk>/remove", views.remove_passkey, name="mfa_remove_webauthn"),
    path("security/codes/add", views.activate_codes, name="mfa_activate_totp"),
    path("security/codes/remove", views.deactivate_codes, name="mfa_deactivate_totp"),
    path("security/recovery", views.recovery_codes, name="mfa_view_recovery_codes"),
    path("security/recovery/new", views.new_recovery_codes, name="mfa_generate_recovery_codes"),
    path(
        "security/recovery/download",
        views.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
    path("security/confirm", views.confirm_password, name="account_reauthenticate"),
    path("security/confirm/code", views.confirm_code, name="mfa_reauthenticate"),
    path("security/confirm/passkey", views.confirm_passkey, name="mfa_reauthenticate_webauthn"),
]
