"""URLs of public links to runs."""

from __future__ import annotations

from django.urls import path

from console.pages.shares.manage import share_links, share_revoke
from console.pages.shares.public import shared_image, shared_run

urlpatterns = [
    path("playground/links", share_links, name="share-links"),
    path("playground/links/<int:pk>/revoke", share_revoke, name="share-revoke"),
    path("shared/<str:token>", shared_run, name="shared-run"),
    path("shared/<str:token>/image.svg", shared_image, name="shared-image"),
]
