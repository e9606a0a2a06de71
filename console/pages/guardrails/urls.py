"""URLs of the guardrail pages."""

from __future__ import annotations

from django.urls import path

from console.pages.guardrails import views

urlpatterns = [
    path("guardrails", views.guardrails, name="guardrails"),
    path("guardrails/add/<str:kind>", views.add, name="guardrail-add"),
    path("guardrails/<int:pk>", views.edit, name="guardrail"),
    path("guardrails/<int:pk>/try", views.test_text, name="guardrail-try"),
    path("guardrails/<int:pk>/delete", views.delete, name="guardrail-delete"),
]
