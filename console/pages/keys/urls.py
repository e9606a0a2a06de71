"""URLs of the key pages."""

from __future__ import annotations

from django.urls import path

from console.pages.keys import secrets, views

urlpatterns = [
    path("keys", views.keys, name="keys"),
    path("keys/add", secrets.add, name="key-add"),
    path("keys/<int:pk>", views.edit, name="key-edit"),
    path("keys/<int:pk>/rotate", secrets.rotate, name="key-rotate"),
    path("keys/<int:pk>/end-grace", secrets.end_grace, name="key-end-grace"),
    path("keys/<int:pk>/revoke", views.revoke, name="key-revoke"),
    path("keys/<int:pk>/restore", views.restore, name="key-restore"),
    path("keys/<int:pk>/delete", views.delete, name="key-delete"),
    path("keys/<int:pk>/copy", views.adopt, name="key-copy"),
]
