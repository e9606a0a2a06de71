"""URLs of the model pages."""

from __future__ import annotations

from django.urls import path

from console.pages.models import views

urlpatterns = [
    path("models", views.models, name="models"),
    path("models/add", views.add, name="model-add"),
    path("models/<int:pk>", views.edit, name="model-edit"),
    path("models/<int:pk>/reset", views.reset, name="model-reset"),
    path("models/<int:pk>/enable", views.enable, name="model-enable"),
    path("models/<int:pk>/copy", views.adopt, name="model-copy"),
    path("models/<int:pk>/delete", views.delete, name="model-delete"),
]
