"""URLs of single sign-on; allauth looks them up by these names."""

from __future__ import annotations

from django.urls import path

from console.pages.session.views import sign_in
from console.single_sign_on import views

urlpatterns = [
    path("sign-in/sso/<slug:provider_id>", views.login, name="openid_connect_login"),
    path("sign-in/sso/<slug:provider_id>/callback", views.callback, name="openid_connect_callback"),
    path("sign-in/again", sign_in, name="account_login"),
]
