"""URLs of the provider pages."""

from __future__ import annotations

from django.urls import path

from console.pages.providers import connection_test, fetch, views

urlpatterns = [
    path("providers", views.providers, name="providers"),
    path("providers/add", views.presets, name="provider-presets"),
    path("providers/add/<slug:preset>", views.add, name="provider-add"),
    path("providers/add/<slug:preset>/test", connection_test.test_new, name="provider-test-new"),
    path("providers/variable", views.variable, name="provider-variable"),
    path("providers/<int:pk>", views.edit, name="provider-edit"),
    path("providers/<int:pk>/test", connection_test.test, name="provider-test"),
    path("providers/<int:pk>/test-saved", connection_test.test_saved, name="provider-test-saved"),
    path("providers/<int:pk>/fetch", fetch.fetch, name="provider-fetch"),
    path("providers/<int:pk>/enable", views.enable, name="provider-enable"),
    path("providers/<int:pk>/copy", views.adopt, name="provider-copy"),
    path("providers/<int:pk>/delete", views.delete, name="provider-delete"),
]
