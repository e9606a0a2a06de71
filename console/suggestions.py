"""Attributes of a text field whose suggestions are searched while a person types."""

from __future__ import annotations

from typing import Any

from django.urls import reverse_lazy


def suggestion_attributes(kind: str, list_id: str) -> dict[str, Any]:
    """The attributes for suggestions of a kind (`route-choices`) in the `datalist` of this ID."""
    return {
        "list": list_id,
        "autocomplete": "off",
        "hx-get": reverse_lazy("route-choices", args=[kind]),
        "hx-include": "this",
        "hx-trigger": "focus, input delay:200ms",
        "hx-sync": "this:replace",
        "hx-target": f"#{list_id}",
        "hx-swap": "innerHTML",
    }
