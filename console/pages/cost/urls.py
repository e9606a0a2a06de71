"""URLs of the cost pages."""

from __future__ import annotations

from django.urls import path

from console.pages.cost.bills import bill_enter, cost, markup_set, spend_export
from console.pages.cost.price_lists import price_accept, price_lists, price_update
from console.pages.cost.what_if import compare_cost

urlpatterns = [
    path("cost", cost, name="cost"),
    path("cost/bill", bill_enter, name="bill-enter"),
    path("cost/markup", markup_set, name="markup-set"),
    path("cost/spend", spend_export, name="spend-export"),
    path("cost/compare", compare_cost, name="cost-compare"),
    path("cost/prices", price_lists, name="price-lists"),
    path("cost/prices/<int:pk>", price_update, name="price-update"),
    path("cost/prices/<int:pk>/accept", price_accept, name="price-accept"),
]
