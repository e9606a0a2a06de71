"""URLs of the prompt pages."""

from __future__ import annotations

from django.urls import path

from console.pages.prompts import views

urlpatterns = [
    path("prompts", views.prompts, name="prompts"),
    path("prompts/new", views.new, name="prompt-new"),
    path("prompts/<int:pk>", views.prompt, name="prompt"),
    path("prompts/<int:pk>/save", views.save, name="prompt-save"),
    path("prompts/<int:pk>/activate", views.activate, name="prompt-activate"),
    path("prompts/<int:pk>/delete", views.delete, name="prompt-delete"),
    path("playground/prompt", views.from_playground, name="prompt-from-playground"),
]
